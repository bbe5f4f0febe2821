"""LightQNet behind the common interface."""

import copy

from torch import nn

from difiqa_hf.conversion.lightqnet import convert_lightqnet
from difiqa_hf.methods.base import NetworkMethod
from difiqa_hf.models.modeling_lightqnet import LightQNet


class LightQNetQuality(NetworkMethod):
    """A small network trained to know which image of a pair spoils it (identification quality, distilled).

    Args:
        checkpoint: a released graph (lightqnet-dm100.pb, -dm050.pb, -dm025.pb), a folder or Hub repository of a
            `LightQNet`, or the model.
        color_order: what the network is fed, "bgr" (the released demo) or "rgb" (the released training code); None for
            the checkpoint's own.
        device: where to run.
        seed, recognizer: accepted because every method takes them; without effect.

    The authors' template of three points is part of ArcFace's: an ArcFace crop differs by the fit only. Faces that a
    detector finds are aligned by their three points. (The authors' demo aligns at 160 pixels and then resizes.)
    """

    name = "lightqnet"
    kind = "regression"
    score_range = (0.0, 1.0)
    landmarks = 3
    input_contract = "three-point alignment, 96 x 96 (OpenCV's 8-bit resize of the crop), BGR, (x - 128) / 128"
    paper = "Chen et al., LightQNet, IEEE SPL 2021"
    code_license = "MIT"
    weights_license = "official: the repository's, MIT"
    parity = "official weights reproduced: 16 LFW images, three widths, both colour orders, to 1e-4"

    def __init__(
        self, checkpoint=None, color_order: str | None = None, device: str = "cpu", seed: int = 0, recognizer=None
    ):
        if color_order not in (None, "rgb", "bgr"):
            raise ValueError(f"color_order must be 'rgb', 'bgr' or None, found {color_order!r}")
        self.color_order = color_order
        super().__init__(checkpoint, device)
        if self.turned:
            self._set_apart(color_order=color_order)

    def load(self, checkpoint) -> nn.Module:
        model = convert_lightqnet(checkpoint) if str(checkpoint).endswith(".pb") else super().load(checkpoint)
        if not isinstance(model, LightQNet):
            raise ValueError(f"lightqnet needs a LightQNet, found {type(model).__name__}")
        self.turned = self.color_order not in (None, model.config.color_order)
        if self.turned:
            model = copy.copy(model)  # the same weights; the caller's model keeps its own order
            model.config = copy.deepcopy(model.config)
            model.config.color_order = self.color_order
        return model
