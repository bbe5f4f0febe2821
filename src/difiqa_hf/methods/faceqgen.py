"""FaceQgen: quality as closeness of a face to its own restoration (Hernandez-Ortega et al., FG 2021)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from difiqa_hf.methods.base import NetworkMethod
from difiqa_hf.models.modeling_faceqgen import FaceQgenModel

# measure -> lowest and highest possible score, of images in [-1, 1]
MEASURES = {"ssim": (-1.0, 1.0), "mse": (-4.0, 0.0), "discriminator": (None, None)}


class FaceQgen(NetworkMethod):
    """Closeness of a face to what a generative network makes an ideal face of it (Hernandez-Ortega et al., FG 2021).

    Re-implemented from the paper's abstract and not weight-compatible: no generator was ever published (the repository
    of that name holds FaceQnet). The paper of DifFIQA does not say which of the three scores it compared with. Of the
    small network that was trained here only the discriminator ranks sixteen LFW faces above their blurred versions (15;
    ssim 8, mse 1): a smooth face is easily restored.

    Args:
        checkpoint: folder or Hub repository of a `FaceQgenModel`, or the model.
        measure: "ssim" or "mse" (with its sign turned) between the face and its restoration, or "discriminator", the
            mean logit that the face itself is an ideal one.
        device: where to run.
        seed, recognizer: accepted because every method takes them; without effect.
    """

    name = "faceqgen"
    kind = "analytical"
    score_range = MEASURES["ssim"]
    input_contract = "RGB in [-1, 1], 112 x 112 (ours; the official one is not known)"
    paper = "Hernandez-Ortega et al., FaceQgen, FG 2021"
    code_license = "none released"
    parity = "retrained, no official weights obtainable: re-implemented from the paper's abstract"

    def __init__(self, checkpoint=None, measure: str = "ssim", device: str = "cpu", seed: int = 0, recognizer=None):
        if measure not in MEASURES:
            raise ValueError(f"measure must be one of {', '.join(MEASURES)}, found {measure!r}")
        super().__init__(checkpoint, device)
        if not isinstance(self.model, FaceQgenModel):
            raise ValueError(f"faceqgen needs a FaceQgenModel, found {type(self.model).__name__}")
        self.measure, self.score_range = measure, MEASURES[measure]
        self.fingerprint += f" measure={measure}"
        self._set_apart(measure=measure)

    def score(self, pixel_values: Tensor) -> Tensor:
        x = pixel_values.to(self.device, torch.float32)
        if self.measure == "discriminator":
            return self.network.discriminate(x)
        restored = self.network.restore(x).float()
        return ssim(x, restored) if self.measure == "ssim" else -(x - restored).square().mean(dim=(1, 2, 3))


def ssim(first: Tensor, second: Tensor, value_range: float = 2.0) -> Tensor:
    """Structural similarity (batch,) in [-1, 1] of images (batch, 3, height, width), Wang et al. 2004, Eq. 13.

    The usual constants: Gaussian window of 11 pixels and deviation 1.5 (no padding), K1 = .01, K2 = .03.
    """
    offsets = torch.arange(11, device=first.device, dtype=first.dtype) - 5
    window = (-(offsets**2) / (2 * 1.5**2)).exp()
    window = window / window.sum()

    def blur(x: Tensor) -> Tensor:
        flat = x.flatten(0, 1)[:, None]
        return F.conv2d(F.conv2d(flat, window[None, None, :, None]), window[None, None, None]).view(*x.shape[:2], -1)

    mean_a, mean_b = blur(first), blur(second)
    variance_a, variance_b = blur(first**2) - mean_a**2, blur(second**2) - mean_b**2
    covariance = blur(first * second) - mean_a * mean_b
    c1, c2 = (0.01 * value_range) ** 2, (0.03 * value_range) ** 2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return (luminance * (2 * covariance + c2) / (variance_a + variance_b + c2)).mean(dim=(1, 2))
