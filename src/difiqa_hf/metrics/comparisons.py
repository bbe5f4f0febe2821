"""Scored comparisons, checked once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True, eq=False)
class Comparisons:
    """Comparisons in their input order, which decides between equal qualities.

    Attributes:
        similarity: (N,), finite, higher = more alike.
        genuine: (N,) bool, whether both sides show the same person.
        quality: (N,), finite, higher = better: that of the worse side.
        images: (N, 2) indices of the images compared, if they are known.
        image_quality: (M,) quality of every image, with `images`.
    """

    similarity: np.ndarray
    genuine: np.ndarray
    quality: np.ndarray
    images: np.ndarray | None = None
    image_quality: np.ndarray | None = None

    @classmethod
    def checked(
        cls,
        similarity: ArrayLike,
        genuine: ArrayLike,
        quality: ArrayLike,
        higher_is_better: bool = True,
        images: ArrayLike | None = None,
    ) -> "Comparisons":
        """Check; quality is (N,) per pair or (N, 2) per side, of which the worse counts, or (M,) with `images`.

        Raises:
            ValueError: for shapes that do not fit, NaN or infinite values, labels other than 0 and 1, or pairs of only
                one kind.
        """
        similarity, quality = _finite("similarity", similarity), _finite("quality", quality)
        genuine = np.asarray(genuine)
        if similarity.ndim != 1 or genuine.shape != similarity.shape:
            raise ValueError(f"similarity and genuine must be (N,), found {similarity.shape} and {genuine.shape}")
        genuine = _labels(genuine)
        quality = quality if higher_is_better else -quality
        if images is not None:
            images, quality = _images(images, len(similarity), quality)
            return cls(similarity, genuine, _worse(quality[images[:, 0]], quality[images[:, 1]]), images, quality)
        if quality.shape not in (similarity.shape, (len(similarity), 2)):
            raise ValueError(f"quality must be (N,) or (N, 2) with N = {len(similarity)}, found {quality.shape}")
        return cls(similarity, genuine, quality if quality.ndim == 1 else _worse(quality[:, 0], quality[:, 1]))

    def take(self, positions: np.ndarray) -> "Comparisons":
        """Only the comparisons at `positions` (n,), in that order; repetitions are comparisons of their own."""
        images = None if self.images is None else self.images[positions]
        return Comparisons(
            self.similarity[positions], self.genuine[positions], self.quality[positions], images, self.image_quality
        )


_worse = np.minimum


def _finite(name: str, values: ArrayLike) -> np.ndarray:
    values = np.asarray(values)
    if not np.issubdtype(values.dtype, np.floating):
        values = values.astype(np.float64)
    good = np.isfinite(values)
    if not good.all():
        raise ValueError(
            f"{name} must be finite, found {np.count_nonzero(~good)} NaN or infinite of {values.size}, the first at "
            f"index {np.argwhere(~good)[0].tolist()}; leave comparisons without a score out and report them"
        )
    return values


def _labels(genuine: np.ndarray) -> np.ndarray:
    labels = genuine.astype(bool, copy=False)
    if genuine.dtype != bool and not (labels == genuine).all():
        raise ValueError(f"genuine must be bool or 0 and 1, found {np.unique(genuine)[:5].tolist()}")
    n_genuine = np.count_nonzero(labels)
    if n_genuine in (0, len(labels)):
        raise ValueError(
            f"found {n_genuine} genuine and {len(labels) - n_genuine} impostor comparisons; both kinds are needed: "
            "impostors set the threshold, genuine ones the FNMR"
        )
    return labels


def _images(images: ArrayLike, n: int, quality: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices (N, 2) and the quality of every image (M,), which may be given per side (N, 2) too."""
    images = np.asarray(images)
    if images.shape != (n, 2) or not np.issubdtype(images.dtype, np.integer):
        raise ValueError(f"images must be whole numbers ({n}, 2), found {images.dtype} {images.shape}")
    if quality.shape == images.shape:
        per_image = np.zeros(images.max() + 1, dtype=quality.dtype)
        per_image[images] = quality
        if (wrong := per_image[images] != quality).any():
            raise ValueError(f"image {images[wrong][0]} has more than one quality; one quality per image is needed")
        quality = per_image
    if quality.ndim != 1 or images.min() < 0 or images.max() >= len(quality):
        raise ValueError(
            f"with images, quality must be (M,), one per image, or (N, 2); found {quality.shape} and images from "
            f"{images.min()} to {images.max()}"
        )
    return images, quality
