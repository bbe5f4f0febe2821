"""Images of results, read a second time: a run keeps names and numbers, not pictures."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from PIL import Image

from difiqa_hf.detection import Face, FaceDetector
from difiqa_hf.scoring.reading import UnreadableImageError
from difiqa_hf.scoring.sources import expand


def container(name: Path) -> Path:
    """The file on disk that holds an image: itself, or of "archive.zip#member" the archive."""
    if name.exists():
        return name
    text = str(name)
    places = [i for i, letter in enumerate(text) if letter == "#"]
    return next((Path(text[:i]) for i in places if Path(text[:i]).is_file()), name)


def recall(
    names: Iterable[Path], frames_per_second: float | None = None, max_megapixels: float = 100
) -> Iterator[tuple[Path, Image.Image]]:
    """(name, image) of results by their names, each file opened once; what cannot be read any more is left out."""
    wanted = set(names)
    for source in expand(dict.fromkeys(container(name) for name in sorted(wanted)), frames_per_second):
        if source.path in wanted:
            try:
                yield source.path, source.read(max_megapixels)
            except UnreadableImageError:
                continue


def cut_picture(image: Image.Image, detector: FaceDetector | None, index: int, side: int) -> Image.Image:
    """A square picture of face `index` (0 is the largest), with room around it; of a crop, or without a face, all."""
    faces = () if detector is None else detector.detect(image).faces
    if index >= len(faces):
        image = image.copy()
        image.thumbnail((side, side))
        return image
    return _around(image, faces[index], side)


def _around(image: Image.Image, face: Face, side: int, room: float = 1.6) -> Image.Image:
    """Upright in the photograph's own pixels, not aligned; black where the photograph ends; never enlarged."""
    left, top, width, height = face.box
    extent = room * max(width, height)
    corner = left + width / 2 - extent / 2, top + height / 2 - extent / 2
    box = tuple(round(value) for value in (*corner, corner[0] + extent, corner[1] + extent))
    picture = image.crop(box)
    picture.thumbnail((side, side))
    return picture
