"""Best shots of folders and videos."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from difiqa_hf.alignment import align
from difiqa_hf.image_processing import FaceImageProcessor
from difiqa_hf.methods import QualityMethod
from difiqa_hf.recognizers import embed
from difiqa_hf.scoring.rows import Row
from difiqa_hf.scoring.run import Crop, score_crops
from difiqa_hf.scoring.sources import Source
from difiqa_hf.selection.grouping import group_faces


@dataclass(frozen=True)
class Shot:
    """A chosen face: `rank` from 1 among those of `person`, 0 if persons are not told apart."""

    row: Row
    person: int
    rank: int


def find_faces(
    chunks: Iterable[tuple[list[Source], list[Crop]]],
    method: QualityMethod,
    recognizer: Callable | None = None,
    batch_size: int = 32,
) -> Iterator[tuple[list[Row], np.ndarray]]:
    """Rows of every chunk, and the embeddings (faces, dim) of those with a quality; without a recogniser (faces, 0).

    Args:
        chunks: as from `cut_chunks`.
        method, batch_size: as in `score_chunks`.
        recognizer: tells persons apart; sees faces aligned by five points, whatever the method asks for.
    """
    for sources, crops in chunks:
        rows = score_crops(crops, method, batch_size)
        found = [crop for crop in crops if crop.pixel_values is not None]
        if recognizer is None or not found:
            yield rows, np.zeros((len(found), 0))
            continue
        faces = _five_points(sources, found) if method.landmarks != 5 else [crop.pixel_values for crop in found]
        with torch.no_grad():
            parts = [embed(recognizer, part) for part in torch.stack(faces).split(batch_size)]
        yield rows, torch.cat(parts).cpu().numpy()


def _five_points(sources: list[Source], crops: list[Crop]) -> list[Tensor]:
    """Pixel values of faces, aligned anew in their photographs; of what came as a crop, or is gone, as they are."""
    processor, places = FaceImageProcessor(), {source.path: source for source in sources}
    faces, path, image = [], None, None
    for crop in crops:
        faces.append(crop.pixel_values)
        if crop.found is None:
            continue
        with suppress(ValueError):  # of a file that is gone since, and of points that fit no face
            if crop.path != path:
                path, image = crop.path, places[crop.path].read(float("inf"))  # within the limit: it was read before
            faces[-1] = processor(align(image, crop.found.points)).pixel_values[0]
    return faces


def select_best(rows: list[Row], count: int, persons: np.ndarray | None = None) -> list[Shot]:
    """The `count` best rows of all, or of every person, by person and rank; one per image, ties by position.

    Args:
        rows: with a quality each.
        persons: (rows,) numbers, as from `group_faces`.
    """
    persons = np.zeros(len(rows), dtype=int) if persons is None else persons
    taken, shots, images = Counter(), [], set()
    for i in sorted(range(len(rows)), key=lambda i: -rows[i].quality):
        person, image = int(persons[i]), (int(persons[i]), rows[i].path)
        if taken[person] < count and image not in images:
            taken[person] += 1
            images.add(image)
            shots.append(Shot(rows[i], person, taken[person]))
    return sorted(shots, key=lambda shot: (shot.person, shot.rank))


def persons_of(embeddings: list[np.ndarray], rows: list[Row], similarity: float) -> np.ndarray:
    """(rows,) the person of every row with a quality."""
    if not rows:
        return np.zeros(0, dtype=int)
    return group_faces(np.concatenate(embeddings), [row.quality for row in rows], similarity)
