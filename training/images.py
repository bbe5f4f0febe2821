"""Training images: zips and folders of aligned faces in memory, and the deterministic samples drawn from them."""

import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from difiqa_hf.degradation import degrade
from difiqa_hf.diffusion import stable_seed

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}


def read_images(sources: Sequence[str], size: int = 112) -> tuple[Tensor, list[str]]:
    """All images of zips and folders as uint8 (count, 3, size, size) RGB, with names; unreadable ones are left out.

    Raises:
        ValueError: if nothing could be read.
    """
    images, names, unreadable = [], [], []
    for source in sources:
        for inside, data in tqdm(_files(Path(source)), desc=Path(source).name, unit="img", mininterval=5):
            name = f"{Path(source).name}/{inside}"  # two sources may use the same names inside
            try:
                picture = Image.open(io.BytesIO(data)).convert("RGB")
                if picture.size != (size, size):
                    picture = picture.resize((size, size), Image.Resampling.BILINEAR)
                images.append(torch.from_numpy(np.array(picture)).permute(2, 0, 1))
                names.append(name)
            except (OSError, ValueError) as error:
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


def _files(source: Path):
    if source.is_dir():
        for path in sorted(p for p in source.rglob("*") if p.suffix.lower() in SUFFIXES):
            yield str(path.relative_to(source)), path.read_bytes()
    else:
        with zipfile.ZipFile(source) as archive:
            for name in sorted(n for n in archive.namelist() if Path(n).suffix.lower() in SUFFIXES):
                yield name, archive.read(name)


def settle(path: Path, settings: dict) -> None:
    """Write the settings of a resumable run, or refuse to continue one that was started with others.

    Raises:
        ValueError: naming every setting that differs.
    """
    settings = json.loads(json.dumps(settings, default=str))
    if path.exists():
        before = json.loads(path.read_text())
        differing = [
            f"{k}: {before.get(k)} -> {settings.get(k)}" for k in before | settings if before.get(k) != settings.get(k)
        ]
        if differing:
            raise ValueError(
                f"{path.parent} was started with other settings ({'; '.join(differing)}); use a new folder"
            )
        return
    pending = path.with_suffix(".tmp")
    pending.write_text(json.dumps(settings, indent=2) + "\n")
    pending.replace(path)


def to_pixel_values(images: Tensor) -> Tensor:
    """uint8 -> float32 in [-1, 1]."""
    return images.float() / 127.5 - 1


class DiffusionSamples(Dataset):
    """Sample number -> (clean, degraded, noise, timestep), a pure function of (seed, number).

    The number counts samples since the start of training, so a resumed run sees what the interrupted one would have
    seen, whatever the number of loader workers. Every pass over the images is a new permutation.
    """

    def __init__(self, images: Tensor, length: int, seed: int, max_train_timestep: int, degraded: bool = True):
        self.images, self.length, self.seed = images, length, seed
        self.max_train_timestep, self.degraded = max_train_timestep, degraded

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
        seed = stable_seed(self.seed, "degradation", number)
        degraded = degrade(clean[None], [seed])[0] if self.degraded else clean
        return {"clean": clean, "degraded": degraded, "noise": noise, "timestep": timestep}


_permutations: dict[tuple[int, int], Tensor] = {}


def _permutation(count: int, seed: int) -> Tensor:
    """The last permutation asked for is kept: consecutive numbers share it."""
    if (count, seed) not in _permutations:
        _permutations.clear()
        _permutations[count, seed] = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return _permutations[count, seed]
