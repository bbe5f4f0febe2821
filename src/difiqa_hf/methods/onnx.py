"""Exported methods: the same scores from onnxruntime."""

from pathlib import Path

import torch
from torch import Tensor

from difiqa_hf.diffusion import NoiseStream, image_digests, stable_seed
from difiqa_hf.methods.base import QualityMethod
from difiqa_hf.onnx_graphs import OnnxGraph


class OnnxMethod(QualityMethod):
    """A method from a file of `difiqa export`, with the declarations of the method that it was made from.

    Args:
        method: the class of that method.
        checkpoint: the file.
        device: "cpu", or "cuda" with an onnxruntime that has it.
        seed, num_repeats: as for `DifFIQA`, whose graphs do one repeat a call; without effect for others.
        batch_size: images that a graph of DifFIQA sees at once.
        recognizer: refused: an exported method brings its own.

    Raises:
        ValueError: for the file of another method.
    """

    name = "onnx"

    def __init__(
        self,
        method: type[QualityMethod],
        checkpoint: str | Path,
        device: str = "cpu",
        seed: int = 0,
        num_repeats: int | None = None,
        batch_size: int = 32,
        recognizer=None,
    ):
        if recognizer is not None and method.needs_recognizer:
            raise ValueError(f"{checkpoint} has its recogniser inside: leave out recognizer, or export with another")
        self.graph = OnnxGraph(checkpoint, device)
        about = self.graph.about
        if about["method"] != method.name:
            raise ValueError(f"{checkpoint} holds {about['method'] or 'a recogniser'}, not {method.name}")
        for field in QualityMethod.__annotations__:
            if not field.startswith("_") and field not in ("revision", "fingerprint"):
                setattr(self, field, getattr(method, field))
        self.device, self.seed, self.batch_size = device, seed, batch_size
        self.num_repeats = num_repeats or about.get("num_repeats", 1)
        self.revision = self.graph.sha256[:12]
        settings = f" seed={seed},num_repeats={self.num_repeats}" if "noise" in about["inputs"] else ""
        self.fingerprint = f"{self.name} onnx {self.graph.sha256}{settings}"
        self._percentiles = about["reference_quantiles"]

    def score(self, pixel_values: Tensor) -> Tensor:
        if "noise" not in self.graph.about["inputs"]:
            return self.graph(pixel_values=pixel_values)
        return torch.cat([self._difiqa(part) for part in pixel_values.split(self.batch_size)])

    def _difiqa(self, pixel_values: Tensor) -> Tensor:
        """Eq. 7: the mean of the terms of every repeat, with the noise that `DifFIQAPipeline` draws."""
        digests, (sides, draws) = image_digests(pixel_values), self.graph.about["noise"]
        repeats = []
        for repeat in range(self.num_repeats):
            streams = [
                NoiseStream(
                    [stable_seed(self.seed, digest, repeat, bool(side)) for digest in digests], pixel_values.shape[1:]
                )
                for side in range(sides)
            ]
            noise = torch.stack([torch.stack([stream() for _ in range(draws)], 1) for stream in streams], 1)
            repeats.append(self.graph(pixel_values=pixel_values, noise=noise).mean(1))
        return torch.stack(repeats).mean(0)
