"""Result types: shape, unit and direction of every field."""

from dataclasses import dataclass

from diffusers.utils import BaseOutput
from torch import Tensor


@dataclass
class DifFIQAPipelineOutput(BaseOutput):
    """What `DifFIQAPipeline` returns for a batch of images.

    Attributes:
        quality: (batch,) Eq. 7, the mean cosine of all terms and repeats, in [-1, 1]; higher is better.
        terms: (batch, k) the mean cosine of each term over the repeats, in the order of `term_names`.
        standard_error: (batch,) standard error of `quality` over the repeats; NaN for a single repeat.
        term_names: noisy, restored, noisy_flipped, restored_flipped, as far as they were asked for; in variant
            "released" also flipped, the cosine to the mirrored image itself.
        num_repeats: (batch,) how many repeats each image got.
    """

    quality: Tensor
    terms: Tensor
    standard_error: Tensor
    term_names: tuple[str, ...] = ()
    num_repeats: Tensor | None = None
