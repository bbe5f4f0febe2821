"""What users without the package do; every function is a row of the scenario table. Run by test_scenarios.py."""

import json
import sys


def trusted(repo, a, **kwargs):
    from diffusers import DiffusionPipeline

    pipe = DiffusionPipeline.from_pretrained(repo, trust_remote_code=True, **kwargs)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def pipeline_untrusted(a):
    from diffusers import DiffusionPipeline

    try:
        DiffusionPipeline.from_pretrained(a["pipeline"])
    except ValueError as error:
        return str(error)


def pipeline(a):
    return trusted(a["pipeline"], a)(a["faces"]).quality.tolist()


def pipeline_local_files_only(a):
    return trusted(a["pipeline"], a, local_files_only=True)(a["faces"]).quality.tolist()


def pipeline_downloaded(a):
    """Offline too: by the name of a repository diffusers asks the Hub for its commit before it runs cached code."""
    from huggingface_hub import snapshot_download

    return trusted(snapshot_download(a["pipeline"]), a)(a["faces"]).quality.tolist()


def pipeline_revision(a):
    return trusted(a["pipeline"], a, revision=a["revision"])(a["faces"]).quality.tolist()


def pipeline_fp16(a):
    return trusted(a["pipeline"], a, variant="fp16")(a["faces"]).quality.tolist()


def pipeline_sharded(a):
    return trusted(a["sharded"], a)(a["faces"]).quality.tolist()


def save_after_load(a):
    trusted(a["pipeline"], a).save_pretrained(a["saved_without"])
    return trusted(a["saved_without"], a)(a["faces"]).quality.tolist()


def network(repo, a, **kwargs):
    import torch
    from transformers import AutoImageProcessor, AutoModel

    processor = AutoImageProcessor.from_pretrained(a["pipeline"], subfolder="image_processor", trust_remote_code=True)
    x = processor(a["faces"], return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        return AutoModel.from_pretrained(repo, trust_remote_code=True, **kwargs)(x)


def recognizer(a):
    return network(a["recognizer"], a).embeddings.tolist()


def recognizer_subfolder(a):
    return network(a["pipeline"], a, subfolder="recognizer").embeddings.tolist()


def regressor(a):
    return network(a["regressor"], a).quality.tolist()


def regressor_subfolder(a):
    return network(a["family"], a, subfolder="regressor").quality.tolist()


def regressor_saved_again(a):
    from transformers import AutoModel

    AutoModel.from_pretrained(a["regressor"], trust_remote_code=True).save_pretrained(a["saved_regressor"])
    return network(a["saved_regressor"], a).quality.tolist()


def network_untrusted(a):
    from transformers import AutoModel

    try:
        AutoModel.from_pretrained(a["regressor"], trust_remote_code=False)
    except ValueError as error:
        return str(error)


if __name__ == "__main__":
    arguments = json.load(sys.stdin)
    print(json.dumps({name: globals()[name](arguments) for name in arguments["do"]}))
