"""Registration of our networks with transformers' AutoConfig and AutoModel."""

import importlib

# Each registers its classes at its end, so that touching one class is enough for that class. The lines stand there and
# not here because a network may be used without this module, and guarded, so that they do nothing in a remote-code copy.
MODULES = ("modeling_difiqa_regressor", "modeling_edgenext", "modeling_iresnet", "modeling_mobilefacenet")


def register() -> None:
    """Make the Auto classes know every network of the package; further calls cost nothing."""
    for module in MODULES:
        importlib.import_module(f"difiqa_hf.models.{module}")
