"""LightQNet behind the common interface."""

from torch import nn

from difiqa_hf.conversion.lightqnet import convert_lightqnet
from difiqa_hf.methods.base import NetworkMethod


class LightQNetQuality(NetworkMethod):
    """A small network trained to know which image of a pair spoils it (identification quality, distilled).

    Args:
        checkpoint: a released graph (lightqnet-dm100.pb, -dm050.pb, -dm025.pb), a folder or Hub repository of a
            `LightQNet`, or the model.
        color_order: what the network is fed, "bgr" (the released demo) or "rgb" (the released training code); None for
            the checkpoint's own.
        device: where to run.
        seed, recognizer: accepted because every method takes them; without effect.

    The authors align to a template of three points; here the network sees the ArcFace crop, resized.
    """

    name = "lightqnet"
    kind = "regression"
    score_range = (0.0, 1.0)
    input_contract = "96 x 96 (OpenCV's 8-bit resize of the crop), BGR, (x - 128) / 128"
    paper = "Chen et al., LightQNet, IEEE SPL 2021"
    code_license = "MIT"
    weights_license = "official: the repository's, MIT"
    parity = "official weights reproduced: 16 LFW images, three widths, both colour orders, to 1e-4"

    def __init__(self, checkpoint=None, color_order: str | None = None, device: str = "cpu", seed=0, recognizer=None):
        self.color_order = color_order
        super().__init__(checkpoint, device)

    def load(self, checkpoint) -> nn.Module:
        model = convert_lightqnet(checkpoint) if str(checkpoint).endswith(".pb") else super().load(checkpoint)
        if self.color_order not in (None, "rgb", "bgr"):
            raise ValueError(f"color_order must be 'rgb', 'bgr' or None, found {self.color_order!r}")
        model.config.color_order = self.color_order or model.config.color_order
        return model
