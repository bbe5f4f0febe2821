"""`transformers.pipeline("face-image-quality", model=…)`, known once this module is imported."""

import numpy as np
from transformers import AutoModel, Pipeline
from transformers.pipelines import PIPELINE_REGISTRY

from difiqa_hf import models  # noqa: F401  the Auto classes must know our networks
from difiqa_hf.image_processing import FaceImageProcessor

TASK = "face-image-quality"


class FaceImageQualityPipeline(Pipeline):
    """Aligned faces (paths, PIL images, arrays; one or a list) to {"score", "percentile"} each.

    `score` is the `quality` of the network, higher is better; `percentile` its place among the checkpoint's reference
    images, None if it has none.

    Example:
        >>> from transformers import pipeline
        >>> pipeline("face-image-quality", model="user/difiqa_r")("face.png")  # doctest: +SKIP
    """

    # transformers would ask on the terminal whether to run the repository's code, in search of these
    _load_tokenizer = _load_feature_extractor = _load_processor = _load_video_processor = False
    _load_image_processor = True

    def _sanitize_parameters(self, **kwargs):
        if kwargs:
            raise ValueError(f"{TASK} has no option {', '.join(kwargs)}")
        return {}, {}, {}

    def preprocess(self, image):
        processor = self.image_processor or FaceImageProcessor()
        return processor(image, return_tensors="pt")

    def _forward(self, inputs):
        quality = getattr(self.model(**inputs), "quality", None)
        if quality is None:
            raise ValueError(f"{TASK} needs a network with a quality output, {type(self.model).__name__} has none")
        return {"quality": quality}

    def postprocess(self, outputs):
        score, quantiles = float(outputs["quality"][0]), getattr(self.model.config, "reference_quantiles", None)
        percentile = quantiles and float(np.interp(score, quantiles, np.linspace(0, 100, len(quantiles))))
        return {"score": score, "percentile": percentile}


PIPELINE_REGISTRY.register_pipeline(TASK, pipeline_class=FaceImageQualityPipeline, pt_model=AutoModel, type="image")
