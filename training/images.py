"""Training images from zips, folders and `datasets`, and the deterministic samples drawn from them."""

import hashlib
import io
import json
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import fsspec
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from difiqa_hf.degradation import degrade
from difiqa_hf.diffusion import stable_seed
from difiqa_hf.scoring.reading import decode

UNREADABLE = (
    OSError,
    ValueError,
    EOFError,
    zipfile.BadZipFile,
    lzma.LZMAError,
    zlib.error,
    RuntimeError,  # a zip's encrypted member; one of an unknown compression (NotImplementedError) is its subclass
)
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}


def read_images(sources: Sequence[str], size: int = 112) -> tuple[Tensor, list[str]]:
    """All images of zips and folders as uint8 (count, 3, size, size) RGB, with names; unreadable ones are left out.

    Raises:
        ValueError: if nothing could be read.
    """
    images, names, unreadable = [], [], []
    for source in sources:
        for name, read in tqdm(image_files([source]), desc=Path(source).name, unit="img", mininterval=5):
            try:
                images.append(decode_image(read(), size))
                names.append(name)
            except UNREADABLE as error:
                unreadable.append(f"{name}: {error}")
    if unreadable:
        print(f"left out {len(unreadable)} unreadable files, for example {unreadable[0]}")
    if len(set(names)) < len(names):
        raise ValueError(
            f"two of {', '.join(map(str, sources))} have the same name and files of the same name; rename one"
        )
    if not images:
        raise ValueError(f"no readable image in {', '.join(map(str, sources))} ({len(unreadable)} unreadable)")
    return torch.stack(images).contiguous(), names


def decode_image(data: bytes, size: int = 112) -> Tensor:
    """An encoded image as uint8 (3, size, size) RGB, read as `difiqa score` does; stretched if it is not square.

    Raises:
        UnreadableImageError: with the reason.
    """
    picture = decode(io.BytesIO(data), max_megapixels=100)
    if picture.size != (size, size):
        picture = picture.resize((size, size), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


class HubImages:
    """Images of a `datasets` set, decoded when asked for: index -> uint8 (3, size, size).

    An unreadable image is reported once and replaced by the next readable one, so that every process sees the same.
    """

    def __init__(self, rows, column: str, size: int = 112):
        self.rows, self.column, self.size, self.reported = rows, column, size, set()

    @classmethod
    def load(cls, name: str, config: str | None = None, split: str = "train", cache_dir: str | None = None):
        """A set of the Hub, or of a local folder in one of its layouts."""
        import datasets

        rows = datasets.load_dataset(name, config, split=split, cache_dir=cache_dir)
        columns = [key for key, feature in rows.features.items() if isinstance(feature, datasets.Image)]
        if len(columns) != 1 or len(rows) == 0:
            raise ValueError(
                f"{name} ({split}) has {len(rows)} rows and image columns {columns}; need rows, one column"
            )
        return cls(rows.cast_column(columns[0], datasets.Image(decode=False)), columns[0])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Tensor:
        for step in range(len(self)):
            position = (int(index) + step) % len(self)
            try:
                return decode_image(encoded(self.rows[position][self.column]), self.size)
            except UNREADABLE as error:
                if position not in self.reported:
                    self.reported.add(position)
                    print(f"image {position} of the set is unreadable, the next one takes its place: {error}")
        raise ValueError(f"none of the {len(self)} images can be read")

    def select(self, rows: Sequence[int]) -> "HubImages":
        return HubImages(self.rows.select(rows), self.column, self.size)


def encoded(cell: dict | None) -> bytes:
    """The bytes of an undecoded image of `datasets`: in the cell, or in the file that it names.

    Raises:
        ValueError: for an empty cell.
    """
    if cell is None or (cell["bytes"] is None and cell["path"] is None):
        raise ValueError("the cell is empty")
    if cell["bytes"] is not None:
        return cell["bytes"]
    with fsspec.open(cell["path"], "rb") as file:  # streamed sets name members of archives, and files of the Hub
        return file.read()


def hold_out(images: "Tensor | HubImages", count: int, seed: int) -> "tuple[Tensor | HubImages, Tensor]":
    """Split off `count` images, drawn by the seed, as uint8 (count, 3, size, size).

    Raises:
        ValueError: if nothing would be left to train on.
    """
    if count >= len(images):
        raise ValueError(f"cannot hold out {count} of {len(images)} images: none would be left to train on")
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(stable_seed(seed, "hold out"))).tolist()
    kept, held = sorted(order[count:]), sorted(order[:count])
    rest = images[kept] if isinstance(images, Tensor) else images.select(kept)
    return rest, torch.stack([images[i] for i in held]) if held else torch.empty(0, 3, 112, 112, dtype=torch.uint8)


def image_files(sources: Sequence[str]) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Names and readers of the images of zips and folders, sorted within each; names begin with that of their source.

    Nothing is read until a reader is called; it may then raise one of `UNREADABLE`.

    Raises:
        FileNotFoundError, ValueError: for a source that is missing, no folder and no zip, or named as another one,
            before the first name.
    """
    checked = [checked_source(Path(source)) for source in sources]
    twins = [source for source in checked if sum(other.name == source.name for other in checked) > 1]
    if twins:
        raise ValueError(f"{' and '.join(map(str, twins))} have the same name, so their images would too; rename one")
    for source in checked:
        if source.is_dir():
            for path in sorted(p for p in source.rglob("*") if p.suffix.lower() in SUFFIXES):
                yield f"{source.name}/{path.relative_to(source)}", path.read_bytes
        else:
            archive = zipfile.ZipFile(source)  # open as long as a reader is kept, which may outlast the iteration
            for name in sorted(n for n in set(archive.namelist()) if Path(n).suffix.lower() in SUFFIXES):
                yield f"{source.name}/{name}", partial(archive.read, name)


def checked_source(source: Path) -> Path:
    """The source, if it is a folder or a zip."""
    if not source.exists():
        raise FileNotFoundError(f"{source} does not exist; need zips or folders of aligned faces")
    if source.is_dir():
        return source
    try:
        zipfile.ZipFile(source).close()
    except (zipfile.BadZipFile, NotImplementedError) as error:  # the latter for a version that it does not know
        size = source.stat().st_size
        raise ValueError(
            f"{source} ({size} bytes) is no zip file, or a damaged one ({error}); need zips or folders of aligned faces"
        ) from error
    return source


def settle(path: Path, settings: dict, free: Sequence[str] = ()) -> None:
    """Write the settings of a resumable run, or refuse to continue one that was started with others.

    Those named in `free` may change, and all may where the folder holds no more than settings (a mistyped path, say).

    Raises:
        ValueError: naming every setting that differs.
    """
    settings = json.loads(json.dumps(settings, default=str))
    if path.exists():
        before = json.loads(path.read_text())
        fixed = [key for key in before | settings if key not in free]
        differing = [f"{k}: {before.get(k)} -> {settings.get(k)}" for k in fixed if before.get(k) != settings.get(k)]
        if differing and any(
            file.is_file() and file.suffix not in (".json", ".tmp") and file.stat().st_size
            for file in path.parent.rglob("*")
        ):
            raise ValueError(
                f"{path.parent} was started with other settings ({'; '.join(differing)}); use a new folder"
            )
        if before == settings:
            return
    pending = path.with_suffix(".tmp")
    pending.write_text(json.dumps(settings, indent=2) + "\n")
    pending.replace(path)


def pixels_digest(image: Tensor) -> str:
    """12 hex digits of a decoded uint8 image."""
    return hashlib.sha256(image.contiguous().numpy().data).hexdigest()[:12]


def to_pixel_values(images: Tensor) -> Tensor:
    """uint8 -> float32 in [-1, 1]."""
    return images.float() / 127.5 - 1


class DiffusionSamples(Dataset):
    """Sample number -> (clean, degraded, noise, timestep), a pure function of (seed, number).

    The number counts samples since the start of training, so a resumed run sees what the interrupted one would have
    seen, whatever the number of loader workers. Every pass over the images is a new permutation.

    Args:
        images: uint8 (count, 3, height, width), or anything indexed alike.
        degradation: "bsrgan", "none" (degraded = clean), or "later": only the seed, as "degradation_seed", for
            `degrade` on the device.
    """

    def __init__(self, images, length: int, seed: int, max_train_timestep: int, degradation: str = "bsrgan"):
        self.images, self.length, self.seed = images, length, seed
        self.max_train_timestep, self.degradation = max_train_timestep, degradation

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        epoch, position = divmod(number, len(self.images))
        order = _permutation(len(self.images), stable_seed(self.seed, "epoch", epoch))
        generator = torch.Generator().manual_seed(stable_seed(self.seed, "sample", number))
        clean = to_pixel_values(self.images[order[position]])
        if torch.rand((), generator=generator) < 0.5:
            clean = clean.flip(-1)
        timestep = torch.randint(self.max_train_timestep, (), generator=generator)
        noise = torch.randn(clean.shape, generator=generator)
        sample = {"clean": clean, "noise": noise, "timestep": timestep}
        seed = stable_seed(self.seed, "degradation", number)
        if self.degradation == "later":
            return sample | {"degradation_seed": torch.tensor(seed)}
        degraded = degrade(clean[None], [seed])[0] if self.degradation == "bsrgan" else clean
        return sample | {"degraded": degraded}


_permutations: dict[tuple[int, int], Tensor] = {}


def _permutation(count: int, seed: int) -> Tensor:
    """The last permutation asked for is kept: consecutive numbers share it."""
    if (count, seed) not in _permutations:
        _permutations.clear()
        _permutations[count, seed] = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return _permutations[count, seed]
