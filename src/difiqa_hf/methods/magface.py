"""MagFace: a recogniser that was trained to make its embedding longer for better images (Meng et al., CVPR 2021)."""

from torch import Tensor

from difiqa_hf.methods.base import NetworkMethod
from difiqa_hf.recognizers import embed


class MagFace(NetworkMethod):
    """Length of the embedding of a network trained by MagFace's loss (Meng et al., CVPR 2021).

    Args:
        checkpoint: folder or Hub repository of a recogniser of `difiqa_hf.models` with MagFace's weights and input
            contract in its configuration, or the model. Any recogniser is accepted; `norm` is the honest name then.
        device: where to run.
        seed, recognizer: accepted because every method takes them; without effect.
    """

    name = "magface"
    kind = "model"
    score_range = (0.0, None)
    input_contract = "official: BGR, x / 255 (color_order, image_mean and image_std of the configuration)"
    paper = "Meng et al., MagFace, CVPR 2021"
    code_license = "Apache-2.0"
    weights_license = "official: the repository's, Apache-2.0"
    parity = (
        "retrained, no official weights obtainable; their converter was checked on rule-made weights, margin and "
        "regulariser against closed forms"
    )

    def score(self, pixel_values: Tensor) -> Tensor:
        return embed(self.network, pixel_values.to(self.device)).norm(dim=1)
