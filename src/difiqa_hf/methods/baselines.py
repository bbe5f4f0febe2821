"""What a quality method has to beat: the mirror cosine, the embedding norm, random numbers."""

import torch
import torch.nn.functional as F
from torch import Tensor

from difiqa_hf.diffusion import image_digests, stable_seed
from difiqa_hf.methods.base import QualityMethod
from difiqa_hf.recognizers import embed, recognizer_fingerprint, resolve_recognizer, weights_revision


class _RecognizerBaseline(QualityMethod):
    kind = "baseline"
    needs_recognizer = True

    def __init__(self, recognizer=None, device: str = "cpu", seed: int = 0):
        self.recognizer = resolve_recognizer(recognizer, device)
        self.device = device
        self.revision = weights_revision(self.recognizer)
        fingerprint = recognizer_fingerprint(self.recognizer)
        self.fingerprint = fingerprint and f"{self.name} {fingerprint}"


class MirrorCosine(_RecognizerBaseline):
    """Cosine between the embeddings of an image and its mirror: pose, for one extra network call."""

    name = "mirror"
    score_range = (-1.0, 1.0)

    def score(self, pixel_values: Tensor) -> Tensor:
        x = pixel_values.to(self.device)
        return F.cosine_similarity(embed(self.recognizer, x), embed(self.recognizer, x.flip(-1)))


class EmbeddingNorm(_RecognizerBaseline):
    """L2 norm of the un-normalised embedding: free, and hard to beat."""

    name = "norm"
    score_range = (0.0, None)

    def score(self, pixel_values: Tensor) -> Tensor:
        return embed(self.recognizer, pixel_values.to(self.device)).norm(dim=1)


class RandomQuality(QualityMethod):
    """A uniform random number drawn from (seed, image): what a useless quality scores."""

    name = "random"
    kind = "baseline"
    score_range = (0.0, 1.0)
    is_stochastic = True

    def __init__(self, seed: int = 0, recognizer=None, device: str = "cpu"):
        self.seed = seed
        self.fingerprint = f"random-{seed}"

    def score(self, pixel_values: Tensor) -> Tensor:
        seeds = [stable_seed("random", self.seed, digest) for digest in image_digests(pixel_values)]
        return torch.stack([torch.rand((), generator=torch.Generator().manual_seed(seed)) for seed in seeds])
