"""What happens to an image, drawn before anything is computed: BSRGAN's random order and parameters."""

import math
import random
from dataclasses import dataclass

CANVAS = 512  # pixels, in the released code
FACTOR = 4  # scale factor: the result has 512 / 4 = 128 pixels
ROUND_PROBABILITIES = (1.0, 0.2, 0.01)  # of a first, second and third application


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


def draw_plans(seed: int, rounds: int | None = None) -> list[Plan]:
    """The rounds of one image."""
    rng = random.Random(seed)
    draws = rng.random(), rng.random()
    if rounds is None:
        rounds = 1 + sum(draw < p for draw, p in zip(draws, ROUND_PROBABILITIES[1:], strict=True))
    return [draw_plan(rng) for _ in range(rounds)]


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
