"""Registration of our networks with transformers' AutoConfig and AutoModel."""

import importlib

# Each registers its own classes in its last lines, guarded so that a copy of the file that came from the Hub does not.
MODULES = (
    "modeling_difiqa_regressor",
    "modeling_edgenext",
    "modeling_faceqgen",
    "modeling_ir",
    "modeling_iresnet",
    "modeling_lightqnet",
    "modeling_mobilefacenet",
    "modeling_pfe",
    "modeling_quality_resnet",
)


def register() -> None:
    """Make the Auto classes know every network of the package; further calls cost nothing."""
    for module in MODULES:
        importlib.import_module(f"difiqa_hf.models.{module}")
