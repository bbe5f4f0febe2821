"""A cross-quality version of any benchmark: the second image of every comparison is degraded by a seeded recipe."""

import hashlib
from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
from PIL import Image

from difiqa_hf.benchmarks.base import Benchmark

_MARK = "#"  # "Name/Name_0001.jpg#17": that image, degraded for comparison 17 of the full protocol


@dataclass(frozen=True, eq=False)
class DegradedBenchmark(Benchmark):
    """A benchmark some of whose images are degraded when they are loaded.

    Attributes:
        seed: of the recipe; every degraded image has a seed of its own, derived from this one and its name.
    """

    seed: int = 0

    @property
    def recipe(self) -> str:
        """Seed and code of the degradation: cached scores must not outlive either."""
        return f"degradation {code_digest()}, seed {self.seed}"

    def treatment(self, index: int) -> str:
        name = self.images[index]
        return f"{self.recipe}, {name}" if _MARK in name else ""

    def source(self, index: int) -> str:
        return self.images[index].partition(_MARK)[0]

    def finish(self, image: Image.Image, index: int) -> Image.Image:
        return degrade_image(image, image_seed(self.seed, self.images[index])) if _MARK in self.images[index] else image


@cache
def code_digest() -> str:
    """12 hex digits (SHA-256) of the source of `difiqa_hf.degradation`."""
    folder = Path(str(files("difiqa_hf") / "degradation"))
    sources = b"".join(path.read_bytes() for path in sorted(folder.glob("*.py")))
    return hashlib.sha256(sources).hexdigest()[:12]


def degrade_second(benchmark: Benchmark, name: str, seed: int = 0) -> DegradedBenchmark:
    """Degrade the second image of every comparison of `benchmark`, anew for each; the first stays as it is."""
    rows = [
        (benchmark.images[a], f"{benchmark.images[b]}{_MARK}{index}", genuine, fold)
        for index, ((a, b), genuine, fold) in enumerate(
            zip(benchmark.pairs, benchmark.genuine.tolist(), benchmark.folds.tolist(), strict=True)
        )
    ]
    persons = benchmark.persons and dict(zip(benchmark.images, benchmark.persons, strict=True))
    person = persons and (lambda image: persons[image.partition(_MARK)[0]])
    plain = Benchmark.from_rows(name, benchmark.root, rows, person)
    return DegradedBenchmark(**{f.name: getattr(plain, f.name) for f in fields(plain)}, seed=seed)


def image_seed(seed: int, name: str) -> int:
    """63-bit seed from the recipe's seed and "image#comparison": it does not depend on what else is scored, or when."""
    return int.from_bytes(hashlib.sha256(f"{seed}\0{name}".encode()).digest()[:8]) >> 1


def degrade_image(image: Image.Image, seed: int) -> Image.Image:
    """Degrade an RGB image; the result has 8 bits per channel again, as a stored image would."""
    import torch

    from difiqa_hf.degradation import degrade

    pixel_values = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 127.5 - 1
    degraded = degrade(pixel_values, [seed])[0]
    return Image.fromarray(((degraded + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).numpy())
