"""The released diffusion checkpoint: raw or averaged weights, schedule, pipeline folder."""

import json
import re

import pytest
import torch
from official_files import difiqa, difiqa_unet, process

from difiqa_hf import DifFIQAPipeline
from difiqa_hf.conversion import convert_checkpoint
from difiqa_hf.conversion.difiqa_released import UNET_KEYS, make_scheduler, network
from rules import made_by_rule
from toys import toy_faces, toy_recognizer


@pytest.fixture
def published():
    """A checkpoint, its raw and its averaged UNet."""
    raw = difiqa_unet()
    return difiqa(), raw, {key: value * 0.5 for key, value in raw.items()}


@pytest.mark.parametrize("weights", ["raw", "ema"])
def test_pipeline_folder(published, weights, tmp_path):
    content, raw, ema = published
    torch.save(content, tmp_path / "model.pt")
    recognizer = toy_recognizer()
    result = convert_checkpoint(
        "difiqa", tmp_path / "model.pt", tmp_path / "out", weights=weights, recognizer=recognizer
    )
    state = raw if weights == "raw" else ema
    assert (result.tensors, result.tensor_difference) == (len(state), 0) and result.probe_difference < 1e-5

    pipeline = DifFIQAPipeline.from_pretrained(tmp_path / "out")
    pipeline.set_progress_bar_config(disable=True)
    back = UNET_KEYS.backward(pipeline.unet.state_dict())
    assert back.keys() == state.keys() and all(torch.equal(back[key], state[key]) for key in state)
    assert pipeline.config.variant == "released" and pipeline.scheduler.config.prediction_type == "sample"
    by_hand = DifFIQAPipeline(pipeline.unet, make_scheduler(), recognizer, variant="released")
    by_hand.set_progress_bar_config(disable=True)
    out = pipeline(toy_faces(1), num_repeats=1)
    assert len(out.term_names) == 5
    torch.testing.assert_close(out.quality, by_hand(toy_faces(1), num_repeats=1).quality, atol=1e-5, rtol=0)
    card = (tmp_path / "out" / "README.md").read_text()
    assert f"Weights: {weights}. Recogniser inside: MobileFaceNetRecognizer, under its own licence" in card
    assert result.source_sha256 in card


def test_without_recogniser_the_user_names_one(published, tmp_path):
    torch.save(published[0], tmp_path / "model.pt")
    convert_checkpoint("difiqa", tmp_path / "model.pt", tmp_path / "out")
    pipeline = DifFIQAPipeline.from_pretrained(tmp_path / "out")
    with pytest.raises(ValueError, match="needs a recogniser"):
        pipeline(toy_faces(1))
    assert DifFIQAPipeline.from_pretrained(tmp_path / "out", recognizer=toy_recognizer()).recognizer is not None
    saved_again = tmp_path / "again"
    pipeline.save_pretrained(saved_again)
    assert DifFIQAPipeline.from_pretrained(saved_again).config.variant == "released"


@pytest.mark.parametrize(
    "change, found",
    [
        (lambda content: content.pop("model"), "'model' with alphas_cumprod .* found a dictionary with 4 entries"),
        (
            lambda content: content["model"].pop("alphas_cumprod"),
            "'model' with alphas_cumprod;.* its 'model' .* tensors",
        ),
        (lambda content: content.update(model=[1]), "'model' with alphas_cumprod .* its 'model' a single list"),
        (
            lambda content: content["model"].pop("model.downs.0.0.block1.norm.bias"),
            r"does not fit, .*: missing \(1\): downs.0.0.block1.norm.bias$",
        ),
        (
            lambda content: content["model"].update({"model.surprise": torch.zeros(1)}),
            r"does not fit, .*: not of this network \(1\): surprise$",
        ),
        (
            lambda content: content.update(model={k: v for k, v in content["model"].items() if ".downs." not in k}),
            r"does not fit, .*: no tensor begins with downs\.$",
        ),
        (
            lambda content: content["model"].update({"model.downs.x.0.mlp.1.bias": torch.zeros(1)}),
            r"not of this network \(1\): downs.x.0.mlp.1.bias$",
        ),
        (
            lambda content: content["model"].update({"model.final_conv.bias": torch.zeros(3, dtype=torch.complex64)}),
            r"wrong \(1\): final_conv.bias holds complex64, not floating point$",
        ),
        (
            lambda content: content["model"].update(alphas_cumprod=torch.linspace(1, 0, 1000)),
            r"not the cosine one .* 1000 steps: alphas_cumprod runs from 1\.000000 to 0 and differs by up to 0\.",
        ),
        (
            lambda content: content["model"].update(alphas_cumprod=torch.linspace(1, 0, 100)),
            r"alphas_cumprod has shape \(100,\), not \(1000,\)$",
        ),
    ],
)
def test_wrong_checkpoint_is_named(published, change, found, tmp_path):
    change(published[0])
    torch.save(published[0], tmp_path / "model.pt")
    with pytest.raises(ValueError, match=rf"(?s)model\.pt: .*{found}"):
        convert_checkpoint("difiqa", tmp_path / "model.pt", tmp_path / "out")


def test_every_missing_tensor_is_named(published):
    content, raw, _ = published
    for key in raw:
        process = {name: value for name, value in content["model"].items() if name != f"model.{key}"}
        with pytest.raises(ValueError, match=rf"[ .]{re.escape(key)}(;|$| is missing$)"):
            network({"model": process}, "raw")


def test_the_average_of_a_checkpoint_without_one(published, tmp_path):
    del published[0]["ema"]
    torch.save(published[0], tmp_path / "model.pt")
    with pytest.raises(ValueError, match=r"that has 'ema' with ema_model.alphas_cumprod and ema_model.model.init_conv"):
        convert_checkpoint("difiqa", tmp_path / "model.pt", tmp_path / "out", weights="ema")


def test_other_kinds_name_the_checkpoint(published, tmp_path):
    torch.save(published[0], tmp_path / "model.pt")
    with pytest.raises(ValueError, match=r"this looks like DifFIQA as released \(diffusion model\): kind difiqa$"):
        convert_checkpoint("cosface", tmp_path / "model.pt", tmp_path / "out")


@pytest.mark.slow  # 143 million parameters
def test_the_published_size(shared, tmp_path):
    """Names and shapes of the released network at width 128, values by rule, through a file and back."""
    shapes = json.loads((shared / "golden" / "released" / "keys_dim128.json").read_text())
    torch.save({"step": 1, "model": process(made_by_rule(shapes))}, tmp_path / "model.pt")
    result = convert_checkpoint("difiqa", tmp_path / "model.pt", tmp_path / "out")
    assert (result.tensors, result.tensor_difference) == (len(shapes), 0) and result.probe_difference < 1e-5
