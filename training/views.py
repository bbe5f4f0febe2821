"""Views of training images and what a teacher says of them: the raw material of distillation.

A view is a pure function of (seed, kind, image), a target is the teacher's embedding of it, not normalised: its length
tells how sure the teacher is, and a student that is to judge quality must learn that too.
"""

import hashlib
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from difiqa_hf.degradation import degrade
from difiqa_hf.diffusion import stable_seed
from difiqa_hf.recognizers import embed, recognizer_fingerprint
from images import read_images, to_pixel_values

# original and mirror: as the name says. degraded: d(x) of Eq. 6. varied: what detectors, cameras and bad luck do to a
# face. morph: the mean of two aligned faces, which is a face of nobody: it multiplies the identities of a small set.
KINDS = ("original", "mirror", "degraded", "varied", "morph")


def make_view(images: Tensor, index: int, kind: str, seed: int) -> Tensor:
    """View (3, 112, 112) uint8 of `images[index]`.

    A kind ending in a digit draws anew ("varied2"), one ending in "-mirror" mirrors the same draw ("varied-mirror").
    """
    image = images[index]
    if kind.endswith("-mirror"):
        return make_view(images, index, kind.removesuffix("-mirror"), seed).flip(-1)
    base = _base(kind)
    if base == "original":
        return image
    if base == "mirror":
        return image.flip(-1)
    own = stable_seed(seed, kind, index)
    if base == "varied":
        pixels = vary(to_pixel_values(image), own)
    elif base == "degraded":
        pixels = degrade(to_pixel_values(image)[None], [own])[0]
    else:
        generator = torch.Generator().manual_seed(own)
        other = torch.randint(len(images), (), generator=generator)
        weight = 0.3 + 0.4 * torch.rand((), generator=generator)
        pixels = torch.lerp(to_pixel_values(image), to_pixel_values(images[other]), weight)
    return ((pixels + 1) * 127.5).round().to(torch.uint8)


def vary(image: Tensor, seed: int) -> Tensor:
    """A random view of `image` (3, 112, 112) in [-1, 1].

    Mostly what a face detector and a camera do to a good face; now and then much worse, because a quality method lives
    on what the recogniser answers to hopeless images.
    """
    generator = torch.Generator().manual_seed(seed)
    draw = torch.rand(16, generator=generator)
    x = image.flip(-1) if draw[0] < 0.5 else image
    rough = draw[1] < 0.15
    x = _move(x, draw[2:6] * 2 - 1, degrees=40.0 if rough else 8.0, shift=0.5 if rough else 0.08)
    if draw[6] < 0.15:
        x = _cover(x, draw[7:11])
    if draw[11] < 0.4:
        x = degrade(x[None], [stable_seed(seed, "degradation")])[0]
    return _expose(x, draw[12:15] * 2 - 1, strong=bool(draw[15] < 0.15))


def _move(x: Tensor, draw: Tensor, degrees: float, shift: float) -> Tensor:
    """Similarity transform from `draw` (4,) in [-1, 1]: angle, scale (8 %), shift as a part of half the side."""
    angle, scale = math.radians(degrees) * draw[0], 1 + 0.08 * draw[1]
    cos, sin = scale * angle.cos(), scale * angle.sin()
    theta = torch.stack((torch.stack((cos, -sin, shift * draw[2])), torch.stack((sin, cos, shift * draw[3]))))
    grid = F.affine_grid(theta[None], (1, *x.shape), align_corners=False)
    return F.grid_sample(x[None], grid, mode="bilinear", padding_mode="border", align_corners=False)[0]


def _cover(x: Tensor, draw: Tensor) -> Tensor:
    """Grey over a rectangle from `draw` (4,) in [0, 1]: up to the whole width or height, from any side."""
    height, width = x.shape[-2:]
    high, wide = int(height * (0.2 + 0.8 * draw[0])), int(width * (0.2 + 0.5 * draw[1]))
    top, left = int((height - high) * draw[2].round()), int((width - wide) * draw[3].round())
    covered = x.clone()
    covered[:, top : top + high, left : left + wide] = 0.0
    return covered


def _expose(x: Tensor, draw: Tensor, strong: bool) -> Tensor:
    """Contrast and light from `draw` (3,) in [-1, 1]; `strong`: contrast down to 7 %, light from a quarter to 4x."""
    contrast = torch.exp((1.5 if strong else 0.2) * (draw[0] - (0.8 if strong else 0)))
    light = torch.exp((1.4 if strong and draw[2] > 0 else 0.2) * draw[1])
    return ((x * contrast + 1) * light - 1).clamp(-1, 1)


def check_kinds(kinds: list[str]) -> None:
    """Refuse names that are no view, or that come twice."""
    unknown = [kind for kind in kinds if _base(kind) not in KINDS]
    if unknown or len(set(kinds)) < len(kinds):
        raise ValueError(
            f"views are {', '.join(KINDS)}, with a digit for another draw of the same kind and -mirror for the mirror "
            f"image of a draw, each once; found {kinds}"
        )


def _base(kind: str) -> str:
    return kind.removesuffix("-mirror").rstrip("0123456789")


class Views(Dataset):
    """Index -> uint8 view (3, 112, 112) of one kind."""

    def __init__(self, images: Tensor, kind: str, seed: int):
        check_kinds([kind])
        self.images, self.kind, self.seed = images, kind, seed

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return make_view(self.images, index, self.kind, self.seed)


def views_and_targets(
    sources: list[str], kinds: list[str], teachers: list, cache: Path, seed: int, device, compile: bool
) -> tuple[Tensor, Tensor]:
    """Views (kinds, images, 3, 112, 112) uint8 and the teachers' embeddings of them (kinds, images, dims) float16.

    With several teachers the embeddings stand side by side, each of mean length one over the first kind, so that a
    cosine is near the mean of the teachers' cosines. One file a source and kind is kept in `cache`, named by what it
    was made of, so that a killed run, or one with other sources, computes nothing twice and reads nothing stale.
    """
    check_kinds(kinds)
    made_by = [recognizer_fingerprint(teacher) for teacher in teachers]
    answers = [torch.compile(teacher) if compile else teacher for teacher in teachers]
    columns = []
    for source in sources:
        images, done = read_images([source])[0], []
        content = hashlib.sha256(images.numpy().data).hexdigest()
        for kind in kinds:
            key = stable_seed(content, kind, seed, *made_by)
            file = cache / f"{Path(source).stem}-{kind}-{key:016x}.pt"
            if not file.exists():
                loader = DataLoader(Views(images, kind, seed), batch_size=64, num_workers=1)
                pending = file.with_suffix(".tmp")
                torch.save(_answer(loader, answers, device, f"{Path(source).stem} {kind}"), pending)
                pending.replace(file)
            done.append(torch.load(file, weights_only=True))
        columns.append([torch.stack(part) for part in zip(*done, strict=True)])
    targets = torch.cat([targets for _, targets in columns], 1)
    return torch.cat([views for views, _ in columns], 1), balance(
        targets, [teacher.config.embedding_size for teacher in teachers]
    )


def balance(targets: Tensor, sizes: list[int]) -> Tensor:
    """Targets (kinds, images, sum of sizes) of several teachers: each teacher's part divided by its mean length."""
    if len(sizes) == 1:
        return targets
    parts = [part.float() for part in targets.split(sizes, dim=-1)]
    return torch.cat([part / part[0].norm(dim=-1).mean() for part in parts], dim=-1).half()


@torch.no_grad()
def _answer(loader: DataLoader, teachers: list, device, name: str) -> tuple[Tensor, Tensor]:
    views, targets = [], []
    for batch in tqdm(loader, desc=name, mininterval=20):
        pixels = to_pixel_values(batch.to(device)).contiguous(memory_format=torch.channels_last)
        views.append(batch)
        targets.append(torch.cat([embed(teacher, pixels) for teacher in teachers], 1).half().cpu())
    return torch.cat(views), torch.cat(targets)
