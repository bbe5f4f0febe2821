"""IARPA Janus Benchmark C (Maze et al., ICB 2018), 1:1 verification of templates, in the layout of insightface.

A template is a set of images of one person, some of which are frames of one video (a medium). Its embedding is the
mean over its media of the mean over the images of a medium, of the embeddings as the recogniser gives them, as in
insightface's evaluation. How image qualities become a template's quality is not said in the paper; it is an option.
"""

from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from difiqa_hf.alignment import align
from difiqa_hf.benchmarks.base import Benchmark, Root, compact, open_root

TEMPLATE_QUALITIES = {
    "mean": lambda values: values.mean(),
    "min": lambda values: values.min(),
    "max": lambda values: values.max(),
    "median": np.median,
}
CHUNK = 2**20  # comparisons read at once
POOLED = 2**10  # templates whose embeddings are in memory twice


@dataclass(frozen=True, eq=False)
class TemplateBenchmark(Benchmark):
    """Comparisons between templates: `pairs` index `templates`.

    Attributes:
        templates: their numbers, as names.
        members: (m, 3) per use of an image in a template: index in `templates`, medium, index in `images`; sorted.
        points: (images, 5, 2) facial points for the alignment, or None if the images are aligned.
        template_quality: one of `TEMPLATE_QUALITIES`, over the images of a template.
    """

    templates: tuple[str, ...] = ()
    members: np.ndarray | None = None
    points: np.ndarray | None = None
    template_quality: str = "mean"

    @property
    def sides(self) -> tuple[str, ...]:
        return self.templates

    @property
    def aligns(self) -> bool:
        return self.points is not None

    @property
    def recipe(self) -> str:
        return "" if self.points is None else "aligned by the five points of the benchmark"

    def treatment(self, index: int) -> str:
        return "" if self.points is None else f"aligned by {self.points[index].tolist()}"

    def finish(self, image: Image.Image, index: int) -> Image.Image:
        return image if self.points is None else align(image, self.points[index])

    def side_embeddings(self, embeddings: np.ndarray) -> np.ndarray:
        """Mean over media of the mean over a medium's images (templates, dim)."""
        firsts = np.flatnonzero(np.diff(self.members[:, 0], prepend=-1))
        blocks = np.array_split(self.members, firsts[POOLED::POOLED])
        return np.concatenate([_template_means(block, embeddings) for block in blocks])

    def side_qualities(self, qualities: np.ndarray) -> np.ndarray:
        """`template_quality` of the images of a template (templates,)."""
        starts = np.flatnonzero(np.diff(self.members[:, 0])) + 1
        pool = TEMPLATE_QUALITIES[self.template_quality]
        return np.array([pool(values) for values in np.split(qualities[self.members[:, 2]], starts)])

    def select(self, keep: np.ndarray) -> "TemplateBenchmark":
        """Only the comparisons `keep`, with only the templates and images that they need."""
        used, pairs = compact(self.pairs[keep], len(self.templates))
        members = self.members[np.isin(self.members[:, 0], used)]
        images, members[:, 2] = np.unique(members[:, 2], return_inverse=True)
        members[:, 0] = np.searchsorted(used, members[:, 0])
        return replace(
            self,
            images=tuple(self.images[i] for i in images),
            pairs=pairs,
            genuine=self.genuine[keep],
            folds=self.folds[keep],
            templates=tuple(self.templates[i] for i in used),
            members=members,
            points=None if self.points is None else self.points[images],
        )

    def without(self, lost: np.ndarray) -> tuple["TemplateBenchmark", np.ndarray]:
        """Lost images leave their templates; comparisons are lost only where a template has no image left."""
        left = replace(self, members=self.members[~lost[self.members[:, 2]]])
        good = np.isin(np.arange(len(self.templates)), left.members[:, 0])[self.pairs].all(axis=1)
        return left.select(good), good


def load_ijbc(root: str | Path, template_quality: str = "mean") -> TemplateBenchmark:
    """Read `meta/ijbc_*.txt`; images are in `loose_crop/`, aligned by their five points, or aligned ones in `aligned/`.

    Raises:
        FileNotFoundError: if the meta files or the images are not there.
        ValueError: for another way to pool qualities, or files that do not fit each other.
    """
    if template_quality not in TEMPLATE_QUALITIES:
        raise ValueError(f"template_quality must be one of {', '.join(TEMPLATE_QUALITIES)}, found {template_quality!r}")
    folder = open_root(root, "meta/ijbc_face_tid_mid.txt")
    kind = next((name for name in ("aligned", "loose_crop") if (folder / name).is_dir()), None)
    if kind is None:
        raise FileNotFoundError(f"found neither aligned nor loose_crop beside meta in {root}")
    rows = [line.split() for line in _text(folder / "meta" / "ijbc_face_tid_mid.txt").splitlines()]
    names, template, medium = zip(*rows, strict=True)
    images = {name: index for index, name in enumerate(dict.fromkeys(names))}
    numbers, template = np.unique(np.array(template, dtype=np.int32), return_inverse=True)
    members = np.stack([template, np.array(medium, dtype=np.int64), [images[name] for name in names]], axis=1)
    pairs, genuine = read_comparisons(folder / "meta" / "ijbc_template_pair_label.txt", numbers)
    benchmark = TemplateBenchmark(
        "ijb-c", folder / kind, tuple(images), pairs, genuine, np.ones(len(pairs), dtype=np.int8),
        templates=tuple(map(str, numbers)),
        members=members[np.lexsort(members.T[::-1])],
        points=read_points(folder, images) if kind == "loose_crop" else None,
        template_quality=template_quality,
    )  # fmt: skip
    return benchmark.select(np.ones(len(pairs), dtype=bool))


def read_comparisons(file: Root, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, 2) indices into the template `numbers` and (N,) labels, of lines "template template label", a chunk at once.

    Raises:
        ValueError: for a template without an image in the other file.
    """
    pairs, genuine = [], []
    with file.open(encoding="utf-8") as lines:
        while chunk := list(islice(lines, CHUNK)):
            columns = np.loadtxt(chunk, dtype=np.int32, ndmin=2)
            index = np.searchsorted(numbers, columns[:, :2]).clip(max=len(numbers) - 1)
            unknown = columns[:, :2][numbers[index] != columns[:, :2]]
            if len(unknown):
                raise ValueError(f"{file} compares template {unknown[0]}, of which there is no image")
            pairs.append(index.astype(np.int32))
            genuine.append(columns[:, 2] == 1)
    return np.concatenate(pairs), np.concatenate(genuine)


def read_points(folder: Root, images: dict[str, int]) -> np.ndarray:
    """(images, 5, 2) of lines "image x y x y x y x y x y score"."""
    points, file = np.full((len(images), 5, 2), np.nan), folder / "meta" / "ijbc_name_5pts_score.txt"
    for line in _text(file).splitlines():
        name, *numbers = line.split()
        if name in images:
            points[images[name]] = np.array(numbers[:10], dtype=float).reshape(5, 2)
    if np.isnan(points).any():
        missing = list(images)[int(np.argwhere(np.isnan(points))[0, 0])]
        raise ValueError(f"{file} has no points for {missing}")
    return points


def _text(file: Root) -> str:
    return file.read_text(encoding="utf-8")


def _template_means(members: np.ndarray, embeddings: np.ndarray) -> np.ndarray:
    """(templates, dim): mean over media of the mean over a medium's images, of whole templates."""
    new_medium = np.append(True, (np.diff(members[:, :2], axis=0) != 0).any(axis=1))
    media = _means(embeddings[members[:, 2]].astype(np.float64), new_medium)
    return _means(media, np.append(True, np.diff(members[new_medium, 0]) != 0))


def _means(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Means of consecutive rows, a group from every row where `starts` is true."""
    first = np.flatnonzero(starts)
    counts = np.diff(first, append=len(values))
    return np.add.reduceat(values, first, axis=0) / counts[:, None]
