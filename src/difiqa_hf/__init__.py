"""Face image quality for the Hugging Face ecosystem: how well can a recogniser use this image?"""

import importlib

__version__ = "0.1.0"

# public name -> module that defines it; imported on first use, so that `import difiqa_hf` costs milliseconds
_PUBLIC = {
    "BatchScorer": "scoring.batches",
    "DifFIQAPipeline": "pipeline_difiqa",
    "DifFIQAPipelineOutput": "pipeline_difiqa",
    "DifFIQARegressor": "models.modeling_difiqa_regressor",
    "DifFIQARegressorConfig": "models.modeling_difiqa_regressor",
    "EdgeNeXtConfig": "models.modeling_edgenext",
    "EdgeNeXtRecognizer": "models.modeling_edgenext",
    "FaceImageProcessor": "image_processing",
    "FaceImageQualityPipeline": "pipeline_quality",
    "FaceScorer": "scoring.scorer",
    "FaceQgenConfig": "models.modeling_faceqgen",
    "FaceQgenModel": "models.modeling_faceqgen",
    "IRConfig": "models.modeling_ir",
    "IRQualityConfig": "models.modeling_ir",
    "IRQualityModel": "models.modeling_ir",
    "IRRecognizer": "models.modeling_ir",
    "IResNetConfig": "models.modeling_iresnet",
    "IResNetRecognizer": "models.modeling_iresnet",
    "LightQNet": "models.modeling_lightqnet",
    "LightQNetConfig": "models.modeling_lightqnet",
    "MobileFaceNetConfig": "models.modeling_mobilefacenet",
    "MobileFaceNetRecognizer": "models.modeling_mobilefacenet",
    "PFEConfig": "models.modeling_pfe",
    "PFEModel": "models.modeling_pfe",
    "PatchUNet2DModel": "models.unet_patch",
    "QualityResNet": "models.modeling_quality_resnet",
    "QualityResNetConfig": "models.modeling_quality_resnet",
    "ReleasedUNet2DModel": "models.unet_released",
    "create_method": "methods",
    "list_methods": "methods",
}

__all__ = ["__version__", *sorted(_PUBLIC)]


def __getattr__(name: str):
    if name not in _PUBLIC:
        raise AttributeError(
            f"module 'difiqa_hf' has no attribute {name!r}; public names: {', '.join(sorted(_PUBLIC))}"
        )
    return getattr(importlib.import_module(f"difiqa_hf.{_PUBLIC[name]}"), name)


def __dir__():
    return __all__
