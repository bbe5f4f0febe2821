"""What a benchmark is: images in a zip or a folder, and comparisons between them with their label and fold."""

import hashlib
import io
import warnings
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from difiqa_hf.image_processing import to_rgb

SIZE = (112, 112)
Root = Path | zipfile.Path


class UnavailableImageError(ValueError):
    """An image that a comparison needs is missing or cannot be decoded."""


@dataclass(frozen=True, eq=False)
class Benchmark:
    """Images and the comparisons between them.

    Attributes:
        name: for example "lfw".
        root: the folder, on disk or in a zip, that the image names are relative to.
        images: the names of the images that the comparisons use, some of which may be missing under `root`.
        pairs: (N, 2) indices into `images`.
        genuine: (N,) bool, whether both images show the same person.
        folds: (N,) the fold of every comparison, as numbered by the protocol.
    """

    name: str
    root: Root
    images: tuple[str, ...]
    pairs: np.ndarray
    genuine: np.ndarray
    folds: np.ndarray

    @classmethod
    def from_rows(cls, name: str, root: Root, rows: Iterable[tuple[str, str, bool, int]]) -> "Benchmark":
        """Build from (first image, second image, genuine, fold) per comparison."""
        first, second, genuine, folds = zip(*rows, strict=True)
        index = {image: number for number, image in enumerate(dict.fromkeys(first + second))}
        pairs = [(index[a], index[b]) for a, b in zip(first, second, strict=True)]
        return cls(name, root, tuple(index), np.array(pairs), np.array(genuine), np.array(folds))

    @property
    def recipe(self) -> str:
        """What is done to the stored images, beyond reading them."""
        return ""

    def source(self, index: int) -> str:
        """Name of the file, relative to `root`, that image `index` is made from."""
        return self.images[index]

    def read(self, index: int) -> bytes:
        """The stored bytes of an image.

        Raises:
            UnavailableImageError: if there is no such file.
        """
        try:
            return (self.root / self.source(index)).read_bytes()
        except (OSError, KeyError, zipfile.BadZipFile, zlib.error) as error:
            reason = "missing" if isinstance(error, FileNotFoundError) else f"unreadable: {error}"
            raise UnavailableImageError(f"{self.source(index)}: {reason}") from error

    def load_image(self, index: int) -> Image.Image:
        """Image `index`, RGB.

        Raises:
            UnavailableImageError: if the file is missing or not an image.
        """
        return decode(self.read(index), self.source(index))

    def select(self, keep: np.ndarray) -> "Benchmark":
        """Only the comparisons `keep` (indices or a mask), with only the images that they need."""
        pairs = self.pairs[keep]
        used, renumbered = np.unique(pairs, return_inverse=True)
        return replace(
            self,
            images=tuple(self.images[i] for i in used),
            pairs=renumbered.reshape(pairs.shape),
            genuine=self.genuine[keep],
            folds=self.folds[keep],
        )

    def spread(self, count: int) -> "Benchmark":
        """`count` comparisons, half of them genuine, evenly spaced through every fold; always the same ones."""
        half = count // 2
        available = min(np.count_nonzero(self.genuine), np.count_nonzero(~self.genuine))
        if count % 2 or not 1 <= half <= available:
            raise ValueError(f"pairs must be even and from 2 to {2 * available} for {self.name}, found {count}")
        keep = []
        for kind in (self.genuine, ~self.genuine):
            members = np.flatnonzero(kind)
            members = members[np.argsort(self.folds[members], kind="stable")]
            keep.append(members[np.arange(half) * len(members) // half])
        return self.select(np.sort(np.concatenate(keep)))


def decode(data: bytes, name: str) -> Image.Image:
    """Decode to RGB, all of it: a truncated file is refused."""
    try:
        return to_rgb(Image.open(io.BytesIO(data)))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UnavailableImageError(f"{name}: unreadable: {error}") from error


def open_root(root: str | Path, marker: str) -> Root:
    """The folder that holds `marker`: `root` (a folder or a zip) itself or a folder directly inside it.

    Raises:
        FileNotFoundError: if `root` does not exist or holds no `marker`.
        ValueError: if `root` is a file but not a zip.
    """
    root = Path(root)
    if root.is_file() and not zipfile.is_zipfile(root):
        raise ValueError(f"{root} is neither a folder nor a zip")
    if not root.exists():
        raise FileNotFoundError(f"{root} does not exist")
    top = zipfile.Path(root) if root.is_file() else root
    for folder in [top, *sorted(top.iterdir(), key=lambda child: child.name)]:
        if (folder / marker).is_file():
            return folder
    raise FileNotFoundError(f"found no {marker} in {root} or in a folder directly inside; is it this benchmark?")


@dataclass(frozen=True, eq=False)
class Available:
    """A benchmark without the comparisons that cannot be scored.

    Attributes:
        benchmark: what can be scored.
        digests: SHA-256 of the stored bytes of every image of `benchmark`.
        skipped: the names of both images of every comparison left out.
        problems: name of every unavailable image -> what is wrong with it.
    """

    benchmark: Benchmark
    digests: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]
    problems: dict[str, str]

    @property
    def content(self) -> str:
        """SHA-256 of everything that a score of these images may depend on: names, bytes and recipe."""
        lines = [self.benchmark.recipe]
        lines += [f"{name}\0{digest}" for name, digest in zip(self.benchmark.images, self.digests, strict=True)]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def leave_out_unavailable(benchmark: Benchmark) -> Available:
    """Read and decode every image once; comparisons with one that is missing or unreadable are left out and named.

    Raises:
        ValueError: if no comparison is left.

    Warns:
        UserWarning: if images do not have the size of aligned faces.
    """
    digests, problems, resized = {}, {}, []
    for index, name in enumerate(benchmark.images):
        try:
            data = benchmark.read(index)
            if decode(data, benchmark.source(index)).size != SIZE:
                resized.append(name)
            digests[name] = hashlib.sha256(data).hexdigest()
        except UnavailableImageError as error:
            problems[name] = str(error)
    if resized:
        warnings.warn(
            f"{len(resized)} of {len(benchmark.images)} images, {resized[0]} first, are not 112 x 112: they are "
            "resized, not aligned; figures mean something only for faces on the ArcFace template",
            stacklevel=2,
        )
    good = np.array([name in digests for name in benchmark.images])[benchmark.pairs].all(axis=1)
    if not good.any():
        raise ValueError(
            f"none of the {len(good)} comparisons of {benchmark.name} can be scored: {len(problems)} of "
            f"{len(benchmark.images)} images are missing or unreadable, the first is {next(iter(problems.values()))}"
        )
    skipped = tuple((benchmark.images[a], benchmark.images[b]) for a, b in benchmark.pairs[~good])
    kept = benchmark.select(good)
    return Available(kept, tuple(digests[name] for name in kept.images), skipped, problems)
