"""FaceQAN: quality as resistance to adversarial noise (Babnik, Peer, Štruc, ICPR 2022)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from difiqa_hf.diffusion import NoiseStream, image_digests, stable_seed
from difiqa_hf.methods.base import RecognizerMethod
from difiqa_hf.recognizers import embed


class FaceQAN(RecognizerMethod):
    """How far a few adversarial steps move the embedding, times the mirror cosine (Babnik et al., ICPR 2022).

    Args:
        recognizer: a model, a callable that can be differentiated, or what `load_recognizer` takes.
        num_repeats: k, copies of an image, each attacked from its own random start.
        num_iterations: l, cosines recorded for each copy, one before every step.
        epsilon: half-width of the random start and length of a step, in units of the range [0, 1].
        power: p, which spreads the scores.
        batch_size: copies that go through the recogniser at once; changes speed, memory and the fourth digit of scores
            (signs of gradients near zero turn with the last digit).
        seed: of the random starts.
        device: where to run.

    The copies of all images fill the batches together: a gradient of a sum is the gradient of each term. As in the
    released code, the image lives in [0, 1] but is clamped to [-1, 1], and the last step is never evaluated (so it is
    not taken here). Needs float32: a step of .001 is lost in half precision.
    """

    name = "faceqan"
    kind = "analytical"
    score_range = (-1.0, 1.0)
    is_stochastic = True
    needs_gradients = True
    paper = "Babnik et al., FaceQAN, ICPR 2022"
    code_license = "MIT"
    parity = (
        "formula checked on real networks: equals a one-image-at-a-time restatement, to 1e-3 (signs of gradients near "
        "zero turn with the last digit); no official scores were obtainable"
    )

    def __init__(
        self,
        recognizer=None,
        num_repeats: int = 10,
        num_iterations: int = 5,
        epsilon: float = 0.001,
        power: float = 5.0,
        batch_size: int = 32,
        seed: int = 0,
        device: str = "cpu",
    ):
        if min(num_repeats, num_iterations, batch_size) < 1:
            raise ValueError(
                "num_repeats, num_iterations and batch_size must be at least 1, "
                f"found {num_repeats}, {num_iterations} and {batch_size}"
            )
        if not (epsilon > 0 and power > 0):
            raise ValueError(f"epsilon and power must be above 0, found {epsilon} and {power}")
        settings = dict(num_repeats=num_repeats, num_iterations=num_iterations, epsilon=epsilon, power=power)
        super().__init__(recognizer, device, seed, **settings)
        dtype = getattr(self.recognizer, "dtype", torch.float32)
        if dtype not in (torch.float32, torch.float64):
            raise ValueError(f"FaceQAN's steps of {epsilon} are lost in {dtype}; use the recogniser in float32")
        self.num_repeats, self.num_iterations, self.batch_size = num_repeats, num_iterations, batch_size
        self.epsilon, self.power = epsilon, power

    def score(self, pixel_values: Tensor) -> Tensor:
        x, digests = pixel_values.to(self.device, torch.float32), image_digests(pixel_values)
        e_x = self._embed(x)
        symmetry = F.cosine_similarity(e_x, self._embed(x.flip(-1)))
        rows = [(i, r) for i in range(len(x)) for r in range(self.num_repeats)]
        cosines = torch.zeros(len(x), self.num_repeats, self.num_iterations, device=x.device)
        for start in range(0, len(rows), self.batch_size):
            part = rows[start : start + self.batch_size]
            image, repeat = (torch.tensor(column) for column in zip(*part, strict=True))
            seeds = [stable_seed("faceqan", self.seed, digests[i], r) for i, r in part]
            draw = NoiseStream(seeds, x.shape[1:], x.device, torch.rand)
            cosines[image, repeat] = self._attack(x[image], e_x[image], draw())
        return faceqan_quality(cosines.flatten(1), symmetry, self.power)

    def _attack(self, x: Tensor, e_x: Tensor, uniform: Tensor) -> Tensor:
        """Cosines (rows, num_iterations) between e_x and the embedding before each step away from it."""
        cosines = []
        attacked = ((x + 1) / 2 + self.epsilon * (2 * uniform - 1)).clamp(-1, 1)
        for iteration in range(self.num_iterations):
            last = iteration == self.num_iterations - 1
            with torch.set_grad_enabled(not last):
                attacked = attacked.detach().requires_grad_(not last)
                cosine = F.cosine_similarity(embed(self.recognizer, attacked * 2 - 1), e_x)
                if not last:
                    if not cosine.requires_grad:
                        raise ValueError(
                            "FaceQAN differentiates the recogniser, and this one returns embeddings without gradients; "
                            "use one in torch, without detach() and no_grad()"
                        )
                    (gradient,) = torch.autograd.grad(cosine.sum(), attacked)
                    attacked = (attacked - self.epsilon * gradient.sign()).clamp(-1, 1)
            cosines.append(cosine.detach())
        return torch.stack(cosines, dim=1)

    def _embed(self, x: Tensor) -> Tensor:
        return torch.cat([embed(self.recognizer, part) for part in x.split(self.batch_size)])


def faceqan_quality(cosines: Tensor, symmetry: Tensor, power: float = 5.0) -> Tensor:
    """{(1 + mean S) / 2 * clip(1 - std S, 0, 1) * s}^p, as in the released code.

    Args:
        cosines: S, (batch, k * l), of all copies and iterations; their population standard deviation is meant.
        symmetry: s, (batch,), the mirror cosine. A negative one keeps its sign whatever the power.

    Returns:
        (batch,) in [-1, 1], higher is better.
    """
    steady = (1 - cosines.std(dim=1, correction=0)).clamp(0, 1)
    base = (1 + cosines.mean(dim=1)) / 2 * steady * symmetry
    return base.sign() * base.abs() ** power
