"""Who loads what, how, with and without the package, online and offline: the scores from before the push.

Every scenario runs in a fresh process; those of one kind of user share it and its empty HF_HOME.
"""

import pytest
import torch
from diffusers import DDPMPipeline, UNet2DModel
from diffusers.schedulers import DDPMScheduler
from PIL import Image

from alike import assert_alike
from difiqa_hf import DifFIQAPipeline, DifFIQARegressor, FaceImageProcessor
from loopback_hub import PREFIX
from toys import toy_faces, toy_pipeline, toy_recognizer, toy_unet

BOTH = [
    "pipeline", "pipeline_local_files_only", "pipeline_revision", "pipeline_fp16", "pipeline_sharded",
    "save_after_load", "recognizer", "recognizer_subfolder", "regressor", "regressor_subfolder",
]  # fmt: skip
WITH = [*BOTH, "pipeline_bf16", "plain_ddpm", "method", "task"]
WITHOUT = ["pipeline_untrusted", "network_untrusted", *BOTH, "pipeline_downloaded", "regressor_saved_again"]
OFFLINE = ["recognizer", "recognizer_subfolder", "regressor", "regressor_subfolder"]


@pytest.fixture(scope="module")
def arguments(tmp_path_factory, hub):
    folder, prefix = tmp_path_factory.mktemp("files"), f"{hub.namespace}/{PREFIX}"
    faces = [folder / f"{i}.png" for i in range(2)]
    for face, values in zip(faces, toy_faces(2), strict=True):
        Image.fromarray(((values + 1) * 127.5).byte().permute(1, 2, 0).numpy()).save(face)
    names = ("pipeline", "sharded", "ddpm", "recognizer", "regressor", "family")
    paths = {name: str(folder / name) for name in ("saved", "saved_without", "saved_regressor")}
    return {"faces": list(map(str, faces)), "revision": "second"} | paths | {name: prefix + name for name in names}


@pytest.fixture(scope="module")
def before(arguments):
    """Every object that is pushed, and what it gives before that."""
    made = {"pipeline": toy_pipeline(num_repeats=2), "second": toy_pipeline(num_repeats=2)}
    made["second"].use_recognizer(toy_recognizer(seed=3))
    torch.manual_seed(0)
    unet = UNet2DModel(
        sample_size=112, block_out_channels=(8, 8), norm_num_groups=4, layers_per_block=1, add_attention=False,
        down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2,
    ).eval()  # fmt: skip
    made["ddpm"] = DDPMPipeline(unet, DDPMScheduler(prediction_type="sample"))
    made["recognizer"] = toy_recognizer()
    made["regressor"] = DifFIQARegressor.from_embedder(toy_recognizer(), head_width=4).eval()
    torch.nn.init.normal_(made["regressor"].head[0].weight)
    torch.nn.init.normal_(made["regressor"].head[2].weight)
    x = FaceImageProcessor()(arguments["faces"], return_tensors="pt")["pixel_values"]
    whole = DifFIQAPipeline(unet, made["ddpm"].scheduler, toy_recognizer())
    whole.set_progress_bar_config(disable=True)
    with torch.no_grad():
        expected = {
            "pipeline": made["pipeline"](x).quality.tolist(),
            "pipeline_revision": made["second"](x).quality.tolist(),
            "plain_ddpm": whole(x).quality.tolist(),
            "recognizer": made["recognizer"](x).embeddings.tolist(),
            "regressor": made["regressor"](x).quality.tolist(),
            "task": [made["regressor"](image[None]).quality.item() for image in x],  # one by one, as transformers does
        }
    for name, dtype in (("fp16", torch.float16), ("bf16", torch.bfloat16)):
        rounded = toy_pipeline(num_repeats=2)
        torch.nn.Module.to(rounded.unet, dtype)
        made[name] = rounded
        computing = toy_pipeline(num_repeats=2)
        computing.unet = torch.nn.Module.to(toy_unet(), dtype).to(torch.bfloat16 if name == "bf16" else torch.float32)
        expected[f"pipeline_{name}"] = computing(x).quality.tolist()
    return made, expected


@pytest.fixture(scope="module")
def pushed(before, arguments, difiqa, tmp_path_factory):
    """The repositories of the table, all of them pushed by the command line."""
    made, folder, home = before[0], tmp_path_factory.mktemp("pushed"), tmp_path_factory.mktemp("pusher")
    made["pipeline"].save_pretrained(folder / "pipeline")
    for variant in ("fp16", "bf16"):
        made[variant].save_pretrained(folder / "pipeline", variant=variant)
    made["second"].save_pretrained(folder / "second")
    made["pipeline"].save_pretrained(folder / "sharded", max_shard_size="30KB")
    made["ddpm"].save_pretrained(folder / "ddpm")
    made["recognizer"].save_pretrained(folder / "recognizer")
    made["regressor"].save_pretrained(folder / "regressor")
    FaceImageProcessor().save_pretrained(folder / "regressor")
    made["regressor"].save_pretrained(folder / "family" / "regressor")
    assert len(list((folder / "sharded" / "unet").glob("*.safetensors"))) > 1
    for name in ("pipeline", "sharded", "ddpm", "recognizer", "regressor", "family"):
        difiqa(home, "push", str(folder / name), arguments[name], "--private")
    difiqa(home, "push", str(folder / "second"), arguments["pipeline"], "--revision", "second")
    return folder


def same(name):
    """The row of `expected` that a scenario must reproduce."""
    return (
        name.removesuffix("_local_files_only")
        .removesuffix("_downloaded")
        .removesuffix("_subfolder")
        .removesuffix("_sharded")
    )


@pytest.fixture(scope="module")
def home_with(tmp_path_factory):
    return tmp_path_factory.mktemp("with")


@pytest.fixture(scope="module")
def home_without(tmp_path_factory):
    return tmp_path_factory.mktemp("without")


def test_with_the_package(run, arguments, pushed, before, home_with, difiqa):
    found = run("with_package.py", arguments | {"do": WITH}, home_with)
    expected = before[1]
    for name in set(WITH) - {"save_after_load", "pipeline_fp16", "pipeline_bf16", "method", "task"}:
        assert_alike(found[name], expected[same(name)])
    assert_alike(found["task"], expected["task"])
    assert found["method"] == pytest.approx(expected["regressor"], abs=1e-5)  # its copy has no BatchNorms
    assert_alike(found["pipeline_fp16"], [expected["pipeline_fp16"], "torch.float32"])
    assert_alike(found["pipeline_bf16"], [expected["pipeline_bf16"], "torch.bfloat16", "torch.float32"])
    for variant in ("pipeline_fp16", "pipeline_bf16"):
        assert expected[variant] != pytest.approx(expected["pipeline"], abs=1e-6), "the variants are others"
    # What was loaded and saved again is what was pushed: to push it changes nothing.
    output = difiqa(home_with, "push", arguments["saved"], arguments["pipeline"])
    assert "uploaded" not in output and "unchanged:" in output, output


def test_without_the_package(run, arguments, pushed, before, home_without):
    found = run("without_package.py", arguments | {"do": WITHOUT}, home_without, installed=False)
    expected = before[1]
    for refused in ("pipeline_untrusted", "network_untrusted"):
        assert "trust_remote_code=True" in found.pop(refused)
    assert_alike(found.pop("save_after_load"), expected["pipeline"])
    assert_alike(found.pop("regressor_saved_again"), expected["regressor"])
    for name, values in found.items():
        assert_alike(values, expected[same(name)])


def test_offline_with_the_package(run, arguments, pushed, before, home_with):
    do = [*OFFLINE, "pipeline", "task", "load_saved"]  # what was saved without the package, too
    found = run("with_package.py", arguments | {"do": do}, home_with, HF_HUB_OFFLINE="1")
    assert_alike(found.pop("task"), before[1]["task"])
    assert_alike(found.pop("load_saved"), before[1]["pipeline"])
    assert_alike(found, {name: before[1][same(name)] for name in [*OFFLINE, "pipeline"]})


def test_offline_without_the_package(run, arguments, pushed, before, home_without):
    found = run(
        "without_package.py",
        arguments | {"do": [*OFFLINE, "pipeline_downloaded"]},
        home_without,
        installed=False,
        HF_HUB_OFFLINE="1",
    )
    assert_alike(found, {name: before[1][same(name)] for name in [*OFFLINE, "pipeline_downloaded"]})
