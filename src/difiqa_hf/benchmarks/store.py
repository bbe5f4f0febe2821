"""Results image by image, kept in files that many processes may write and any later run may read."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from difiqa_hf import __version__


@dataclass(frozen=True, eq=False)
class Output:
    """The result of a task.

    Attributes:
        values: (images, ...), in the order of the benchmark's images.
        seconds: what computing it took, when it was computed; without reading the images.
        cached: whether all of it was read from the cache.
    """

    values: np.ndarray
    seconds: float
    cached: bool


class Store:
    """Key of an image -> what one task says of it; a folder of files keeps it, or nothing does.

    The folder is named by the task's fingerprint and our version, a file by the images whose results it holds.
    """

    def __init__(self, cache_dir: str | Path | None, fingerprint: str):
        name = hashlib.sha256("\n".join((fingerprint, __version__)).encode()).hexdigest()
        self.folder = Path(cache_dir) / name if cache_dir is not None and fingerprint else None
        self.cached = True
        self._values: dict[str, tuple[np.ndarray, float]] = {}
        self._read: set[Path] = set()
        self.read()

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def read(self) -> None:
        """What other processes and earlier runs have kept."""
        for path in sorted(set(self.folder.glob("*.npz")) - self._read) if self.folder else ():
            with np.load(path) as data:
                self._remember(data["keys"].tolist(), data["values"], data["seconds"].item())
            self._read.add(path)

    def add(self, keys: list[str], values: np.ndarray, seconds: float) -> None:
        """Keep the results (images, ...) of a chunk, whole or not at all."""
        self._remember(keys, values, seconds)
        self.cached = False
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{hashlib.sha256(chr(10).join(keys).encode()).hexdigest()[:32]}.npz"
        partial = path.with_suffix(f".{os.getpid()}.partial")
        with partial.open("wb") as file:
            np.savez(file, keys=keys, values=values, seconds=seconds)
        partial.replace(path)
        self._read.add(path)

    def output(self, keys: tuple[str, ...]) -> Output:
        """The results of the images, in their order."""
        return Output(
            np.stack([self._values[key][0] for key in keys]),
            sum(self._values[key][1] for key in set(keys)),
            self.cached,
        )

    def _remember(self, keys: list[str], values: np.ndarray, seconds: float) -> None:
        for key, value in zip(keys, values, strict=True):
            self._values[key] = value, seconds / len(keys)
