"""Images of results, read a second time: a run keeps names and numbers, not pictures."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from PIL import Image

from difiqa_hf.detection import Face, FaceDetector
from difiqa_hf.image_processing import FaceImageProcessor
from difiqa_hf.scoring.reading import UnreadableImageError
from difiqa_hf.scoring.run import Crop, cut_crops
from difiqa_hf.scoring.sources import Source, expand


def container(name: Path) -> Path:
    """The file on disk that holds an image: itself, or of "archive.zip#member" the archive."""
    if name.exists():
        return name
    text = str(name)
    places = [i for i, letter in enumerate(text) if letter == "#"]
    return next((Path(text[:i]) for i in places if Path(text[:i]).is_file()), name)


def find_source(name: Path) -> Source:
    """One image by its name in results: a file, "archive.zip#member" or "video.mp4#frame".

    Raises:
        ValueError: for a name that its archive or video lacks, with one that it has.
    """
    place, first = container(name), None
    for source in expand([place]):
        if source.path in (name, place):  # also the whole file, where it cannot be opened: `read` says why
            return source
        first = first or source.path
    raise ValueError(f"name one of the images in {place}, such as {first}; found {name}")


def look(
    source: Source, detector: FaceDetector | None, min_size: float, max_megapixels: float, landmarks: int
) -> tuple[Image.Image | None, list[Crop]]:
    """An image and its faces as from `cut_crops`, read and searched once; None for an image that cannot be read."""
    kept = []

    def read(limit: float) -> Image.Image:
        kept.append(source.read(limit))
        return kept[0]

    once = replace(source, read=read)
    crops = cut_crops(once, FaceImageProcessor(), detector, min_size, max_megapixels, landmarks)
    return (kept or [None])[0], crops


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
    return picture_of_face(image, faces[index] if index < len(faces) else None, side)


def picture_of_face(image: Image.Image, face: Face | None, side: int, room: float = 1.6) -> Image.Image:
    """Upright in the photograph's own pixels, not aligned; black where it ends; never enlarged; without a face, all."""
    if face is None:
        image = image.copy()
        image.thumbnail((side, side))
        return image
    left, top, width, height = face.box
    extent = room * max(width, height)
    corner = left + width / 2 - extent / 2, top + height / 2 - extent / 2
    box = tuple(round(value) for value in (*corner, corner[0] + extent, corner[1] + extent))
    picture = image.crop(box)
    picture.thumbnail((side, side))
    return picture
