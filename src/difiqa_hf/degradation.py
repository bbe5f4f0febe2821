"""d(x) of Eq. 6: the random blurs, resizes, noise and JPEG of BSRGAN (Zhang et al., ICCV 2021), as DifFIQA uses them.

The released code enlarges the crop to 512 pixels, degrades it at scale factor 4 and shrinks the result again. So does
this, but it computes only what can be told apart. Resizes and round blurs are matrices, multiplied with each other and
with the image only when something else needs its pixels. Other blurs are products of spectra, at half the density as
long as the image is a smooth enlargement. So the 512-pixel canvas is filled only where noise or JPEG meets it.

Randomness and arithmetic are apart: `draw_plan` turns a seed into a `Plan`, `apply_plans` turns images and plans into
degraded images. The same seed gives the same degradation whatever else is in the batch.
"""

import math
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

CANVAS = 512  # pixels, in the released code
FACTOR = 4  # scale factor: the result has 512 / 4 = 128 pixels
ROUND_PROBABILITIES = (1.0, 0.2, 0.01)  # of a first, second and third application
RADIUS = 12  # of the largest blur kernel, 25 pixels
MIN_VARIANCE = 1e-3  # of a Gaussian that leaves an image as it is
OPENCV_TRUNCATES = 0.12 / 255  # what images lose on the average when it enlarges 8-bit ones: a visible mean shift

# ISO/IEC 10918-1, Annex K: quantisation at quality 50
_LUMA = [
    [16, 11, 10, 16, 24, 40, 51, 61], [12, 12, 14, 19, 26, 58, 60, 55], [14, 13, 16, 24, 40, 57, 69, 56],
    [14, 17, 22, 29, 51, 87, 80, 62], [18, 22, 37, 56, 68, 109, 103, 77], [24, 35, 55, 64, 81, 104, 113, 92],
    [49, 64, 78, 87, 103, 121, 120, 101], [72, 92, 95, 98, 112, 100, 103, 99],
]  # fmt: skip
_CHROMA = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]
_CHROMA = [[*row, *[99] * 4] for row in _CHROMA] + [[99] * 8] * 4


@dataclass(frozen=True)
class Step:
    """One operation with its drawn parameters, in pixels of the canvas.

    Attributes:
        kind: blur (variances, radius), stretched-blur (the same and angle), resize (mode, size; "strided": sigma),
            noise (level, type, seed) or jpeg (quality).
    """

    kind: str
    size: int = 0
    mode: str = ""
    sigma: float = 0.0
    variances: tuple[float, float] = (0.0, 0.0)
    angle: float = 0.0
    radius: int = 0
    level: float = 0.0
    type: float = 0.0
    seed: int = 0
    quality: int = 0


Plan = tuple[Step, ...]


def draw_plan(rng: random.Random) -> Plan:
    """Draw one round: an optional halving, two blurs, two downscalings, noise and JPEG in random order, a last JPEG."""
    steps, size, factor = [], CANVAS, FACTOR
    if rng.random() < 0.25:
        size, factor = CANVAS // 2, FACTOR // 2
        mode = "smooth-cubic" if rng.random() < 0.5 else _interpolation(rng)
        steps.append(Step("resize", size=size, mode=mode))
    order = ["blur", "blur", "shrink", "final", "noise", "jpeg"]
    rng.shuffle(order)
    first, second = sorted((order.index("shrink"), order.index("final")))
    order[first], order[second] = "shrink", "final"  # the exact size comes last of the two
    for kind in order:
        if kind == "blur":
            steps.append(_draw_blur(factor, rng))
        elif kind == "shrink" and rng.random() < 0.75:
            steps.append(Step("resize", size=int(size / rng.uniform(1, 2 * factor)), mode=_interpolation(rng)))
        elif kind == "shrink":
            steps.append(Step("resize", size=size // factor, mode="strided", sigma=rng.uniform(0.1, 0.6 * factor)))
        elif kind == "final":
            steps.append(Step("resize", size=size // factor, mode=_interpolation(rng)))
        elif kind == "noise":
            level = rng.randint(2, 25) / 255
            steps.append(Step("noise", level=level, type=rng.random(), seed=rng.getrandbits(62)))
        elif rng.random() < 0.9:
            steps.append(Step("jpeg", quality=rng.randint(30, 95)))
    return (*steps, Step("jpeg", quality=rng.randint(30, 95)))


def _interpolation(rng: random.Random) -> str:
    return rng.choice(("linear", "cubic", "area"))


def _draw_blur(factor: int, rng: random.Random) -> Step:
    radius = rng.randint(2, 11) + 1  # kernels of 7 to 25 pixels
    if rng.random() < 0.5:
        variances = (4 + factor) * rng.random(), (4 + factor) * rng.random()
        return Step("stretched-blur", variances=variances, angle=math.pi * rng.random(), radius=radius)
    variance = ((2 + 0.2 * factor) * rng.random()) ** 2
    return Step("blur", variances=(variance, variance), radius=radius)


# --- arithmetic -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Canvas:
    """An image of `size` x `size` pixels in [0, 1]: rows @ pixels @ columns.T, not yet multiplied.

    Attributes:
        pixels: (1, 3, height, width).
        rows, columns: (size, height), (size, width); None for the identity.
        smooth: a mere enlargement, blurred perhaps: half the density tells everything.
    """

    pixels: Tensor
    size: int
    rows: Tensor | None = None
    columns: Tensor | None = None
    smooth: bool = False

    @property
    def key(self) -> tuple:
        """What must be the same for images to be computed together."""
        return self.size, self.smooth, self.rows is None, self.columns is None, self.pixels.shape[-2:]

    def through(self, matrix: Tensor | None, smooth: bool = False) -> "_Canvas":
        """Both axes multiplied by `matrix` (new size, size); None for the identity."""
        if matrix is None:
            return self
        rows = matrix if self.rows is None else matrix @ self.rows
        square = self.columns is None or self.columns is self.rows
        columns = rows if square else matrix @ self.columns
        return _Canvas(self.pixels, len(matrix), rows, columns, smooth)


def _enlarged(image: Tensor) -> _Canvas:
    """An image (1, 3, height, width) on the canvas of the released code, enlarged in whole levels by OpenCV."""
    rows, columns = (resize_matrix("linear", n, CANVAS) for n in image.shape[-2:])
    return _Canvas(image - OPENCV_TRUNCATES, CANVAS, rows, columns, smooth=True)


def _pixels(canvases: Sequence[_Canvas], every: int = 1) -> Tensor:
    """Every k-th pixel of canvases of the same key, (batch, 3, size / every, size / every)."""
    pixels = torch.cat([canvas.pixels for canvas in canvases]) if len(canvases) > 1 else canvases[0].pixels
    if canvases[0].rows is not None:
        pixels = _stacked([canvas.rows for canvas in canvases], every, pixels.device) @ pixels
    if canvases[0].columns is not None:
        pixels = (pixels @ _stacked([canvas.columns for canvas in canvases], every, pixels.device).mT).clamp_(0, 1)
    return pixels


def _stacked(matrices: Sequence[Tensor], every: int, device: torch.device) -> Tensor:
    """Every k-th row, for each image and all its channels; a single matrix as it is, which is faster."""
    if len(matrices) == 1:
        return matrices[0][::every].to(device)
    return torch.stack([matrix[::every] for matrix in matrices])[:, None].to(device)


def _resize(canvases: Sequence[_Canvas], steps: Sequence[Step]) -> list[_Canvas]:
    return [
        canvas.through(resize_matrix(step.mode, canvas.size, step.size, step.sigma))
        for canvas, step in zip(canvases, steps, strict=True)
    ]


def _blur(canvases: Sequence[_Canvas], steps: Sequence[Step]) -> list[_Canvas]:
    return [
        canvas.through(blur_matrix(step.variances[0], step.radius, canvas.size), canvas.smooth)
        for canvas, step in zip(canvases, steps, strict=True)
    ]


def _stretched_blur(canvases: Sequence[_Canvas], steps: Sequence[Step]) -> list[_Canvas]:
    """Anisotropic, hence no matrix: multiply spectra, at half the density where that is enough."""
    size, smooth = canvases[0].size, canvases[0].smooth
    every = 2 if smooth else 1
    density = size // every
    length = _fast_length(density + 2 * RADIUS)
    pixels = F.pad(_pixels(canvases, every), (RADIUS, length - density - RADIUS) * 2, mode="reflect")
    kernels = torch.stack([gaussian_kernel(step, every) for step in steps]).to(pixels.device)
    spectrum = torch.fft.rfft2(pixels).mul_(torch.fft.rfft2(kernels, s=(length, length))[:, None])
    inside = slice(2 * RADIUS, 2 * RADIUS + density)
    blurred = torch.fft.irfft2(spectrum, s=(length, length))[..., inside, inside]
    between = resize_matrix("between", density, size) if smooth else None
    return [_Canvas(image, size, between, between, smooth) for image in blurred.split(1)]


def _noise(canvases: Sequence[_Canvas], steps: Sequence[Step]) -> list[_Canvas]:
    noisy = [add_noise(image, step) for image, step in zip(_pixels(canvases).split(1), steps, strict=True)]
    return [_Canvas(image, canvases[0].size) for image in noisy]


def _jpeg(canvases: Sequence[_Canvas], steps: Sequence[Step]) -> list[_Canvas]:
    decoded = jpeg(_pixels(canvases), [step.quality for step in steps])
    return [_Canvas(image, canvases[0].size) for image in decoded.split(1)]


_OPERATIONS = {"resize": _resize, "blur": _blur, "stretched-blur": _stretched_blur, "noise": _noise, "jpeg": _jpeg}


def apply_plans(images: Sequence[Tensor], plans: Sequence[Plan]) -> list[Tensor]:
    """Run one round on images (1, 3, height, width) in [0, 1]; the results are (1, 3, 128, 128).

    Images whose next steps are of the same kind, at the same size, are computed together.
    """
    state = [_enlarged(image) for image in images]
    for position in range(max(map(len, plans))):
        groups = defaultdict(list)
        for index, plan in enumerate(plans):
            if position < len(plan):
                groups[plan[position].kind, state[index].key].append(index)
        for (kind, _), members in groups.items():
            results = _OPERATIONS[kind]([state[i] for i in members], [plans[i][position] for i in members])
            for index, result in zip(members, results, strict=True):
                state[index] = result
    return [canvas.pixels for canvas in state]


def gaussian_kernel(step: Step, spacing: int = 1) -> Tensor:
    """(25, 25) samples at distance `spacing` of a truncated Gaussian; the sum is 1."""
    grid = torch.arange(-RADIUS, RADIUS + 1) * spacing
    cos, sin = math.cos(step.angle), math.sin(step.angle)
    a, b = (max(variance, MIN_VARIANCE) for variance in step.variances)
    u, v = grid[None] * cos + grid[:, None] * sin, grid[:, None] * cos - grid[None] * sin
    exponent = u.square() / (-2 * a) - v.square() / (2 * b)
    outside = grid.abs() > step.radius
    exponent[outside] = exponent[:, outside] = -math.inf
    return torch.softmax(exponent.flatten(), 0).view(exponent.shape)


@lru_cache
def _fast_length(least: int) -> int:
    """The smallest length from `least` on without prime factors above 5."""
    rest = least
    for prime in (2, 3, 5):
        while rest % prime == 0:
            rest //= prime
    return least if rest == 1 else _fast_length(least + 1)


def add_noise(image: Tensor, step: Step) -> Tensor:
    """Gaussian noise of one of three kinds: independent colours (p = .4), grey (.4), correlated colours (.2)."""
    generator = torch.Generator(image.device).manual_seed(step.seed)
    planes = 1 if step.type < 0.4 else 3
    noise = torch.randn(1, planes, *image.shape[2:], generator=generator, device=image.device)
    if 0.4 <= step.type <= 0.6:
        noise = _mix(_colour_root(step.seed).to(image.device), noise)
    else:
        noise.mul_(step.level)
    return (noise.add_(image) if planes == 3 else image + noise).clamp_(0, 1)


def _colour_root(seed: int) -> Tensor:
    """A (3, 3) root of a random covariance; its largest standard deviation is 25 levels."""
    generator = torch.Generator().manual_seed(seed)
    turn = torch.linalg.svd(torch.rand(3, 3, generator=generator))[0]
    covariance = (turn.T @ torch.diag(torch.rand(3, generator=generator)) @ turn).abs() * (25 / 255) ** 2
    eigenvalues, vectors = torch.linalg.eigh(covariance)  # which abs() may have made negative
    return vectors * eigenvalues.abs().sqrt()


# --- matrices ---------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def blur_matrix(variance: float, radius: int, size: int) -> Tensor:
    """The matrix (size, size) of a truncated Gaussian along one axis, mirrored at the borders."""
    taps = torch.arange(-radius, radius + 1)
    weight = torch.softmax(taps.square() / (-2 * max(variance, MIN_VARIANCE)), 0)
    source = _mirrored(torch.arange(size)[:, None] + taps, size)
    return torch.zeros(size, size).scatter_add_(1, source, weight.expand(source.shape))


def _mirrored(index: Tensor, size: int) -> Tensor:
    return (size - 1) - ((size - 1) - index.abs()).abs()


def _cubic(distance: Tensor, a: float) -> Tensor:
    d = distance.abs()
    near, far = ((a + 2) * d - (a + 3)) * d * d + 1, (((d - 5) * d + 8) * d - 4) * a
    return torch.where(d <= 1, near, torch.where(d < 2, far, 0.0))


@lru_cache(maxsize=256)
def resize_matrix(mode: str, before: int, after: int, sigma: float = 0.0) -> Tensor | None:
    """The matrix (after, before) that resizes one axis, None for the identity.

    Args:
        mode: "linear", "cubic" (a = -.75) and "area" as OpenCV has them, without antialiasing; "smooth-cubic" (a = -.5)
            and "smooth-linear" with it, as MATLAB and Pillow; "between" finds what was left out when every second
            pixel was taken; "strided" blurs by a Gaussian of `sigma` (25 taps), shifted to the middle of the block of
            pixels of which one is kept.
    """
    if before == after and mode != "strided":
        return None
    scale = before / after
    corner = 0.0 if mode == "between" else 0.5
    centre = (torch.arange(after, dtype=torch.float64)[:, None] + corner) * scale - corner
    reach = RADIUS + 2 if mode == "strided" else 2 * max(1, math.ceil(scale)) + 1
    source = centre.floor() + torch.arange(-reach, reach + 1)
    distance = source - centre
    if mode == "strided":  # a kernel on whole pixels, moved by half a one: the mean of two neighbours
        moved = torch.stack((distance - 0.5, distance + 0.5))
        weight = torch.exp(-moved.square() / (2 * sigma**2)).where(moved.abs() <= RADIUS, 0).sum(0)
    elif mode == "area":  # overlap with the interval that an output pixel covers; enlarging too
        weight = ((distance + 0.5).clamp(max=scale / 2) - (distance - 0.5).clamp(min=-scale / 2)).clamp(min=0)
    elif mode == "cubic":
        weight = _cubic(distance, -0.75)
    elif mode == "linear":
        weight = (1 - distance.abs()).clamp(min=0)
    else:
        distance = distance / max(1.0, scale)
        weight = (1 - distance.abs()).clamp(min=0) if mode == "smooth-linear" else _cubic(distance, -0.5)
        if mode.startswith("smooth"):
            weight = weight.where((source >= 0) & (source < before), 0)
    source = _mirrored(source, before) if mode == "strided" else source
    weight = (weight / weight.sum(1, keepdim=True)).float()
    return torch.zeros(after, before).scatter_add_(1, source.clamp(0, before - 1).long(), weight)


# --- JPEG -------------------------------------------------------------------------------------------------------------


def jpeg(image: Tensor, quality: int | Sequence[int]) -> Tensor:
    """What JPEG at `quality` (1 to 100, one or one an image; 4:2:0) leaves of `image` (batch, 3, H, W) in [0, 1].

    The levels of the result are not rounded.
    """
    qualities = [quality] * len(image) if isinstance(quality, int) else quality
    height, width = image.shape[-2:]
    pad = (0, -width % 16, 0, -height % 16)
    x = F.pad(image, pad, mode="replicate") if any(pad) else image
    to_luma = x.new_tensor([[0.299, 0.587, 0.114]]) * 255
    to_chroma = (x.new_tensor([[0, 0, 255], [255, 0, 0]]) - to_luma) / x.new_tensor([[1.772], [1.402]])
    back = x.new_tensor([[0, 1.402], [-0.114 * 1.772 / 0.587, -0.299 * 1.402 / 0.587], [1.772, 0]])
    luma = _quantise(_mix(to_luma, x).sub_(128), _tables(_LUMA, qualities)).add_(128)
    halved = x[..., ::2, :] + x[..., 1::2, :]
    halved = halved[..., ::2] + halved[..., 1::2]  # of four pixels; much faster than avg_pool2d
    chroma = _quantise(_mix(to_chroma / 4, halved), _tables(_CHROMA, qualities))
    chroma = F.interpolate(chroma, scale_factor=2, mode="bilinear", align_corners=False)
    decoded = _mix(back / 255, chroma).add_(luma.div_(255)).clamp_(0, 1)
    return decoded[..., :height, :width]


def _mix(matrix: Tensor, planes: Tensor) -> Tensor:
    """Linear combinations of planes (batch, n, height, width)."""
    return (matrix @ planes.flatten(2)).unflatten(2, planes.shape[2:])


def _tables(base: list[list[int]], qualities: Sequence[int]) -> Tensor:
    """Quantisation tables (batch, 1, 64)."""
    scale = torch.tensor([5000 // q if q < 50 else 200 - 2 * q for q in qualities]).view(-1, 1, 1)
    return ((torch.tensor(base).flatten() * scale + 50) // 100).clamp(1, 255).float()


@lru_cache
def _dct() -> Tensor:
    """The orthonormal DCT-II of flattened 8 x 8 blocks, (64, 64)."""
    k = torch.arange(8, dtype=torch.float64)
    line = torch.cos(math.pi / 8 * (k[None] + 0.5) * k[:, None]) / 2
    line[0] /= math.sqrt(2)
    return torch.kron(line, line).float()


def _quantise(plane: Tensor, table: Tensor) -> Tensor:
    """Round the block-wise DCT-II coefficients of `plane` (batch, C, H, W) to multiples of `table` (batch, 1, 64)."""
    dct, table = _dct().to(plane.device), table.to(plane.device)
    b, c, h, w = plane.shape
    blocks = plane.view(b, c, h // 8, 8, w // 8, 8).transpose(3, 4)
    steps = (blocks.reshape(b, -1, 64) @ (dct.T / table)).round_()
    return (steps @ (dct * table.mT)).view(blocks.shape).transpose(3, 4).reshape(b, c, h, w)


# --- the whole --------------------------------------------------------------------------------------------------------


def degrade(pixel_values: Tensor, seeds: Sequence[int], rounds: int | None = None) -> Tensor:
    """x' = d(x) of Eq. 6, every image from its own seed.

    On a CPU the images are computed one by one, so that the bits do not depend on the batch; elsewhere together.

    Args:
        pixel_values: (batch, 3, height, width), in [-1, 1].
        seeds: one integer per image; the result for an image depends on its seed alone.
        rounds: how often the chain is applied; None draws it (1, with p = .2 a second time, with p = .01 a third).

    Returns:
        Degraded images, same shape, dtype and range, rounded to 8 bits as stored images are.

    Raises:
        ValueError: if the number of seeds is not the batch size.
    """
    if len(seeds) != len(pixel_values):
        raise ValueError(f"{len(seeds)} seeds for {len(pixel_values)} images; give one seed per image")
    size = 1 if pixel_values.device.type == "cpu" else max(1, len(seeds))
    starts = range(0, len(seeds), size)
    parts = [degrade_together(pixel_values[i : i + size], seeds[i : i + size], rounds) for i in starts]
    return torch.cat(parts) if parts else pixel_values.clone()


def degrade_together(pixel_values: Tensor, seeds: Sequence[int], rounds: int | None = None) -> Tensor:
    """`degrade` in one batch: the same images up to the rounding of sums, which may move a JPEG coefficient by one."""
    plans = [draw_plans(int(seed), rounds) for seed in seeds]
    images = list((pixel_values.float() / 2 + 0.5).split(1))
    for turn in range(max(map(len, plans))):
        active = [index for index, own in enumerate(plans) if turn < len(own)]
        results = apply_plans([images[index] for index in active], [plans[index][turn] for index in active])
        for index, result in zip(active, results, strict=True):
            images[index] = _levels(result)
    rows, columns = (resize_matrix("smooth-linear", CANVAS // FACTOR, n) for n in pixel_values.shape[-2:])
    for side, matrix in (("columns", columns), ("rows", rows)):  # with levels in between, as Pillow works
        images = [_levels(_pixels([_Canvas(image, 0, **{side: matrix})])) for image in images]
    return (torch.cat(images) * 2 - 1).to(pixel_values.dtype)


def _levels(pixels: Tensor) -> Tensor:
    """Rounded to 8 bits, halves upwards as Pillow rounds them: a resize produces many."""
    return pixels.mul(255).add_(0.5 + 1e-4).floor_().clamp_(0, 255).div_(255)


def draw_plans(seed: int, rounds: int | None = None) -> list[Plan]:
    """The rounds of one image."""
    rng = random.Random(seed)
    draws = rng.random(), rng.random()
    if rounds is None:
        rounds = 1 + sum(draw < p for draw, p in zip(draws, ROUND_PROBABILITIES[1:], strict=True))
    return [draw_plan(rng) for _ in range(rounds)]
