"""Method name -> class; one line per method."""

import importlib

from difiqa_hf.methods.base import QualityMethod

# name -> (module under difiqa_hf.methods, class); imported on first use
_REGISTRY = {
    "difiqa":    ("difiqa", "DifFIQA"),
    "difiqa-r":  ("difiqa_r", "DifFIQARegression"),
    "mirror":    ("baselines", "MirrorCosine"),
    "norm":      ("baselines", "EmbeddingNorm"),
    "random":    ("baselines", "RandomQuality"),
}  # fmt: skip


def method_class(name: str) -> type[QualityMethod]:
    """The class registered under `name`.

    Raises:
        ValueError: for an unknown name; the message lists the known ones.
    """
    if name not in _REGISTRY:
        raise ValueError(f"unknown method {name!r}; known: {', '.join(sorted(_REGISTRY))}")
    module, attribute = _REGISTRY[name]
    return getattr(importlib.import_module(f"difiqa_hf.methods.{module}"), attribute)


def create_method(name: str, **options) -> QualityMethod:
    """Build a quality method by its name, for example `create_method("difiqa", num_repeats=4, seed=0)`.

    Args:
        name: one of `list_methods()`.
        **options: those of the method's class; common: `recognizer` (model, callable or folder), `seed`, `device`.
    """
    return method_class(name)(**options)


def list_methods(kind: str | None = None) -> list[str]:
    """The registered names, of one `kind` ("analytical", "regression", "model", "baseline") or of all."""
    return [name for name in _REGISTRY if kind is None or method_class(name).kind == kind]
