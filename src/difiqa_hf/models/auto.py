"""Registration of our networks with transformers' AutoConfig and AutoModel."""

import importlib

# Each registers its classes at its end, so that touching one class is enough for that class. The lines stand there, not
# here, because a network may be used without this module; they are guarded: a remote-code copy registers nothing.
MODULES = ("modeling_difiqa_regressor", "modeling_edgenext", "modeling_iresnet", "modeling_mobilefacenet")


def register() -> None:
    """Make the Auto classes know every network of the package; further calls cost nothing."""
    for module in MODULES:
        importlib.import_module(f"difiqa_hf.models.{module}")
