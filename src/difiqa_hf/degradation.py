"""d(x) of Eq. 6: the random blurs, resizes, noise and JPEG of BSRGAN (Zhang et al., ICCV 2021), as DifFIQA uses them.

The released code enlarges the 112-pixel crop to 512, degrades it at scale factor 4 and shrinks the result again: nearly
all of its time goes into pixels that carry no information. Here the 512-pixel canvas is *represented* by 256 pixels,
still more than twice what the crop holds: blurs have half the width, a JPEG block of 8 pixels becomes one of 4 with the
low-frequency quarter of its table. The distribution of the results is checked against the released code's.

Randomness and arithmetic are apart: `draw_plan` turns a seed into a `Plan`, `apply_plan` turns an image and a plan into
the degraded image. The same seed gives the same degradation whatever else is in the batch.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

REAL_SIZE = 512  # the canvas of the released code
CANVAS = 256  # its representation here
OUTPUT_SIZE = 128  # REAL_SIZE / scale factor 4
ROUND_PROBABILITIES = (1.0, 0.2, 0.01)  # of a first, second and third application

# ISO/IEC 10918-1, Annex K: quantisation at quality 50
_LUMA = [
    [16, 11, 10, 16, 24, 40, 51, 61], [12, 12, 14, 19, 26, 58, 60, 55], [14, 13, 16, 24, 40, 57, 69, 56],
    [14, 17, 22, 29, 51, 87, 80, 62], [18, 22, 37, 56, 68, 109, 103, 77], [24, 35, 55, 64, 81, 104, 113, 92],
    [49, 64, 78, 87, 103, 121, 120, 101], [72, 92, 95, 98, 112, 100, 103, 99],
]  # fmt: skip
_CHROMA = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]

# What survives of noise drawn at 512 pixels in its 256-pixel representation, by the operation that comes next:
# the ratio of the two standard deviations after that operation.
_NOISE_GAIN = {"bilinear": 0.69, "bicubic": 1.0, "area": 0.5, "blur": 0.5, "strided": 0.5}


@dataclass(frozen=True)
class Step:
    """One operation with its drawn parameters, in pixels of the real canvas."""

    kind: str  # blur | resize | strided | noise | jpeg
    values: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """Everything random about one round but the noise itself, which comes from `noise_seed`."""

    real_size: int  # 512, or 256 after the initial halving
    halving: str | None  # interpolation of the initial halving
    steps: tuple[Step, ...]
    noise_seed: int


def draw_plan(rng: random.Random) -> Plan:
    """Draw one round: an optional halving, two blurs, two downscalings, noise and JPEG in random order, a last JPEG."""
    halving = _interpolation(rng) if rng.random() < 0.25 else None
    factor = 4 if halving is None else 2
    order = ["blur", "blur", "shrink", "final", "noise", "jpeg"]
    rng.shuffle(order)
    first, second = sorted((order.index("shrink"), order.index("final")))
    order[first], order[second] = "shrink", "final"  # the exact size comes last of the two
    steps = [step for kind in order if (step := _draw_step(kind, factor, rng)) is not None]
    steps.append(Step("jpeg", {"quality": rng.randint(30, 95)}))
    return Plan(REAL_SIZE * factor // 4, halving, tuple(steps), rng.getrandbits(62))


def _interpolation(rng: random.Random) -> str:
    return rng.choice(("bilinear", "bicubic", "area"))


def _draw_step(kind: str, factor: int, rng: random.Random) -> Step | None:
    if kind == "blur":
        radius = rng.randint(2, 11) + 1  # kernels of 7 to 25 pixels
        if rng.random() < 0.5:
            variances = (4 + factor) * rng.random(), (4 + factor) * rng.random()
            return Step("blur", {"radius": radius, "variances": variances, "angle": math.pi * rng.random()})
        variance = ((2 + 0.2 * factor) * rng.random()) ** 2
        return Step("blur", {"radius": radius, "variances": (variance, variance), "angle": 0.0})
    if kind == "shrink":
        if rng.random() < 0.75:
            return Step("resize", {"by": rng.uniform(1, 2 * factor), "mode": _interpolation(rng)})
        return Step("strided", {"sigma": rng.uniform(0.1, 0.6 * factor), "stride": factor})
    if kind == "final":
        return Step("resize", {"by": None, "mode": _interpolation(rng)})
    if kind == "noise":
        return Step("noise", {"level": rng.randint(2, 25), "type": rng.random(), "mix_seed": rng.getrandbits(62)})
    return Step("jpeg", {"quality": rng.randint(30, 95)}) if rng.random() < 0.9 else None


def apply_plan(image: Tensor, plan: Plan) -> Tensor:
    """Run one round on `image` (1, 3, H, W) in [0, 1]; returns the same shape and range."""
    size = image.shape[-2:]
    x = F.interpolate(image, size=(CANVAS, CANVAS), mode="bilinear", align_corners=False)
    if plan.halving == "area":  # the other two interpolations pass a band-limited image unchanged
        x = _blur(x, 2, (0.25, 0.25), 0.0)
    real = plan.real_size
    generator = torch.Generator(image.device).manual_seed(plan.noise_seed)
    for index, step in enumerate(plan.steps):
        ratio = max(1.0, real / x.shape[-1])  # real pixels per represented pixel: 1 or 2
        v = step.values
        if step.kind == "blur":
            variances = tuple(s / ratio**2 for s in v["variances"])
            x = _blur(x, max(1, math.ceil(v["radius"] / ratio)), variances, v["angle"])
        elif step.kind == "resize":
            real = OUTPUT_SIZE if v["by"] is None else max(1, int(real / v["by"]))
            mode = "bicubic" if ratio > 1 and v["mode"] == "bilinear" else v["mode"]
            x = _resize(x, min(real, CANVAS), mode)
        elif step.kind == "strided":
            x = _blur(x, 12, ((v["sigma"] / ratio) ** 2,) * 2, 0.0)
            real //= v["stride"]
            x = _resize(x, real, "bilinear")
        elif step.kind == "noise":
            gain = 1.0 if ratio == 1 else _NOISE_GAIN[_next_spatial(plan.steps[index + 1 :])]
            x = (x + gain * _noise(x, v, generator)).clamp(0, 1)
        else:
            x = jpeg(x, v["quality"], block=8 if ratio == 1 else 4)
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False, antialias=True).clamp(0, 1)


def _next_spatial(steps: Sequence[Step]) -> str:
    for step in steps:
        if step.kind in ("blur", "strided"):
            return step.kind
        if step.kind == "resize":
            return step.values["mode"]
    return "blur"


def _resize(x: Tensor, size: int, mode: str) -> Tensor:
    if x.shape[-1] == size:
        return x
    if mode == "area" and size > x.shape[-1]:
        mode = "bilinear"  # what cv2 does when INTER_AREA enlarges
    corners = None if mode == "area" else False
    return F.interpolate(x, size=(size, size), mode=mode, align_corners=corners).clamp(0, 1)


def _blur(x: Tensor, radius: int, variances: tuple[float, float], angle: float) -> Tensor:
    """Convolve with the Gaussian of the given principal variances; separable where it is isotropic."""
    grid = torch.arange(-radius, radius + 1, dtype=torch.float32, device=x.device)
    channels = x.shape[1]
    a, b = (max(s, 1e-4) for s in variances)
    if a == b:
        line = torch.softmax(-(grid**2) / (2 * a), 0)
        x = F.pad(x, (radius,) * 4, mode="reflect")
        x = F.conv2d(x, line.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)
        return F.conv2d(x, line.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
    u = grid[None] * math.cos(angle) + grid[:, None] * math.sin(angle)
    v = grid[:, None] * math.cos(angle) - grid[None] * math.sin(angle)
    kernel = torch.softmax((-(u**2) / (2 * a) - v**2 / (2 * b)).flatten(), 0).view(1, 1, *u.shape)
    return F.conv2d(F.pad(x, (radius,) * 4, mode="reflect"), kernel.expand(channels, 1, *u.shape), groups=channels)


def _noise(x: Tensor, values: dict, generator: torch.Generator) -> Tensor:
    """Gaussian noise of one of three kinds: independent colours (p = .4), grey (.4), correlated colours (.2)."""
    level, kind = values["level"] / 255, values["type"]
    draw = torch.randn(x.shape, generator=generator, device=x.device)
    if kind > 0.6:
        return level * draw
    if kind < 0.4:
        return level * draw[:, :1].expand_as(x)
    mix = torch.Generator().manual_seed(values["mix_seed"])
    rotation, _ = torch.linalg.qr(torch.rand(3, 3, generator=mix))
    covariance = ((25 / 255) ** 2 * rotation.T @ torch.diag(torch.rand(3, generator=mix)) @ rotation).abs()
    eigenvalues, vectors = torch.linalg.eigh(covariance)
    root = (vectors * eigenvalues.clamp_min(0).sqrt()).to(x.device)
    return torch.einsum("ij,bjhw->bihw", root, draw)


def jpeg(image: Tensor, quality: int, block: int = 8) -> Tensor:
    """What JPEG at `quality` (1 to 100, 4:2:0) leaves of `image` (B, 3, H, W) in [0, 1].

    `block=4` is the same loss for an image shown at half its real size: an orthonormal transform of twice the size has
    twice the coefficients for the same smooth content, so the table's low-frequency quarter is halved; the chroma
    planes, at half size already, then need no subsampling.
    """
    height, width = image.shape[-2:]
    pad = (-width % 16, -height % 16)
    x = F.pad(image, (0, pad[0], 0, pad[1]), mode="replicate") * 255
    r, g, b = x.unbind(1)
    luma = 0.299 * r + 0.587 * g + 0.114 * b
    chroma = torch.stack(((b - luma) / 1.772, (r - luma) / 1.402), 1)
    luma = _quantise(luma[:, None] - 128, _table(_LUMA, quality, block), block)[:, 0] + 128
    chroma_table = _table([[*row, *[99] * 4] for row in _CHROMA] + [[99] * 8] * 4, quality, 8)
    if block == 8:
        chroma = F.interpolate(
            _quantise(F.avg_pool2d(chroma, 2), chroma_table, 8), scale_factor=2, mode="bilinear", align_corners=False
        )
    else:
        chroma = _quantise(chroma, chroma_table, 8)
    blue, red = luma + 1.772 * chroma[:, 0], luma + 1.402 * chroma[:, 1]
    green = (luma - 0.299 * red - 0.114 * blue) / 0.587
    decoded = torch.stack((red, green, blue), 1).round().clamp(0, 255) / 255
    return decoded[..., :height, :width]


def _table(base: list[list[int]], quality: int, block: int) -> Tensor:
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    table = ((torch.tensor(base) * scale + 50) // 100).clamp(1, 255).float()
    return table[:block, :block] * (block / 8)


def _quantise(plane: Tensor, table: Tensor, block: int) -> Tensor:
    """Round the block-wise DCT-II coefficients of `plane` (B, C, H, W) to multiples of `table`."""
    k = torch.arange(block, dtype=torch.float32, device=plane.device)
    dct = torch.cos(math.pi / block * (k[None] + 0.5) * k[:, None]) * math.sqrt(2 / block)
    dct[0] /= math.sqrt(2)
    table = table.to(plane.device)
    b, c, h, w = plane.shape
    blocks = plane.view(b, c, h // block, block, w // block, block).transpose(3, 4)
    coefficients = dct @ blocks @ dct.T
    blocks = dct.T @ ((coefficients / table).round() * table) @ dct
    return blocks.transpose(3, 4).reshape(b, c, h, w)


def degrade(pixel_values: Tensor, seeds: Sequence[int], rounds: int | None = None) -> Tensor:
    """x' = d(x) of Eq. 6, every image from its own seed.

    Args:
        pixel_values: (batch, 3, height, width), in [-1, 1].
        seeds: one integer per image; the result for an image depends on its seed alone.
        rounds: how often the chain is applied; None draws it (1, with p = .2 a second time, with p = .01 a third).

    Returns:
        Degraded images, same shape, dtype and range.

    Raises:
        ValueError: if the number of seeds is not the batch size.
    """
    if len(seeds) != len(pixel_values):
        raise ValueError(f"{len(seeds)} seeds for {len(pixel_values)} images; give one seed per image")
    degraded = []
    for image, seed in zip(pixel_values, seeds, strict=True):
        rng = random.Random(int(seed))
        extra = rng.random(), rng.random()
        count = (
            1 + (extra[0] < ROUND_PROBABILITIES[1]) + (extra[1] < ROUND_PROBABILITIES[2]) if rounds is None else rounds
        )
        x = image[None].float() / 2 + 0.5
        for _ in range(count):
            x = apply_plan(x, draw_plan(rng))
        degraded.append(x[0] * 2 - 1)
    return torch.stack(degraded).to(pixel_values.dtype)
