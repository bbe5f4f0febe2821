"""Model cards: facts in a dataclass, text in a template, figures from files; nothing is typed."""

import hashlib
import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from huggingface_hub import EvalResult, ModelCardData
from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined

HERE = Path(__file__).parent
PERCENTILES = (1, 2, 5, 10, 20, 30, 50)
DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "U8": "u1", "BOOL": "?"}
TAGS = ["face-image-quality", "fiqa", "biometrics", "difiqa"]


@dataclass(frozen=True)
class Part:
    """One network of a checkpoint: subfolder ("" for the checkpoint itself), class, millions of parameters, bytes."""

    folder: str
    network: str
    parameters_m: float
    size: int
    dtype: str

    @property
    def megabytes(self) -> str:
        """Size for a table."""
        return f"{self.size / 1e6:.1f} MB ({self.dtype})"


@dataclass(frozen=True)
class Figure:
    """pAUC(`limit`) of a checkpoint on a benchmark, judged by a recogniser; lower is better."""

    benchmark: str
    title: str
    recognizer: str
    protocol: str
    fmr: float
    limit: str
    pauc: float


@dataclass(frozen=True)
class Threshold:
    """A score, the percentage of the reference images below it, and the FNMR left above it (None: not measured)."""

    score: float
    percentile: float
    fnmr: float | None = None


@dataclass(frozen=True)
class Group:
    """The distribution of the scores of one group of persons: number of images and score quantiles (5, 50, 95 %)."""

    name: str
    count: int
    quantiles: tuple[float, float, float]


@dataclass(frozen=True)
class Card:
    """What a card says besides the prose of its template.

    Attributes:
        title: first heading.
        library: "diffusers" or "transformers".
        parts: the networks.
        hashes: file -> SHA-256, 64 hex digits.
        weights: digest of all weights whatever their precision (`weights_digest`).
        figures: for the metadata that the Hub shows as results.
        tables: the same and more for readers, Markdown.
        thresholds, thresholds_on: the table, and what was measured for it: images, recogniser, comparisons, FMR.
        threshold_file: what `thresholds.json` beside the weights was measured on; "" if there is none.
        groups: score distributions by group of persons, where a set with such attributes was scored.
        licence: name of the licence of the weights.
        licence_reason: why it is that one.
    """

    title: str
    library: str
    parts: tuple[Part, ...]
    hashes: Mapping[str, str]
    weights: str
    figures: tuple[Figure, ...] = ()
    tables: str = ""
    thresholds: tuple[Threshold, ...] = ()
    thresholds_on: str = ""
    threshold_file: str = ""
    groups: tuple[Group, ...] = ()
    licence: str = "unknown"
    licence_reason: str = ""
    tags: list[str] = field(default_factory=lambda: list(TAGS))

    @property
    def metadata(self) -> str:
        """The YAML at the head of the card, with the figures as the Hub's model-index."""
        results = [
            EvalResult(
                task_type="face-image-quality",
                task_name="Face image quality assessment",
                dataset_type=figure.benchmark,
                dataset_name=figure.title,
                metric_type="edc_pauc",
                metric_name=f"pAUC({figure.limit.lstrip('0')}), recogniser {figure.recognizer}, protocol "
                f"{figure.protocol}, FMR {figure.fmr:g}; lower is better",
                metric_value=round(figure.pauc, 4),
            )
            for figure in self.figures
        ]
        data = ModelCardData(
            license="other",
            license_name=self.licence,
            library_name=self.library,
            pipeline_tag="image-classification",
            tags=self.tags,
            model_name=self.title if results else None,
            eval_results=results or None,
        )
        return data.to_yaml()

    def render(self, template: str = "card.md.jinja", folder: Path | None = None, **facts: Any) -> str:
        """The card as text.

        Args:
            template: its name, in `folder` or beside this file.
            folder: with templates that extend the one of this package.
            facts: what these ask for besides `card`.
        """
        return render(template, folder, card=self, **facts)


def render(template: str, folder: Path | None = None, **facts: Any) -> str:
    """A template of `folder`, or of those beside this file; a fact that it lacks is an error."""
    loader = ChoiceLoader([FileSystemLoader(path) for path in (folder, HERE) if path is not None])
    environment = Environment(
        loader=loader, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    return environment.get_template(template).render(**facts)


def card_of(folder: str | Path, title: str | None = None) -> Card:
    """All that a checkpoint's own files say.

    Args:
        folder: of a pipeline, a network or an image processor.
        title: None for the name of the class.
    """
    folder = Path(folder)
    index, config = _read(folder / "model_index.json"), _read(folder / "config.json")
    named = index.get("_class_name") or config.get("architectures") or config.get("_class_name") or "FaceImageProcessor"
    files = sorted(folder.rglob("*.safetensors"))
    quantiles = (index or config).get("reference_quantiles")
    return Card(
        title=title or (named if isinstance(named, str) else named[-1]),
        library="diffusers" if index or "_diffusers_version" in config else "transformers",
        parts=tuple(_parts(folder, files)),
        hashes={file.relative_to(folder).as_posix(): _sha256(file) for file in files},
        weights=weights_digest(folder) if files else "",
        thresholds=tuple(_percentiles(quantiles)) if quantiles else (),
        thresholds_on="the reference images of this checkpoint" if quantiles else "",
        threshold_file=_threshold_file(_read(folder / "thresholds.json")),
    )


def weights_digest(folder: str | Path) -> str:
    """16 hex digits of all weights of a checkpoint: the same in any precision that holds them, sharded or not.

    Names, shapes and float32 values; variants (`*.fp16.safetensors`) count only where there are no plain files.
    """
    digest, folder = hashlib.sha256(), Path(folder)
    for part in sorted({file.parent for file in folder.rglob("*.safetensors")}):
        plain = [file for file in part.glob("*.safetensors") if file.name.count(".") == 1]
        places = {name: file for file in plain or part.glob("*.safetensors") for name in _header(file)}
        digest.update(f"[{part.relative_to(folder).as_posix()}]".encode())
        for name, file in sorted(places.items()):
            shape, values = _read_tensor(file, name)
            digest.update(f"{name} {tuple(shape)}\n".encode())
            digest.update(values.astype(np.float32).tobytes())
    return digest.hexdigest()[:16]


def _read_tensor(file: Path, name: str) -> tuple[list[int], np.ndarray]:
    """Shape and flat values of a tensor, without torch; bfloat16, which numpy lacks, is the upper half of float32."""
    item = _header(file)[name]
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        start, end = item["data_offsets"]
        stream.seek(8 + length + start)
        content = stream.read(end - start)
    if item["dtype"] == "BF16":
        return item["shape"], (np.frombuffer(content, "<u2").astype("<u4") << 16).view("<f4")
    return item["shape"], np.frombuffer(content, DTYPES[item["dtype"]])


def _parts(folder: Path, files: list[Path]):
    """One part per folder with weights."""
    for part in sorted({file.parent for file in files}):
        config = _read(part / "config.json")
        own = [file for file in files if file.parent == part]
        headers = [_header(file) for file in own]
        tensors = [item for header in headers for name, item in header.items() if "running_" not in name]
        floats = [item for item in tensors if item["dtype"].startswith(("F", "BF"))]
        count = sum(math.prod(item["shape"]) for item in floats)
        dtypes = ", ".join(sorted({{"F16": "float16", "BF16": "bfloat16"}.get(i["dtype"], "float32") for i in floats}))
        network = config.get("_class_name") or (config.get("architectures") or ["?"])[-1]
        size = sum(file.stat().st_size for file in own)
        yield Part(part.relative_to(folder).as_posix().strip("."), network, round(count / 1e6, 2), size, dtypes)


def _header(file: Path) -> dict[str, Any]:
    """Names, types and shapes of a safetensors file."""
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        return {name: item for name, item in json.loads(stream.read(length)).items() if name != "__metadata__"}


def _percentiles(quantiles: list[float]):
    """Rows of the threshold table from evenly spaced quantiles (0 to 100 %)."""
    for percentile in PERCENTILES:
        place = percentile / 100 * (len(quantiles) - 1)
        low = int(place)
        high = min(low + 1, len(quantiles) - 1)
        yield Threshold(quantiles[low] + (place - low) * (quantiles[high] - quantiles[low]), percentile)


def _threshold_file(content: dict[str, Any]) -> str:
    """What the card of `difiqa threshold` knows, in words."""
    if not content:
        return ""
    errors = [f"{e['recognizer']} on {e['comparisons']} at FMR {e['fmr']:g}" for e in content["errors"]]
    return f"percentiles among {content['reference']}" + (f", and FNMR of {', '.join(errors)}" if errors else "")


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
