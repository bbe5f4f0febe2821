"""GraFIQs: quality from the gradient of the mismatch of BatchNorm statistics (Kolf et al., CVPRW 2024)."""

import torch
from torch import Tensor, nn

from difiqa_hf.methods.base import RecognizerMethod
from difiqa_hf.recognizers import embed, recorded


class GraFIQs(RecognizerMethod):
    """How much the pixels would have to change for the image to look like the training set (Kolf et al., CVPRW 2024).

    Args:
        recognizer: a model with BatchNorm2d layers, or what `load_recognizer` takes.
        layer: where the gradient is taken: "image", or the name of a module, for example "layer2" of an iResNet or
            "blocks.5" of a MobileFaceNet (the authors use the four stages).
        batch_norm: "2d" as published; "1d" uses the BatchNorm1d of the embedding, for networks whose other BatchNorms
            are folded into convolutions: one vector has no variance, so only its distance from the mean is left.
        batch_size: images that go through the recogniser at once; changes speed and memory, and last digits.
        device: where to run.
        seed: accepted because every method takes it; without effect.

    The statistics are those of each image alone, and the losses are summed, so that the gradients of a batch are those
    of its images. A larger gradient is a worse image: the sign is turned. Whether that holds is up to the recogniser:
    with the shipped one, whose BatchNorms do not say what a good face is, blurred faces come out as better ones.
    """

    name = "grafiqs"
    kind = "analytical"
    score_range = (None, 0.0)
    needs_gradients = True
    paper = "Kolf et al., GraFIQs, CVPRW 2024"
    code_license = "CC BY-NC 4.0"
    parity = (
        "formula checked on real networks: equals a one-image-at-a-time restatement, to 1e-5; no official scores were "
        "obtainable"
    )

    def __init__(
        self,
        recognizer=None,
        layer: str = "image",
        batch_norm: str = "2d",
        batch_size: int = 32,
        device: str = "cpu",
        seed: int = 0,
    ):
        super().__init__(recognizer, device, seed, layer=layer, batch_norm=batch_norm)
        self.layer, self.batch_size = layer, batch_size
        self._norms = _batch_norms(self.recognizer, batch_norm)
        known = {name: module for name, module in self.recognizer.named_modules() if name}
        if layer != "image" and layer not in known:
            raise ValueError(f"no module {layer!r} in {type(self.recognizer).__name__}; there are {sorted(known)[:8]}")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, found {batch_size}")
        self._targets = {} if layer == "image" else {layer: known[layer]}

    def score(self, pixel_values: Tensor) -> Tensor:
        parts = pixel_values.to(self.device, torch.float32).split(self.batch_size)
        return torch.cat([-self._gradient(part) for part in parts])

    def _gradient(self, x: Tensor) -> Tensor:
        """Sum of the absolute gradient (batch,) of each image's own loss."""
        with torch.enable_grad(), recorded(self._targets) as outputs, recorded(self._norms, inputs=True) as inputs:
            x = x.detach().requires_grad_()
            embed(self.recognizer, x)
            losses = [statistics_loss(inputs[name], norm) for name, norm in self._norms.items()]
            target = x if self.layer == "image" else outputs.get(self.layer)
            if not isinstance(target, Tensor):
                raise ValueError(f"{self.layer!r} returns no tensor when an image is embedded; take another layer")
            (gradient,) = torch.autograd.grad(torch.stack(losses).mean(0).sum(), target, allow_unused=True)
        if gradient is None:
            raise ValueError(f"no BatchNorm comes after {self.layer!r}; take the gradient at an earlier layer")
        return gradient.float().abs().flatten(1).sum(1)


def statistics_loss(inputs: Tensor, norm: nn.Module) -> Tensor:
    """Mean squared differences (batch,) between an image's own statistics and those stored in a BatchNorm.

    Args:
        inputs: what the layer saw, (batch, channels[, height, width]); mean and biased variance over the positions.
    """
    inputs = inputs.float().flatten(2) if inputs.ndim > 2 else inputs.float()[..., None]
    mean, variance = inputs.mean(-1), inputs.var(-1, correction=0)
    return (mean - norm.running_mean).square().mean(1) + (variance - norm.running_var).square().mean(1)


def _batch_norms(recognizer, kind: str) -> dict[str, nn.Module]:
    """The BatchNorms of a recogniser that remember their training set."""
    if kind not in ("2d", "1d"):
        raise ValueError(f"batch_norm must be '2d' or '1d', found {kind!r}")
    modules = dict(recognizer.named_modules()) if isinstance(recognizer, nn.Module) else {}
    found = {
        dimension: {name: m for name, m in modules.items() if isinstance(m, layer) and m.running_mean is not None}
        for dimension, layer in (("2d", nn.BatchNorm2d), ("1d", nn.BatchNorm1d))
    }
    if not found[kind]:
        count = len(found["1d"])
        other = f", but {count} BatchNorm1d; batch_norm='1d' uses what there is" if kind == "2d" and count else ""
        raise ValueError(
            f"GraFIQs reads the statistics that BatchNorm{kind} layers keep of the training set, and "
            f"{type(recognizer).__name__} has no such layer (folded into convolutions, or another normalisation)"
            f"{other}; or use a recogniser that has them"
        )
    return found[kind]
