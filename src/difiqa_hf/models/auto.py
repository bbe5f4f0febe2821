"""Registration of our networks with transformers' AutoConfig and AutoModel."""

import importlib

# modules whose import registers their classes; each does so at its end, so that using any one class suffices
_MODULES = ("modeling_mobilefacenet",)


def register() -> None:
    """Make `AutoModel.from_pretrained` know every network of the package; further calls cost nothing."""
    for module in _MODULES:
        importlib.import_module(f"difiqa_hf.models.{module}")
