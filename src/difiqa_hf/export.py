"""ONNX export: recognisers, quality networks, and one repeat of DifFIQA as a graph, each compared with its original."""

import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from difiqa_hf import __version__
from difiqa_hf.alignment import ARCFACE_TEMPLATE
from difiqa_hf.diffusion import alphas_cumprod, backward_indices, restore
from difiqa_hf.image_processing import FaceImageProcessor
from difiqa_hf.inference import probe_images
from difiqa_hf.methods import QualityMethod
from difiqa_hf.methods.base import NetworkMethod
from difiqa_hf.methods.difiqa import DifFIQA
from difiqa_hf.methods.froq import spearman
from difiqa_hf.methods.onnx import OnnxMethod
from difiqa_hf.onnx_graphs import KEY, OnnxGraph
from difiqa_hf.pipeline_difiqa import DifFIQAPipeline
from difiqa_hf.recognizers import embed
from difiqa_hf.scoring import UnreadableImageError, find_images, read_image

FEW, FAITHFUL = 50, 0.995  # images that calibrate 8 bits, and their rank correlation with float32: less gets advice
TOLERANCE = 1e-4  # of a score; of an embedding relative to its length
OPSET = 18
PIXELS = "float32 (batch, 3, 112, 112): RGB, level / 127.5 - 1, the face's five points on the template"


@dataclass(frozen=True)
class Export:
    """What was written, and how far it is from its original.

    Attributes:
        path: the file.
        kind: "recognizer", "quality" or "difiqa".
        difference: largest absolute difference on the probe: of scores, or of embeddings relative to their length.
        megabytes: size of the file.
    """

    path: Path
    kind: str
    difference: float
    megabytes: float

    def __str__(self) -> str:
        return (
            f"{self.kind}: wrote {self.path}, {self.megabytes:.1f} MB; largest difference from the original on the "
            f"probe: {self.difference:.2g}"
        )


@dataclass(frozen=True)
class Int8Export:
    """A quality network in 8 bits, and what that costs.

    Attributes:
        path: the file.
        float_megabytes, megabytes: size of the same graph in float32, and of the file.
        calibrated: images that set the ranges.
        compared: other images, on which the rest was measured.
        difference: largest absolute difference of scores.
        spearman: rank correlation of the scores in 8 bits with those in float32.
    """

    path: Path
    float_megabytes: float
    megabytes: float
    calibrated: int
    compared: int
    difference: float
    spearman: float

    def __str__(self) -> str:
        return (
            f"quality in 8 bits: wrote {self.path}, {self.megabytes:.1f} MB (float32: {self.float_megabytes:.1f} MB), "
            f"calibrated on {self.calibrated} images; on {self.compared} others Spearman {self.spearman:.4f} with "
            f"float32, largest difference {self.difference:.3f}{self._advice()}"
        )

    def _advice(self) -> str:
        few, low = self.calibrated < FEW, self.spearman < FAITHFUL
        if not (few or low):
            return ""
        why = f"Spearman is below {FAITHFUL}" if low else f"fewer than {FEW} images calibrated it"
        return f". NOTE: {why}; give a few hundred faces of the kind that will be scored, or stay with float32"


class EmbeddingGraph(nn.Module):
    """pixel_values -> embeddings (batch, dim), not normalised."""

    def __init__(self, recognizer: nn.Module):
        super().__init__()
        self.recognizer = recognizer

    def forward(self, pixel_values: Tensor) -> Tensor:
        return self.recognizer(pixel_values).embeddings


class QualityGraph(nn.Module):
    """pixel_values -> quality (batch,), all that the method does to its network's output included."""

    def __init__(self, method: NetworkMethod):
        super().__init__()
        self.model, self._score = method.network, method.score

    def forward(self, pixel_values: Tensor) -> Tensor:
        return self._score(pixel_values)


class DifFIQAGraph(nn.Module):
    """One repeat of Eq. 7: pixel_values, noise (batch, sides, draws, 3, 112, 112) -> terms (batch, terms).

    Of the draws of a side, as many as calls of the denoiser, the first is the forward noise, the others are those of
    the steps back.
    """

    def __init__(self, pipeline: DifFIQAPipeline, timestep: int, flip: bool, forward: bool, steps: int | None = None):
        super().__init__()
        self.unet, self.recognizer = pipeline.unet, pipeline.active_recognizer
        self.indices, self.sides, self.with_noisy = backward_indices(timestep - 1, steps), 2 if flip else 1, forward
        self.alpha_bar = alphas_cumprod(pipeline.scheduler).numpy()  # numbers, not tensors: constants of the graph

    def forward(self, pixel_values: Tensor, noise: Tensor) -> Tensor:
        clean, terms = self._embed(pixel_values), []
        alpha = self.alpha_bar[self.indices[0]].item()
        for side in range(self.sides):
            x = pixel_values.flip(-1) if side else pixel_values
            draws = iter(noise[:, side].unbind(1))
            noisy = alpha**0.5 * x + (1 - alpha) ** 0.5 * next(draws)
            restored = restore(self._denoise, noisy, self.indices, self.alpha_bar, lambda d=draws: next(d))
            images = (noisy, restored) if self.with_noisy else (restored,)
            terms += [F.cosine_similarity(clean, self._embed(image)) for image in images]
        return torch.stack(terms, 1)

    def _embed(self, pixel_values: Tensor) -> Tensor:
        return self.recognizer(pixel_values).embeddings

    def _denoise(self, sample: Tensor, timestep: int) -> Tensor:
        return self.unet(sample, timestep).sample


def export_onnx(source: QualityMethod | nn.Module, path: str | Path) -> Export:
    """Write a method or a recogniser as an ONNX file, with its input contract in the metadata.

    Args:
        source: a recogniser, `DifFIQA` of variant "paper", or a method that is one network, such as DifFIQA(R), on the
            CPU.
        path: file to write; what was there is replaced once the new file has passed its comparison.

    Raises:
        ImportError: without the extra `onnx`.
        ValueError: for a method that is no such graph, or a file whose results differ by more than `TOLERANCE`.
    """
    graph, about = build_graph(source)
    path = Path(path)
    partial = path.with_name(f"{path.name}.partial")
    try:
        _write(graph.eval(), about, partial)
        difference = _compare(source, about, partial)
        if not difference <= TOLERANCE:
            raise ValueError(
                f"the exported {about['kind']} differs from its original by {difference:g}, more than {TOLERANCE:g}: "
                "not kept; please report it with the versions of torch, onnx and onnxruntime"
            )
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return Export(path, about["kind"], difference, path.stat().st_size / 1e6)


def build_graph(source: QualityMethod | nn.Module) -> tuple[nn.Module, dict[str, Any]]:
    """The module whose forward becomes the graph, and what its file says of it."""
    about: dict[str, Any] = {
        "version": __version__, "method": None, "inputs": ["pixel_values"], "pixel_values": PIXELS,
        "template": np.asarray(ARCFACE_TEMPLATE).tolist(), "higher_is_better": True, "reference_quantiles": None,
    }  # fmt: skip
    if isinstance(source, DifFIQA):
        if source.pipeline.config.variant != "paper":
            raise ValueError("only variant 'paper' can be exported: scores of 'released' depend on the neighbours")
        if source.options["noise"] != "own" or source.options["max_standard_error"] is not None:
            raise ValueError("the graph draws its own noise for a fixed number of repeats: export without other noise "
                             "and without max_standard_error")  # fmt: skip
        options = {name: source.options[name] for name in ("timestep", "flip", "forward", "steps")}
        graph = DifFIQAGraph(source.pipeline, **options)
        about |= {
            "kind": "difiqa",
            "noise": [graph.sides, len(graph.indices)],
            "num_repeats": source.options["num_repeats"],
        }
        about |= {"inputs": ["pixel_values", "noise"], "output": "terms of Eq. 7; their mean is the quality"} | options
    elif isinstance(source, NetworkMethod):
        graph = QualityGraph(source)
        about |= {"kind": "quality", "output": "quality"}
    elif isinstance(source, OnnxMethod):
        raise ValueError(f"{source.name} comes from an ONNX file already: copy that, or export from the checkpoint")
    elif isinstance(source, QualityMethod):
        raise ValueError(f"{source.name} is no network: export its recogniser, or difiqa, or a method with weights")
    else:
        return EmbeddingGraph(source), about | {"kind": "recognizer", "output": "embeddings, not normalised"}
    about |= {"method": source.name, "revision": source.revision, "weights_license": source.weights_license}
    quantiles = source._percentiles
    return graph, about | {"reference_quantiles": None if quantiles is None else list(quantiles)}


def _write(graph: nn.Module, about: dict[str, Any], path: Path) -> None:
    try:
        import onnx
        import onnxscript  # noqa: F401  what torch.onnx works with
    except ImportError as error:
        raise ImportError("export needs onnx and onnxscript: pip install 'difiqa-hf[onnx]'") from error
    inputs = [probe_images(2)]
    if about["kind"] == "difiqa":
        sides, draws = about["noise"]
        inputs.append(torch.zeros(2, sides, draws, 3, 112, 112))
    batch = torch.export.Dim("batch")
    with _quiet():
        program = torch.onnx.export(
            graph, tuple(inputs), input_names=about["inputs"], output_names=[about["output"].split()[0].rstrip(",")],
            dynamic_shapes=tuple({0: batch} for _ in inputs), opset_version=OPSET, dynamo=True, verbose=False,
        )  # fmt: skip
    model = program.model_proto
    onnx.helper.set_model_props(model, {KEY: json.dumps(about)})
    onnx.save(model, path)


def _compare(source: QualityMethod | nn.Module, about: dict[str, Any], path: Path) -> float:
    """Largest difference between original and file, for batches of one and of three."""
    worst = 0.0
    for images in (probe_images(1), probe_images(3)):
        if about["kind"] == "recognizer":
            with torch.no_grad():
                expected = embed(source, images)
            difference = (OnnxGraph(path)(pixel_values=images) - expected).norm(dim=1) / expected.norm(dim=1)
        else:
            options = {"seed": source.options["seed"]} if isinstance(source, DifFIQA) else {}
            difference = (OnnxMethod(type(source), path, **options)(images) - source(images)).abs()
        worst = max(worst, difference.max().item())
    return worst


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's advice on torchvision and on its own internals, and the quantiser's on the root logger."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", None)]
    before = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def export_int8(source: QualityMethod, path: str | Path, images: Sequence[str | Path]) -> Int8Export:
    """Write a quality network that computes in 8 bits (QDQ, weights per channel), calibrated on every second image.

    Args:
        source: a method that is one network, on the CPU.
        path: file to write; what was there is replaced.
        images: aligned faces of the kind that will be scored, files and folders; half of them measure the order.

    Raises:
        FileNotFoundError: for a path that does not exist.
        ImportError: without the extra `onnx`.
        ValueError: for another method, or fewer than four readable images.
    """
    if not isinstance(source, NetworkMethod):
        named = getattr(source, "name", f"a {type(source).__name__}")
        raise ValueError(f"8 bits are for quality methods that are one network, {named} is none")
    if missing := [path for path in images if not Path(path).exists()]:
        raise FileNotFoundError(f"no calibration images at {missing[0]}")
    path = Path(path)
    calibration, held_out = _read_halves(images)
    plain, partial = path.with_name(f"{path.name}.float"), path.with_name(f"{path.name}.partial")
    try:
        exported = export_onnx(source, plain)
        _quantize(plain, partial, calibration)
        expected = torch.cat([source(batch) for batch in held_out])
        quantized = OnnxMethod(type(source), partial)
        found = torch.cat([quantized(batch) for batch in held_out])
        partial.replace(path)
    finally:
        plain.unlink(missing_ok=True)
        partial.unlink(missing_ok=True)
    return Int8Export(
        path, exported.megabytes, path.stat().st_size / 1e6, sum(map(len, calibration)), len(expected),
        (found - expected).abs().max().item(), spearman(found[:, None], expected).item(),
    )  # fmt: skip


def _read_halves(images: Sequence[str | Path]) -> tuple[list[Tensor], list[Tensor]]:
    """Batches of pixel values of every second readable image, and of the others."""
    processor, pixel_values = FaceImageProcessor(), []
    for path in find_images(map(Path, images)):
        with suppress(UnreadableImageError):
            pixel_values.append(processor(read_image(path)).pixel_values[0])
    if len(pixel_values) < 4:
        raise ValueError(
            f"calibration needs aligned faces, a hundred or more; found {len(pixel_values)} readable images"
        )
    first, second = (list(torch.stack(pixel_values[start::2]).split(32)) for start in (0, 1))
    return first, second


def _quantize(source: Path, path: Path, calibration: list[Tensor]) -> None:
    import onnx
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Batches(CalibrationDataReader):
        def __init__(self):
            self.left = iter(calibration)

        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(self.left, None)
            return None if batch is None else {"pixel_values": batch.numpy()}

    nodes = onnx.load(source).graph.node
    last = max((i for i, node in enumerate(nodes) if node.op_type == "Conv"), default=len(nodes))
    with _quiet():
        # from the last convolution on in float32: a small part of the time, most of the error
        quantize_static(
            source, path, Batches(), quant_format=QuantFormat.QDQ, per_channel=True, activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8, calibrate_method=CalibrationMethod.MinMax,
            nodes_to_exclude=[node.name for node in nodes[last:]],
        )  # fmt: skip
