"""What a conversion returns, and the card that it writes."""

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from difiqa_hf.conversion.checkpoint import StateDict


@dataclass(frozen=True)
class Origin:
    """Where a checkpoint comes from.

    Attributes:
        title: what it is.
        url: of the authors' repository.
        licence: as the authors state it, or that they state none.
        paper: to cite.
        input: what the network was trained with: colours and range.
    """

    title: str
    url: str
    licence: str
    paper: str
    input: str = "RGB, (x - 127.5) / 127.5"


@dataclass(frozen=True)
class Conversion:
    """The result of a conversion.

    Attributes:
        kind: as in `KINDS`.
        folder: what was written.
        tensors: number of tensors that were compared.
        tensor_difference: largest absolute difference between a tensor of the file and the same one carried back from
            the written folder to the published names; None where the result has other tensors.
        probe_difference: largest absolute difference of the outputs on `probe_images`.
        probe: between what this was measured.
        source_sha256: 64 hex digits of the file.
    """

    kind: str
    folder: Path
    tensors: int
    tensor_difference: float | None
    probe_difference: float | None
    probe: str
    source_sha256: str

    def __str__(self) -> str:
        lines = [f"{self.kind}: wrote {self.folder}", f"source SHA-256: {self.source_sha256}"]
        if self.tensor_difference is not None:
            lines.append(f"largest difference of {self.tensors} values or tensors: {self.tensor_difference:g}")
        if self.probe_difference is not None:
            lines.append(f"largest difference on the probe ({self.probe}): {self.probe_difference:g}")
        return "\n".join(lines)


def probe_images(count: int = 2, size: int = 112) -> Tensor:
    """Smooth random pixel values (count, 3, size, size) in [-1, 1], always the same."""
    coarse = torch.randn(count, 3, size // 8, size // 8, generator=torch.Generator().manual_seed(0))
    return F.interpolate(coarse, size=size, mode="bicubic").clamp(-1, 1)


def largest_difference(source: StateDict, result: StateDict) -> float:
    """Over all tensors; both must have the same names and shapes."""
    if source.keys() != result.keys():
        odd = sorted(source.keys() ^ result.keys())
        raise ValueError(f"{len(odd)} tensors are in one of source and result only, the first are {odd[:3]}")
    return max(((source[key].double() - result[key].double()).abs().max().item() for key in source), default=0.0)


def write_card(path: Path, source: Path, origin: Origin, conversion: Conversion, usage: str, notes: str = "") -> None:
    """The README.md of the folder: source, licence, hash, how it was checked, how to use it."""
    tensors = (
        "other names and values: see the probe"
        if conversion.tensor_difference is None
        else f"{conversion.tensors} compared, largest difference {conversion.tensor_difference:g}"
    )
    probe = "none" if conversion.probe_difference is None else f"{conversion.probe_difference:g} ({conversion.probe})"
    notes = f"\n{notes}\n" if notes else ""
    text = f"""---
license: other
license_name: see-source
license_link: {origin.url}
tags: [face-image-quality, fiqa, biometrics, converted]
---

# {origin.title}

Converted by difiqa_hf (`difiqa convert {conversion.kind}`) from the authors' file; the weights are theirs.

| | |
|---|---|
| source | {origin.url} |
| paper | {origin.paper} |
| licence | {origin.licence} |
| file | `{source.name}`, {source.stat().st_size} bytes |
| SHA-256 of the file | `{conversion.source_sha256}` |
| tensors carried back to the published names | {tensors} |
| largest difference on a probe | {probe} |
| input of the network | {origin.input}, 112 x 112, ArcFace five-point alignment |

The converted network takes RGB pixel values in [-1, 1], whatever it was trained with: its configuration knows the
colour order and range, and it converts them itself.
{notes}
```python
{usage}
```

The published licence applies to these weights. Pass them on only where it allows that.
"""
    path.write_text(text, encoding="utf-8")
