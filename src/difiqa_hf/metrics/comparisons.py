"""Scored comparisons, checked once and sorted by pair quality."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True, eq=False)
class Comparisons:
    """Comparisons in ascending order of pair quality; ties keep their input order.

    Attributes:
        similarity: (N,), finite, higher = more alike.
        genuine: (N,) bool, whether both images show the same person.
        quality: (N,), finite and ascending, higher = better.
    """

    similarity: np.ndarray
    genuine: np.ndarray
    quality: np.ndarray

    @classmethod
    def checked(
        cls, similarity: ArrayLike, genuine: ArrayLike, quality: ArrayLike, higher_is_better: bool = True
    ) -> "Comparisons":
        """Check and sort; quality is (N,) per pair or (N, 2) per side, of which the worse side counts.

        Raises:
            ValueError: for shapes that do not fit, NaN or infinite values, labels other than 0 and 1, or pairs of only
                one kind.
        """
        similarity, quality = _finite("similarity", similarity), _finite("quality", quality)
        genuine = np.asarray(genuine)
        if similarity.ndim != 1 or genuine.shape != similarity.shape:
            raise ValueError(f"similarity and genuine must be (N,), found {similarity.shape} and {genuine.shape}")
        if quality.shape not in (similarity.shape, (len(similarity), 2)):
            raise ValueError(f"quality must be (N,) or (N, 2) with N = {len(similarity)}, found {quality.shape}")
        genuine = _labels(genuine)
        quality = quality if higher_is_better else -quality
        quality = quality.min(axis=1) if quality.ndim == 2 else quality
        order = np.argsort(quality, kind="stable")
        return cls(similarity[order], genuine[order], quality[order])


def _finite(name: str, values: ArrayLike) -> np.ndarray:
    values = np.asarray(values)
    if not np.issubdtype(values.dtype, np.floating):
        values = values.astype(np.float64)
    bad = ~np.isfinite(values)
    if bad.any():
        raise ValueError(
            f"{name} must be finite, found {np.count_nonzero(bad)} NaN or infinite of {values.size}, the first at "
            f"index {np.argwhere(bad)[0].tolist()}; leave comparisons without a score out and report them"
        )
    return values


def _labels(genuine: np.ndarray) -> np.ndarray:
    labels = genuine.astype(bool)
    if not (labels == genuine).all():
        raise ValueError(f"genuine must be bool or 0 and 1, found {np.unique(genuine)[:5].tolist()}")
    n_genuine = np.count_nonzero(labels)
    if n_genuine in (0, len(labels)):
        raise ValueError(
            f"found {n_genuine} genuine and {len(labels) - n_genuine} impostor comparisons; both kinds are needed: "
            "impostors set the threshold, genuine ones the FNMR"
        )
    return labels
