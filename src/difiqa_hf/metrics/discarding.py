"""Which comparisons are still there at every point of a grid, without sorting them all.

Comparisons leave in the order of (quality, position in the input), and a grid has few points. So the comparisons *at*
the grid points are found by partition, and of the others only those that matter are ever compared with them.
"""

from dataclasses import dataclass
from fractions import Fraction
from math import floor

import numpy as np

from difiqa_hf.metrics.comparisons import Comparisons


@dataclass(frozen=True, eq=False)
class Schedule:
    """When comparisons leave: before point i all those below (quality[i], position[i]), in dictionary order.

    Attributes:
        values: (N,) what comparisons are ordered by.
        quality, position: (points,), ascending in dictionary order.
        removed: (points,) how many comparisons have left.
    """

    values: np.ndarray
    quality: np.ndarray
    position: np.ndarray
    removed: np.ndarray

    def lives(self, positions: np.ndarray) -> np.ndarray:
        """(n,): the comparisons at `positions` of the input are there at the points 0 to lives - 1."""
        values = self.values[positions]
        lives = np.searchsorted(self.quality, values, side="right")
        for quality in np.unique(self.quality):  # the few that tie with a grid point are decided by their position
            first, last = np.searchsorted(self.quality, quality), np.searchsorted(self.quality, quality, side="right")
            tied = np.flatnonzero(values == quality)
            lives[tied] = first + np.searchsorted(self.position[first:last], positions[tied], side="right")
        return lives.astype(np.int32, copy=False)


def schedule_pairs(quality: np.ndarray, grid: list[Fraction], ties: str) -> Schedule:
    """At point d the floor(d * N) lowest have left; `ties` "skip": equal qualities stay until all of them fit."""
    counts = [floor(d * len(quality)) for d in grid]
    ordered = np.partition(quality, sorted(set(counts)))
    below, previous = [], 0
    for count in counts:
        # What equals the quality at this point and lies before it is behind the previous point, or ties with that.
        if previous and ordered[previous] == ordered[count]:
            below.append(below[-1])
        else:
            below.append(count - np.count_nonzero(ordered[previous:count] == ordered[count]))
        previous = count
    edges = ordered[counts]
    del ordered
    if ties == "skip":
        return Schedule(quality, edges, np.zeros(len(edges), dtype=np.int64), np.array(below))
    position = [
        np.flatnonzero(quality == edge)[count - first] for edge, count, first in zip(edges, counts, below, strict=True)
    ]
    return Schedule(quality, edges, np.array(position), np.array(counts))


def schedule_images(comparisons: Comparisons, grid: list[Fraction]) -> Schedule:
    """At point d the floor(d * M) lowest of the M images compared have left (ties: by index), and what needs them."""
    rank, n_images = image_ranks(comparisons)
    values = np.minimum(rank[comparisons.images[:, 0]], rank[comparisons.images[:, 1]])
    counts = np.array([floor(d * n_images) for d in grid])
    removed = np.array([np.count_nonzero(values < count) for count in counts])
    return Schedule(values, counts, np.zeros(len(counts), dtype=np.int64), removed)


def image_ranks(comparisons: Comparisons) -> tuple[np.ndarray, int]:
    """(M,) place of every image that is compared in the order of quality, from 0, and how many are compared."""
    used = np.zeros(len(comparisons.image_quality), dtype=bool)
    used[comparisons.images] = True
    used = np.flatnonzero(used)
    rank = np.full(len(comparisons.image_quality), -1, dtype=np.int32)
    rank[used[np.argsort(comparisons.image_quality[used], kind="stable")]] = np.arange(len(used))
    return rank, len(used)
