"""Comparisons or persons drawn with replacement."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike


def resamples(genuine: np.ndarray, persons: ArrayLike | None, num_resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Positions of the comparisons of every resample, in input order, repetitions side by side."""
    rng, everything = np.random.default_rng(seed), np.arange(len(genuine))
    if persons is None:
        kinds = np.flatnonzero(genuine), np.flatnonzero(~genuine)
        for _ in range(num_resamples):
            times = np.zeros(len(genuine), dtype=np.int64)
            for members in kinds:
                times[members] = _times(rng, len(members))
            yield np.repeat(everything, times)
        return
    number, n_persons = _person_numbers(genuine, persons)
    for _ in range(num_resamples):
        first, second = _times(rng, n_persons)[number].T
        yield np.repeat(everything, np.where(genuine, first, first * second))


def check_resampling(num_resamples: int, confidence: float) -> None:
    """Raises ValueError for numbers that give no interval."""
    if num_resamples < 1 or not 0 < confidence < 1:
        raise ValueError(
            f"num_resamples must be at least 1 and confidence in (0, 1), found {num_resamples} and {confidence}"
        )


def percentiles(samples: np.ndarray, confidence: float) -> np.ndarray:
    """(2, points): both ends of the central `confidence` of the samples (num_resamples, points) that are not NaN."""
    ends, tail = np.full((2, samples.shape[1]), np.nan), (1 - confidence) / 2
    if (defined := ~np.isnan(samples).all(axis=0)).any():
        ends[:, defined] = np.nanquantile(samples[:, defined], [tail, 1 - tail], axis=0)
    return ends


def _times(rng: np.random.Generator, n: int) -> np.ndarray:
    """(n,): how often each of n is among n drawn with replacement."""
    return np.bincount(rng.integers(n, size=n), minlength=n)


def _person_numbers(genuine: np.ndarray, persons: ArrayLike) -> tuple[np.ndarray, int]:
    persons = np.asarray(persons)
    if persons.shape != (len(genuine), 2):
        raise ValueError(f"persons must be ({len(genuine)}, 2), one for every side, found {persons.shape}")
    names, number = np.unique(persons, return_inverse=True)
    number = number.reshape(persons.shape)
    wrong = np.flatnonzero((number[:, 0] == number[:, 1]) != genuine)
    if len(wrong):
        a, b = persons[wrong[0]].tolist()
        kind = "genuine" if genuine[wrong[0]] else "impostor"
        raise ValueError(f"comparison {wrong[0]} is {kind} but its persons are {a!r} and {b!r}")
    return number, len(names)
