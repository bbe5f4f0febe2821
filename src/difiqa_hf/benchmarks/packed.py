"""The `.bin` files of the face recognition community (`lfw.bin`, `cfp_fp.bin`, `calfw.bin`, …): all in one pickle.

A pickle can run code, so nothing but lists, bytes, truth values and arrays is let in.
"""

import hashlib
import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from difiqa_hf.benchmarks.base import Benchmark

FOLDS = 10
_ALLOWED = {
    ("_codecs", "encode"),  # bytes in pickles of Python 2's protocols
    ("builtins", "bytes"),
    ("numpy", "bool"), ("numpy", "bool_"), ("numpy", "dtype"), ("numpy", "ndarray"),
    ("numpy.core.multiarray", "_reconstruct"), ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "scalar"),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class PackedBenchmark(Benchmark):
    """A benchmark whose images are in memory; their names are the beginning of their SHA-256.

    Attributes:
        data: name -> stored bytes.
    """

    data: dict[str, bytes] | None = None

    def read(self, index: int) -> bytes:
        return self.data[self.images[index]]


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str):
        if (module, name) not in _ALLOWED:
            raise ValueError(
                f"this .bin file asks for {module}.{name}, which images and labels do not need: not loaded"
            )
        return super().find_class(module, name)


def load_packed(path: str | Path, name: str) -> PackedBenchmark:
    """Read (images, labels): comparison i is between images 2 i and 2 i + 1; ten folds of equal size in order.

    The same image in several comparisons is one image. The file knows no persons.

    Raises:
        ValueError: if the file is not such a pickle, or asks for anything but data.
    """
    try:
        with Path(path).open("rb") as file:
            images, labels = _Unpickler(file, encoding="bytes").load()
    except (pickle.UnpicklingError, EOFError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is not a pickle of images and labels: {error}") from error
    if len(images) != 2 * len(labels) or not len(labels):
        raise ValueError(f"{path} holds {len(images)} images and {len(labels)} labels; it must be two images a label")
    stored = [image.tobytes() if isinstance(image, np.ndarray) else bytes(image) for image in images]
    names = [f"{hashlib.sha256(image).hexdigest()[:16]}.jpg" for image in stored]
    folds = np.arange(len(labels)) * FOLDS // len(labels) + 1
    rows = zip(names[::2], names[1::2], np.asarray(labels, dtype=bool).tolist(), folds.tolist(), strict=True)
    plain = Benchmark.from_rows(name, Path(path), rows)
    data = dict(zip(names, stored, strict=True))
    return PackedBenchmark(name, plain.root, plain.images, plain.pairs, plain.genuine, plain.folds, data=data)
