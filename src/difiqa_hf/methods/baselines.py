"""What a quality method has to beat: the mirror cosine, the embedding norm, random numbers."""

import torch
import torch.nn.functional as F
from torch import Tensor

from difiqa_hf.diffusion import image_digests, stable_seed
from difiqa_hf.methods.base import QualityMethod, RecognizerMethod
from difiqa_hf.recognizers import embed


class MirrorCosine(RecognizerMethod):
    """Cosine between the embeddings of an image and its mirror: pose, for one extra network call."""

    name = "mirror"
    kind = "baseline"
    score_range = (-1.0, 1.0)
    paper = "a factor of FaceQAN (ICPR 2022) and a term of the released DifFIQA"
    code_license = "none"
    parity = "nothing to compare with: the definition is the code"

    def score(self, pixel_values: Tensor) -> Tensor:
        x = pixel_values.to(self.device)
        return F.cosine_similarity(embed(self.recognizer, x), embed(self.recognizer, x.flip(-1)))


class EmbeddingNorm(RecognizerMethod):
    """L2 norm of the un-normalised embedding: free, and hard to beat."""

    name = "norm"
    kind = "baseline"
    score_range = (0.0, None)
    paper = "folklore; trained for it: MagFace (CVPR 2021)"
    code_license = "none"
    parity = "nothing to compare with: the definition is the code"

    def score(self, pixel_values: Tensor) -> Tensor:
        return embed(self.recognizer, pixel_values.to(self.device)).norm(dim=1)


class RandomQuality(QualityMethod):
    """A uniform random number drawn from (seed, image): what a useless quality scores."""

    name = "random"
    kind = "baseline"
    score_range = (0.0, 1.0)
    is_stochastic = True
    input_contract = "any"
    paper = "none"
    code_license = "none"
    weights_license = "none"
    parity = "nothing to compare with: the definition is the code"

    def __init__(self, seed: int = 0, recognizer=None, device: str = "cpu"):
        self.seed = seed
        self.fingerprint = f"random-{seed}"

    def score(self, pixel_values: Tensor) -> Tensor:
        seeds = [stable_seed("random", self.seed, digest) for digest in image_digests(pixel_values)]
        return torch.stack([torch.rand((), generator=torch.Generator().manual_seed(seed)) for seed in seeds])
