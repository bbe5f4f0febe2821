"""What a converter is, what it returns, and the card that it writes."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from difiqa_hf.conversion.checkpoint import StateDict


@dataclass(frozen=True)
class Origin:
    """Where a checkpoint comes from.

    Attributes:
        title: what it is.
        url: of the authors' repository.
        licence: as the authors state it, or that they state none.
        paper: to cite.
        input: colours, range and size that the network was trained with; "" if there is not one network.
    """

    title: str
    url: str
    licence: str
    paper: str
    input: str = "RGB, (x - 127.5) / 127.5, 112 x 112"


@dataclass(frozen=True)
class Conversion:
    """The result of a conversion.

    Attributes:
        kind: as in `KINDS`.
        folder: what was written.
        tensors: number of tensors of the file, or of labels.
        tensor_difference: largest absolute difference between a tensor of the file and the same one carried back from
            the written folder to the published names; None where the result has other tensors.
        probe_difference: largest absolute difference of the outputs on `probe_images`.
        probe: between what this was measured.
        source_sha256: 64 hex digits of the file.
        probe_scale: largest absolute output, where float32 in another order of arithmetic is what differs; at least 1.
    """

    kind: str
    folder: Path
    tensors: int
    tensor_difference: float | None
    probe_difference: float | None
    probe: str
    source_sha256: str
    probe_scale: float = 1.0

    def __str__(self) -> str:
        lines = [f"{self.kind}: wrote {self.folder}", f"source SHA-256: {self.source_sha256}"]
        if self.tensor_difference is not None:
            lines.append(f"largest difference of {self.tensors} values or tensors: {self.tensor_difference:g}")
        if self.probe_difference is not None:
            lines.append(f"largest difference on the probe ({self.probe}): {self.probe_difference:g}")
        return "\n".join(lines)


@dataclass(frozen=True)
class Converter:
    """How a kind is converted; `Family` and `Choice` do the same for published state dicts.

    Attributes:
        title: for messages.
        convert: (file, output folder, **options) -> `Conversion`.
        recognises: whether the content of a file of torch.save is of this kind.
    """

    title: str
    convert: Callable[..., Conversion]
    recognises: Callable[[Any], bool] = lambda content: False

    def __call__(self, path: Path, output: Path, **options) -> Conversion:
        return self.convert(path, output, **options)


def largest_difference(source: StateDict, result: StateDict) -> float:
    """Over all tensors; both must have the same names and shapes."""
    if source.keys() != result.keys():
        odd = sorted(source.keys() ^ result.keys())
        raise ValueError(f"{len(odd)} tensors are in one of source and result only, the first are {odd[:3]}")
    return max(((source[key].double() - result[key].double()).abs().max().item() for key in source), default=0.0)


INPUT = """
The converted network takes RGB pixel values in [-1, 1] of 112 x 112 crops, aligned to ArcFace's five points, whatever
it was trained with. Its own colour order and range stand in `config.json` (`color_order`, `image_mean`, `image_std`),
and it converts them itself; so `preprocessor_config.json` says "rgb" of every network, the order of those pixel values.
"""


def write_card(source: Path, origin: Origin, conversion: Conversion, usage: str, notes: str = "") -> None:
    """The README.md of the folder: source, licence, hash, how it was checked, how to use it."""
    rows = {
        "source": origin.url,
        "paper": origin.paper,
        "licence": origin.licence,
        "file": f"`{source.name}`, {source.stat().st_size} bytes",
        "SHA-256 of the file": f"`{conversion.source_sha256}`",
        "carried back to the published names": "other names and values: see the probe",
        "largest difference on a probe": "none: no network",
    }
    if conversion.tensor_difference is not None:
        compared = f"{conversion.tensors} compared, largest difference {conversion.tensor_difference:g}"
        rows["carried back to the published names"] = compared
    if conversion.probe_difference is not None:
        rows["largest difference on a probe"] = f"{conversion.probe_difference:g} ({conversion.probe})"
    if origin.input:
        rows["trained with"] = origin.input
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
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
{table}
{INPUT if origin.input else ""}
{notes}

```python
{usage.format(folder=conversion.folder.name)}
```

The published licence applies to this folder. Pass it on only where it allows that.
"""
    (conversion.folder / "README.md").write_text(text.replace("\n\n\n", "\n\n"), encoding="utf-8")
