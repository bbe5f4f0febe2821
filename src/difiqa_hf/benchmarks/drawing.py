"""Comparisons between images of known persons, all of them or drawn."""

from collections.abc import Sequence

import numpy as np

MAX_IMPOSTORS = 1_000_000  # unless said otherwise: at FMR 1e-3 the threshold then hangs on a thousand scores
FEW = 10**6  # impostor comparisons that are listed before some are drawn


def drawn_pairs(
    persons: Sequence[str], n_genuine: int | None, n_impostor: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Different comparisons (N, 2) between images of these persons, genuine first, and which are genuine (N,) bool.

    Args:
        persons: one per image.
        n_genuine, n_impostor: at most so many are drawn; None: every genuine one.
        rng: what draws.
    """
    number = np.unique(persons, return_inverse=True)[1]
    genuine = _genuine(number)
    if n_genuine is not None and n_genuine < len(genuine):
        genuine = genuine[np.sort(rng.choice(len(genuine), n_genuine, replace=False))]
    impostor = _impostor(number, n_impostor, rng)
    pairs = np.concatenate([genuine, impostor]).astype(np.int32)
    return pairs, np.arange(len(pairs)) < len(genuine)


def _genuine(number: np.ndarray) -> np.ndarray:
    order = np.argsort(number, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(number[order])) + 1)
    return np.concatenate([group[np.stack(np.triu_indices(len(group), 1), axis=1)] for group in groups])


def _impostor(number: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    n, sizes = len(number), np.bincount(number)
    total = (n * n - int((sizes**2).sum())) // 2
    if total <= max(2 * count, FEW):
        every = np.stack(np.triu_indices(n, 1), axis=1)
        every = every[number[every[:, 0]] != number[every[:, 1]]]
        return every if total <= count else every[np.sort(rng.choice(total, count, replace=False))]
    codes = np.zeros(0, dtype=np.int64)  # of a comparison: n * first + second
    while len(codes) < count:
        first, second = np.sort(rng.integers(n, size=(count, 2)), axis=1).T
        codes = np.union1d(codes, (n * first + second)[number[first] != number[second]])
    codes = np.sort(rng.choice(codes, count, replace=False))
    return np.stack([codes // n, codes % n], axis=1)
