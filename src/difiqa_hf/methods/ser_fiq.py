"""SER-FIQ: quality as robustness of the embedding to dropout (Terhörst et al., CVPR 2020)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from difiqa_hf.diffusion import image_digests, stable_seed
from difiqa_hf.methods.base import RecognizerMethod
from difiqa_hf.recognizers import check_opens_before_head

OUTPUTS = ("raw", "normalised", "port")


class SERFIQ(RecognizerMethod):
    """How little the embedding varies under dropout before the last layer (Terhörst et al., CVPR 2020).

    Args:
        recognizer: one of `difiqa_hf.models`, or another with `forward_features` and `forward_head` (see
            `check_opens_before_head`), or what `load_recognizer` takes.
        num_repeats: m, stochastic embeddings of an image. Only the last layer is repeated.
        dropout: probability. The paper's network was trained with .4; one trained without dropout works, but differs.
        output: "raw", the paper's 2 sigmoid(-d); "normalised", what the authors' script returns since August 2021,
            made for the raw scores of their ArcFace (.86 to .90); "port", the co-author's PyTorch version. The order
            of images is the same in all three, up to the last digits.
        seed: of the dropout.
        device: where to run.
    """

    name = "ser-fiq"
    kind = "analytical"
    score_range = (0.0, 1.0)
    is_stochastic = True
    paper = "Terhörst et al., SER-FIQ, CVPR 2020"
    code_license = "CC BY-NC-SA 4.0"
    parity = (
        "formula checked on toy networks, its sign on real networks, none trained with dropout; the official network "
        "is MXNet's"
    )

    def __init__(
        self,
        recognizer=None,
        num_repeats: int = 100,
        dropout: float = 0.4,
        output: str = "raw",
        seed: int = 0,
        device: str = "cpu",
    ):
        if output not in OUTPUTS:
            raise ValueError(f"output must be one of {', '.join(OUTPUTS)}, found {output!r}")
        if num_repeats < 2 or not 0 < dropout < 1:
            raise ValueError(
                f"num_repeats must be at least 2 and dropout between 0 and 1, found {num_repeats}, {dropout}"
            )
        super().__init__(recognizer, device, seed, num_repeats=num_repeats, dropout=dropout, output=output)
        check_opens_before_head(self.recognizer, "SER-FIQ")
        self.num_repeats, self.dropout, self.output = num_repeats, dropout, output

    def score(self, pixel_values: Tensor) -> Tensor:
        check_opens_before_head(self.recognizer, "SER-FIQ")  # its mode may have changed
        features = self.recognizer.forward_features(pixel_values.to(self.device))
        distances = []
        for feature, digest in zip(features, image_digests(pixel_values), strict=True):
            generator = torch.Generator().manual_seed(stable_seed("ser-fiq", self.seed, digest))
            kept = torch.rand(self.num_repeats, features.shape[1], generator=generator) >= self.dropout
            if not kept.any(dim=1).all():
                raise ValueError(f"dropout {self.dropout} leaves a copy none of its {kept.shape[1]} features; lower it")
            dropped = feature * kept.to(feature.device) / (1 - self.dropout)
            embeddings = self.recognizer.forward_head(dropped.to(feature.dtype)).float()
            distances.append(torch.pdist(F.normalize(embeddings)).mean())
        return ser_fiq_quality(torch.stack(distances), self.num_repeats, self.output)


def ser_fiq_quality(distance: Tensor, num_repeats: int, output: str = "raw") -> Tensor:
    """Eq. 1 of the paper, 2 sigmoid(-d), or one of its two later forms.

    The paper prints 2 / m^2 before the sum over the m (m - 1) / 2 pairs; the official code takes their mean, as here.

    Args:
        distance: d, (batch,), mean Euclidean distance over all pairs of the normalised embeddings.
        num_repeats: m, only for "port", which averages the whole m x m matrix with zeros on and below its diagonal.

    Returns:
        (batch,) in [0, 1], higher is better.
    """
    if output == "port":
        return 2 * torch.sigmoid(-8 * distance * (num_repeats - 1) / (2 * num_repeats))
    raw = 2 * torch.sigmoid(-distance)
    return torch.sigmoid(130 * (raw - 0.88)) if output == "normalised" else raw
