"""The repeats of Eq. 7: which noise they see, what their error is, and when there are enough.

Notation (paper -> here)
    n                     num_repeats, or as many as an image needs
    one repeat            a copy of the image and of its mirror image, each noised and restored once
"""

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from difiqa_hf.diffusion import NoiseStream, image_digests, stable_seed
from difiqa_hf.outputs import DifFIQAPipelineOutput

Rows = Sequence[tuple[int, int, bool]]  # (image, repeat, mirrored): one perturbed copy each

FIRST = 4  # repeats, or pairs: an error estimated from fewer ends too many runs by chance
NOISES = ("own", "shared", "antithetic")


def noise_source(kind: str, clean: Tensor, seed: int) -> Callable[[Rows], Callable[[], Tensor]]:
    """Rows -> `draw`, which gives their next noise (rows, 3, height, width) at every call.

    Args:
        kind: "own", every image draws by its own pixels; "shared", all images see the same noise, which cancels where
            their scores are compared; "antithetic", own noise, the second repeat of a pair that of the first with the
            sign turned.
        clean: (batch, 3, height, width) pixel values.
        seed: of all noise.
    """
    shape, device = clean.shape[1:], clean.device
    names = [""] * len(clean) if kind == "shared" else image_digests(clean)
    pairs = kind == "antithetic"

    def source(rows: Rows) -> Callable[[], Tensor]:
        stream = NoiseStream(
            [stable_seed(seed, names[i], r // 2 if pairs else r, s) for i, r, s in rows], shape, device
        )
        if not pairs:
            return stream
        sign = torch.tensor([1.0 - 2 * (r % 2) for _, r, _ in rows], device=device).view(-1, 1, 1, 1)
        return lambda: sign * stream()

    return source


def standard_error(per_repeat: Tensor, antithetic: bool = False) -> Tensor:
    """Standard error (batch,) of the mean over the repeats (batch, n), NaN where a repeat was not run, or for one only.

    Antithetic repeats depend on each other: the means of pairs take their place.
    """
    if antithetic:
        per_repeat = per_repeat.unflatten(1, (-1, 2)).mean(2)
    count = (~per_repeat.isnan()).sum(1)
    squares = (per_repeat - per_repeat.nanmean(1, keepdim=True)).square().nansum(1)
    error = (squares / (count - 1).clamp(min=1) / count).sqrt()
    return torch.where(count > 1, error, math.nan)


def rounds(num_repeats: int, adaptive: bool, antithetic: bool) -> Iterator[range]:
    """Repeats to run before the error is looked at: all, or `FIRST` and then one at a time (pairs count as one)."""
    if not adaptive:
        yield range(num_repeats)
        return
    size = 2 if antithetic else 1
    first = min(FIRST * size, num_repeats)
    yield range(first)
    yield from (range(start, start + size) for start in range(first, num_repeats, size))


def summarise(terms: Tensor, mirrored: Tensor | None, antithetic: bool) -> DifFIQAPipelineOutput:
    """Eq. 7: mean over terms and repeats, breakdown, standard error.

    Args:
        terms: cosines (batch, repeats, sides, kinds), NaN for repeats that were not run.
        mirrored: (batch,), a further term without repeats, or None.
        antithetic: whether the repeats come in pairs.
    """
    kinds = ("noisy", "restored") if terms.shape[3] == 2 else ("restored",)
    names = [kind + suffix for suffix in ("", "_flipped")[: terms.shape[2]] for kind in kinds]
    cosines = terms.flatten(2)
    if mirrored is not None:
        cosines = torch.cat([cosines, mirrored[:, None, None].expand(-1, terms.shape[1], 1)], 2)
        names.append("flipped")
    per_repeat = cosines.mean(2)
    count = (~per_repeat.isnan()).sum(1)
    error = standard_error(per_repeat, antithetic)
    return DifFIQAPipelineOutput(per_repeat.nanmean(1), cosines.nanmean(1), error, tuple(names), count)
