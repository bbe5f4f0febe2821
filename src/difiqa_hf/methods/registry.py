"""Method name -> class; one line per method."""

import importlib
import inspect
import math
from numbers import Integral, Real
from typing import Any, get_args

from difiqa_hf.devices import pick_device
from difiqa_hf.methods.base import KINDS, QualityMethod

# name -> (module under difiqa_hf.methods, class); imported on first use
_REGISTRY = {
    "difiqa":    ("difiqa", "DifFIQA"),
    "difiqa-r":  ("difiqa_r", "DifFIQARegression"),
    "faceqan":   ("faceqan", "FaceQAN"),
    "ser-fiq":   ("ser_fiq", "SERFIQ"),
    "faceqgen":  ("faceqgen", "FaceQgen"),
    "faceqnet":  ("faceqnet", "FaceQnet"),
    "sdd-fiqa":  ("sdd_fiqa", "SDDFIQA"),
    "pcnet":     ("pcnet", "PCNet"),
    "lightqnet": ("lightqnet", "LightQNetQuality"),
    "magface":   ("magface", "MagFace"),
    "pfe":       ("pfe", "PFE"),
    "cr-fiqa":   ("cr_fiqa", "CRFIQA"),
    "grafiqs":   ("grafiqs", "GraFIQs"),
    "prefiqs":   ("prefiqs", "PreFIQs"),
    "froq":      ("froq", "FROQ"),
    "mirror":    ("baselines", "MirrorCosine"),
    "norm":      ("baselines", "EmbeddingNorm"),
    "random":    ("baselines", "RandomQuality"),
}  # fmt: skip


def method_class(name: str) -> type[QualityMethod]:
    """The class registered under `name`; "name=checkpoint" is understood.

    Raises:
        ValueError: for an unknown name; the message lists the known ones.
    """
    name = str(name).partition("=")[0]
    if name not in _REGISTRY:
        raise ValueError(f"unknown method {name!r}; known: {', '.join(sorted(_REGISTRY))}")
    module, attribute = _REGISTRY[name]
    return getattr(importlib.import_module(f"difiqa_hf.methods.{module}"), attribute)


def create_method(name: str, **options: Any) -> QualityMethod:
    """Build a quality method by its name, for example `create_method("difiqa", num_repeats=4, seed=0)`.

    Args:
        name: one of `list_methods()`, or "name=checkpoint", for example "lightqnet=lightqnet-dm100.pb"; a checkpoint
            may be an ONNX file of `difiqa export`.
        **options: those of the method's class; common: `recognizer` (model, callable or folder), `seed`, `device`, and
            `checkpoint` (folder, Hub repository) where the method has weights.

    Raises:
        ValueError: for a name, an option or a device that does not exist, an option of another type than its default
            (a seed that is no whole number), or two checkpoints.
    """
    method, (_, named, checkpoint) = method_class(name), str(name).partition("=")
    if named and not checkpoint:
        raise ValueError(f"{name!r} names no checkpoint; write {method.name}=FOLDER, or {method.name} alone")
    if checkpoint and not method.has_weights:
        raise ValueError(f"{method.name} has no weights of its own, found {name!r}; pass recognizer=…")
    if checkpoint and options.get("checkpoint") is not None:
        raise ValueError(f"{name!r} and checkpoint={options['checkpoint']!r} name two checkpoints; leave one out")
    if options.get("checkpoint") == "":
        raise ValueError(f"checkpoint is empty; name a folder or a repository with the weights of {method.name}")
    if checkpoint:
        options["checkpoint"] = checkpoint
    if str(options.get("checkpoint", "")).endswith(".onnx"):
        from difiqa_hf.methods.onnx import OnnxMethod

        _check_options(OnnxMethod, {"method": method} | options)
        return OnnxMethod(method, **options)
    _check_options(method, options)
    if "device" in options:
        options["device"] = pick_device(str(options["device"]))
    return method(**options)


COMMON = ("checkpoint", "recognizer", "seed", "device")  # options of many methods
_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


def _check_options(method: type[QualityMethod], options: dict[str, Any]) -> None:
    """Refuse what a constructor would take in silence, or answer with an error of its own some images later."""
    parameters = inspect.signature(method).parameters.values()
    known = [parameter.name for parameter in parameters if parameter.kind is not parameter.VAR_KEYWORD]
    if "num_repeats" in options and "num_repeats" not in known:
        raise ValueError(f"{method.name} has no repeats; leave out --num-repeats (in Python: num_repeats)")
    if unknown := sorted(options.keys() - set(known)):
        raise ValueError(f"{method.name} has no option {', '.join(unknown)}; it has {', '.join(known)}")
    for parameter in parameters:
        name, kind = parameter.name, _kind(parameter)
        checked = name in options and kind in _KINDS and name != "device"
        if checked and not _is_a(options[name], kind, parameter.default):
            raise ValueError(f"{method.name} takes {_KINDS[kind]} as {name}, found {options[name]!r}")
    if isinstance(options.get("checkpoint"), Real):
        raise ValueError(f"{method.name} takes a folder, a repository or a model, found {options['checkpoint']!r}")


def _kind(parameter: inspect.Parameter) -> type:
    """Of a constructor's option: the type of its default; where that is None, the one beside it in the annotation."""
    if parameter.default is not None:
        return type(parameter.default)
    kinds = [kind for kind in get_args(parameter.annotation) if kind is not type(None)]
    return kinds[0] if len(kinds) == 1 else type(None)


def _is_a(value: Any, kind: type, default: Any) -> bool:
    """Whether an option is of its kind: a whole number is a number, True is none, and neither is infinity."""
    if value is None:
        return default is None
    abstract = {int: Integral, float: Real}.get(kind, kind)
    finite = isinstance(value, Integral) or not isinstance(value, Real) or math.isfinite(value)
    return isinstance(value, abstract) and isinstance(value, bool) == (kind is bool) and finite


def list_methods(kind: str | None = None) -> list[str]:
    """The registered names, of one `kind` ("analytical", "regression", "model", "baseline") or of all.

    Raises:
        ValueError: for an unknown kind.
    """
    if kind is not None and kind not in KINDS:
        raise ValueError(f"unknown kind {kind!r}; known: {', '.join(KINDS)}")
    return [name for name in _REGISTRY if kind is None or method_class(name).kind == kind]


def describe_methods(kind: str | None = None) -> list[dict[str, Any]]:
    """What every method declares, as data: the attributes of its class, its own options and their defaults, a line."""
    fields = [name for name in QualityMethod.__annotations__ if not name.startswith("_")]
    fields = [name for name in fields if name not in ("revision", "fingerprint")]  # of an instance
    rows = []
    for name in list_methods(kind):
        method = method_class(name)
        summary, parameters = (method.__doc__ or "").split("\n")[0], inspect.signature(method).parameters
        own = [p for p in parameters.values() if p.name not in COMMON and p.kind is not p.VAR_KEYWORD]
        options = {parameter.name: parameter.default for parameter in own}
        rows.append({field: getattr(method, field) for field in fields} | {"options": options, "summary": summary})
    return rows
