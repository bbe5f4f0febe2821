"""Which faces are of one person, by their embeddings."""

import numpy as np
from numpy.typing import ArrayLike


def group_faces(embeddings: ArrayLike, quality: ArrayLike, similarity: float) -> np.ndarray:
    """(N,) number of the person on every face, 0 for the person with the best face.

    Faces are taken from the best to the worst. Each joins the person whose mean face is most like it, if that reaches
    `similarity`, and is a new person otherwise: good faces make the persons, bad ones only join. N x persons cosines.

    Args:
        embeddings: (N, dim), of any length.
        quality: (N,), higher = better; ties by position.
        similarity: least cosine, that at which a recogniser makes few enough false matches.

    Raises:
        ValueError: for embeddings that are not finite, or are more or fewer than the qualities.
    """
    unit = np.asarray(embeddings, dtype=float)
    if unit.ndim != 2 or unit.shape[:1] != np.shape(quality):
        raise ValueError(f"one embedding per quality is needed, found shapes {unit.shape} and {np.shape(quality)}")
    if not (np.isfinite(unit).all() and np.isfinite(quality).all()):
        bad = np.count_nonzero(~(np.isfinite(unit).all(axis=1) & np.isfinite(quality)))
        raise ValueError(f"embeddings and qualities must be finite, those of {bad} of {len(unit)} faces are not")
    unit = unit / np.linalg.norm(unit, axis=1, keepdims=True).clip(min=1e-12)
    person, sums = np.zeros(len(unit), dtype=int), np.zeros((0, unit.shape[1]))
    for face in np.argsort(-np.asarray(quality, dtype=float), kind="stable"):
        cosines = sums @ unit[face] / np.linalg.norm(sums, axis=1).clip(min=1e-12)
        nearest = int(cosines.argmax()) if len(cosines) else 0
        if not len(cosines) or cosines[nearest] < similarity:
            nearest, sums = len(sums), np.vstack([sums, np.zeros(unit.shape[1])])
        person[face] = nearest
        sums[nearest] += unit[face]
    return person
