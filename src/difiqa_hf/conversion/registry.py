"""The kinds of checkpoints that can be converted; a converter is imported when it is asked for."""

import importlib
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from difiqa_hf.conversion.checkpoint import first
from difiqa_hf.conversion.result import Conversion, Converter

# kind -> (module of this package that defines CONVERTERS[kind], what the file is)
KINDS = {
    "difiqa":           ("difiqa_released", "DifFIQA's diffusion model: model.pt, diff_pretrain.pt"),
    "difiqa-r":         ("difiqa_regressor", "DifFIQA(R): diffiqa(r).pth"),
    "quality-labels":   ("quality_labels", "pickled quality scores: vggface2-qs.pkl, quality_scores.pkl"),
    "arcface":          ("arcface", "ArcFace of insightface's arcface_torch, iResNet: backbone.pth"),
    "cosface":          ("arcface", "CosFace of insightface's arcface_torch, iResNet: backbone.pth"),
    "adaface":          ("adaface", "AdaFace, IR-50 or IR-101: adaface_ir101_webface12m.ckpt"),
    "curricularface":   ("curricularface", "CurricularFace, IR-101: CurricularFace_Backbone.pth"),
    "magface":          ("magface", "MagFace, iResNet: magface_epoch_00025.pth"),
    "cr-fiqa":          ("cr_fiqa", "CR-FIQA, iResNet with a quality head: 181952backbone.pth"),
    "sdd-fiqa":         ("sdd_fiqa", "SDD-FIQA, IR-50 with a quality head: SDD_FIQA_checkpoints_r50.pth"),
    "faceqnet":         ("faceqnet", "FaceQnet v0 or v1, Keras: FaceQnet.h5, FaceQnet_v1.h5 (extra `keras`)"),
    "ediffiqa":         ("ediffiqa", "eDifFIQA in its sizes T, S, M, L: ediffiqaL.pth"),
    "insightface-onnx": ("insightface_onnx", "insightface's w600k_r50.onnx or w600k_mbf.onnx (extra `onnx`)"),
    "lightqnet":        ("lightqnet", "LightQNet's frozen graphs: lightqnet-dm100.pb, -dm050.pb, -dm025.pb"),
    "recognizer":       ("recognizers", "small ones: MobileFaceNet of foamliu or Xiaoccer, w600k_mbf, EdgeFace-XS"),
}  # fmt: skip


def converter(kind: str) -> Converter:
    """The `Converter`, or a `Family` or `Choice` that does the same, of one of `KINDS`."""
    if kind not in KINDS:
        raise ValueError(f"unknown kind {kind!r}; kinds: {', '.join(KINDS)}")
    return importlib.import_module(f"difiqa_hf.conversion.{KINDS[kind][0]}").CONVERTERS[kind]


def suggestion(content: Any, kind: str) -> str:
    """ "; this looks like …", if kinds other than `kind` recognise the content of a checkpoint; else where to look."""
    found = [other for other in KINDS if other != kind and converter(other).recognises(content)]
    titles = " or ".join(converter(other).title for other in found)
    if not found:
        return "; `difiqa convert --help` lists what can be converted"
    return f"; this looks like {titles}: kind {' or '.join(found)}"


LARGEST_DIFFERENCE = 1e-3  # of tensors, and of outputs of size 1: float32 in another order of arithmetic explains it


def convert_checkpoint(kind: str, path: str | Path, output: str | Path, **options) -> Conversion:
    """Turn a foreign checkpoint into a folder for the Hub: configuration, safetensors, processor and card.

    Nothing that the file might contain besides plain data is run.

    Args:
        kind: one of `KINDS`.
        path: the file.
        output: folder to write; must not exist, or be empty.
        **options: of the converter; only "difiqa" has any (`difiqa_released.convert`).

    Returns:
        `Conversion` with the largest differences between source and result.

    Raises:
        FileNotFoundError: without such a file.
        IsADirectoryError: if it is a folder.
        FileExistsError: if the folder holds something.
        ValueError: if the file is something else, with what was found, or the result does not agree with it; then no
            folder is written.
    """
    path, output = Path(path), Path(output)
    convert = converter(kind)
    check_is_file(path)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise FileExistsError(f"{output} exists and is not an empty folder; name another one")
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".converting-", dir=output.parent) as aside:
        try:
            result = convert(path, Path(aside) / output.name, **options)
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError) as error:
            # a foreign file can be wrong in more ways than converters can foresee
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise ValueError(
                f"{path} is not what {kind!r} stands for ({KINDS[kind][1]}), or damaged; fetch it again: {reason}"
            ) from error
        check_agreement(result, path)
        if output.is_dir():
            output.rmdir()
        shutil.move(result.folder, output)
    return replace(result, folder=output)


def check_is_file(path: Path) -> None:
    """Refuse a folder, and what does not exist."""
    if path.is_dir():
        inside = first(sorted(item.name for item in path.iterdir()))
        raise IsADirectoryError(f"{path} is a folder; name the authors' file (inside: {inside or 'nothing'})")
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}; check its name")


def check_agreement(result: Conversion, path: Path) -> None:
    """Refuse a result that differs from its source, or in which nothing can be compared (NaN)."""
    differences = (("tensors", result.tensor_difference, 1.0), ("probe", result.probe_difference, result.probe_scale))
    for name, difference, scale in differences:
        if difference is not None and not difference <= LARGEST_DIFFERENCE * scale:
            raise ValueError(
                f"{path}: the result does not agree with the file: largest difference of the {name} {difference:g}, "
                f"at most {LARGEST_DIFFERENCE * scale:g} is allowed; the file is damaged or its network another one"
            )
