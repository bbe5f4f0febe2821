"""What a benchmark is: images in a zip or a folder, and comparisons between them with their label and fold."""

import io
import zipfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from difiqa_hf.image_processing import to_rgb

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
        pairs: (N, 2) indices into the sides that are compared: images, if not said otherwise.
        genuine: (N,) bool, whether both sides show the same person.
        folds: (N,) the fold of every comparison, as numbered by the protocol.
        persons: the person on every image, where the layout says so.
    """

    name: str
    root: Root
    images: tuple[str, ...]
    pairs: np.ndarray
    genuine: np.ndarray
    folds: np.ndarray
    persons: tuple[str, ...] | None = None

    @classmethod
    def from_rows(
        cls,
        name: str,
        root: Root,
        rows: Iterable[tuple[str, str, bool, int]],
        person: Callable[[str], str] | None = None,
    ) -> "Benchmark":
        """Build from (first image, second image, genuine, fold) per comparison; `person` reads him off an image's name.

        Persons that contradict the labels, as wrong labels do, are forgotten.
        """
        first, second, genuine, folds = zip(*rows, strict=True)
        index = {image: number for number, image in enumerate(dict.fromkeys(first + second))}
        pairs = [(index[a], index[b]) for a, b in zip(first, second, strict=True)]
        pairs, genuine, persons = np.array(pairs), np.array(genuine), None
        if person is not None:
            persons = tuple(map(person, index))
            number = np.unique(persons, return_inverse=True)[1][pairs]
            persons = persons if ((number[:, 0] == number[:, 1]) == genuine).all() else None
        return cls(name, root, tuple(index), pairs, genuine, np.array(folds), persons)

    @property
    def aligns(self) -> bool:
        """Whether images are brought onto the ArcFace template when they are loaded."""
        return False

    @property
    def recipe(self) -> str:
        """What is done to the stored images, beyond reading them."""
        return ""

    def treatment(self, index: int) -> str:
        """What is done to stored image `index`, in full; "" for nothing."""
        return ""

    @property
    def sides(self) -> tuple[str, ...]:
        """Names of what is compared."""
        return self.images

    def side_embeddings(self, embeddings: np.ndarray) -> np.ndarray:
        """(sides, dim) from those of the images (images, dim)."""
        return embeddings

    def side_qualities(self, qualities: np.ndarray) -> np.ndarray:
        """(sides,) from those of the images (images,)."""
        return qualities

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
        return self.finish(decode(self.read(index), self.source(index)), index)

    def finish(self, image: Image.Image, index: int) -> Image.Image:
        """What is done to the decoded image; see `recipe`."""
        return image

    def select(self, keep: np.ndarray) -> "Benchmark":
        """Only the comparisons `keep` (indices or a mask), with only the images that they need."""
        used, pairs = compact(self.pairs[keep], len(self.images))
        return replace(
            self,
            images=tuple(self.images[i] for i in used),
            pairs=pairs,
            genuine=self.genuine[keep],
            folds=self.folds[keep],
            persons=self.persons and tuple(self.persons[i] for i in used),
        )

    def without(self, lost: np.ndarray) -> tuple["Benchmark", np.ndarray]:
        """What can be compared without the images `lost` (images,) bool, and which comparisons (N,) bool that are."""
        good = ~lost[self.pairs].any(axis=1)
        return self.select(good), good

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


def compact(pairs: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Which of `count` sides `pairs` (N, 2) use, ascending, and the pairs by their places among these."""
    used = np.zeros(count, dtype=bool)
    used[pairs] = True
    return np.flatnonzero(used), (np.cumsum(used, dtype=pairs.dtype) - 1)[pairs]


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
