"""What of a benchmark can be scored: images that are missing or unreadable are found before anything is computed."""

import hashlib
import os
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from difiqa_hf.benchmarks.base import Benchmark, UnavailableImageError, decode

SIZE = (112, 112)


@dataclass(frozen=True, eq=False)
class Available:
    """A benchmark without the comparisons that cannot be scored.

    Attributes:
        benchmark: what can be scored.
        digests: SHA-256 of the stored bytes of every image of `benchmark`.
        skipped: the names of both sides of every comparison left out.
        problems: name of every unavailable image -> what is wrong with it.
    """

    benchmark: Benchmark
    digests: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]
    problems: dict[str, str]

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """What a score of every image of `benchmark` may depend on: its bytes, and what is done to them."""
        return tuple(
            hashlib.sha256("\n".join((digest, self.benchmark.treatment(i))).encode()).hexdigest()
            for i, digest in enumerate(self.digests)
        )

    @property
    def content(self) -> str:
        """SHA-256 of everything that a score of these images may depend on: names, bytes and recipe."""
        lines = [self.benchmark.recipe]
        lines += [f"{name}\0{digest}" for name, digest in zip(self.benchmark.images, self.digests, strict=True)]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def leave_out_unavailable(benchmark: Benchmark, cache_dir: str | Path | None = None) -> Available:
    """Read and decode every image once; comparisons with one that is missing or unreadable are left out and named.

    Args:
        benchmark: what is wanted.
        cache_dir: remembers the SHA-256 of aligned images that could be decoded, so that they need not be again.

    Raises:
        ValueError: if no comparison is left.

    Warns:
        UserWarning: if images do not have the size of aligned faces.
    """
    digests, problems, resized, good = {}, {}, [], _Good(cache_dir)
    for index, name in enumerate(benchmark.images):
        try:
            data = benchmark.read(index)
            digest = hashlib.sha256(data).hexdigest()
            if digest not in good.digests:
                if decode(data, benchmark.source(index)).size == SIZE:
                    good.digests.add(digest)
                elif not benchmark.aligns:
                    resized.append(name)
            digests[name] = digest
        except UnavailableImageError as error:
            problems[name] = str(error)
    if resized:
        warnings.warn(
            f"{len(resized)} of {len(benchmark.images)} images, {resized[0]} first, are not 112 x 112: they are "
            "resized, not aligned; figures mean something only for faces on the ArcFace template",
            stacklevel=2,
        )
    good.write()
    kept, possible = benchmark.without(np.array([name in problems for name in benchmark.images]))
    if not possible.any():
        raise ValueError(
            f"none of the {len(possible)} comparisons of {benchmark.name} can be scored: {len(problems)} of "
            f"{len(benchmark.images)} images are missing or unreadable, the first is {next(iter(problems.values()))}"
        )
    skipped = tuple((benchmark.sides[a], benchmark.sides[b]) for a, b in benchmark.pairs[~possible])
    return Available(kept, tuple(digests[name] for name in kept.images), skipped, problems)


class _Good:
    """Digests of images that have the right size and can be decoded, kept in a file of `cache_dir`."""

    def __init__(self, cache_dir: str | Path | None):
        self.path = None if cache_dir is None else Path(cache_dir) / "decodable.txt"
        stored = self.path.read_text().split() if self.path and self.path.exists() else []
        self.digests, self.before = set(stored), len(stored)

    def write(self) -> None:
        if self.path is not None and len(self.digests) > self.before:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            partial = self.path.with_suffix(f".{os.getpid()}.partial")
            partial.write_text("\n".join(sorted(self.digests)))
            partial.replace(self.path)
