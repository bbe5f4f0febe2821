"""What users with the package do; every function is a row of the scenario table. Run by test_scenarios.py."""

import json
import sys
from pathlib import Path


def load(**kwargs):
    from difiqa_hf import DifFIQAPipeline

    pipeline = DifFIQAPipeline.from_pretrained(**kwargs)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def score(pipeline, a):
    return pipeline(a["faces"]).quality.tolist()


def pipeline(a):
    return score(load(pretrained_model_name_or_path=a["pipeline"]), a)


def pipeline_local_files_only(a):
    return score(load(pretrained_model_name_or_path=a["pipeline"], local_files_only=True), a)


def pipeline_revision(a):
    return score(load(pretrained_model_name_or_path=a["pipeline"], revision=a["revision"]), a)


def pipeline_fp16(a):
    pipe = load(pretrained_model_name_or_path=a["pipeline"], variant="fp16")
    return [score(pipe, a), str(pipe.recognizer.dtype)]


def pipeline_bf16(a):
    import torch

    pipe = load(pretrained_model_name_or_path=a["pipeline"], variant="bf16", dtype={"unet": torch.bfloat16})
    return [score(pipe, a), str(pipe.unet.dtype), str(pipe.recognizer.dtype)]


def pipeline_sharded(a):
    return score(load(pretrained_model_name_or_path=a["sharded"]), a)


def plain_ddpm(a):
    return score(load(pretrained_model_name_or_path=a["ddpm"], recognizer=a["recognizer"]), a)


def save_after_load(a):
    load(pretrained_model_name_or_path=a["pipeline"]).save_pretrained(a["saved"])
    return sorted(path.relative_to(a["saved"]).as_posix() for path in Path(a["saved"]).rglob("*.*"))


def load_saved(a):
    return score(load(pretrained_model_name_or_path=a["saved_without"]), a)


def pixel_values(repo, a, **kwargs):
    from transformers import AutoImageProcessor

    import difiqa_hf.image_processing  # noqa: F401

    return AutoImageProcessor.from_pretrained(repo, **kwargs)(a["faces"], return_tensors="pt")["pixel_values"]


def network(repo, a, **kwargs):
    import torch
    from transformers import AutoModel

    import difiqa_hf.models  # noqa: F401

    x = pixel_values(a["pipeline"], a, subfolder="image_processor")
    with torch.no_grad():
        return AutoModel.from_pretrained(repo, **kwargs)(x)


def recognizer(a):
    return network(a["recognizer"], a).embeddings.tolist()


def recognizer_subfolder(a):
    return network(a["pipeline"], a, subfolder="recognizer").embeddings.tolist()


def regressor(a):
    return network(a["regressor"], a).quality.tolist()


def regressor_subfolder(a):
    return network(a["family"], a, subfolder="regressor").quality.tolist()


def method(a):
    from difiqa_hf import create_method

    return create_method("difiqa-r", checkpoint=a["regressor"])(pixel_values(a["regressor"], a)).tolist()


def task(a):
    import transformers

    from difiqa_hf import FaceImageQualityPipeline  # noqa: F401  registers the task

    return [row["score"] for row in transformers.pipeline("face-image-quality", model=a["regressor"])(a["faces"])]


if __name__ == "__main__":
    arguments = json.load(sys.stdin)
    print(json.dumps({name: globals()[name](arguments) for name in arguments["do"]}))
