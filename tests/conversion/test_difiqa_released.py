"""The released diffusion checkpoint: raw or averaged weights, schedule, pipeline folder."""

import pytest
import torch

from difiqa_hf import DifFIQAPipeline
from difiqa_hf.conversion import convert_checkpoint
from difiqa_hf.conversion.difiqa_released import UNET_KEYS, make_scheduler
from difiqa_hf.diffusion import alphas_cumprod
from difiqa_hf.models.unet_released import ReleasedUNet2DModel
from rules import made_by_rule
from toys import toy_faces, toy_recognizer

BUFFERS = ("betas", "alphas_cumprod_prev", "sqrt_alphas_cumprod", "posterior_variance", "p2_loss_weight")


def process(state: dict, prefix: str = "") -> dict:
    """A GaussianDiffusion state dict around a UNet's."""
    buffers = {name: torch.zeros(1000) for name in BUFFERS}
    buffers["alphas_cumprod"] = alphas_cumprod(make_scheduler()).float()
    return {f"{prefix}{key}": value for key, value in buffers.items()} | {
        f"{prefix}model.{key}": value for key, value in state.items()
    }


@pytest.fixture
def published():
    """A checkpoint as the authors' training writes it, two stages of width 8; raw and averaged UNet."""
    with torch.device("meta"):
        names = UNET_KEYS.backward(ReleasedUNet2DModel(dim=8, dim_mults=(1, 2)).state_dict())
    raw = made_by_rule({key: value.shape for key, value in names.items()})
    ema = {key: value * 0.5 for key, value in raw.items()}
    averaged = process(ema, "ema_model.") | {"initted": torch.tensor([True]), "step": torch.tensor([10])}
    content = {"step": 100, "model": process(raw), "opt": {"state": {}, "param_groups": []}, "ema": averaged}
    return content | {"scaler": None}, raw, ema


@pytest.mark.parametrize("weights", ["raw", "ema"])
def test_pipeline_folder(published, weights, tmp_path):
    content, raw, ema = published
    torch.save(content, tmp_path / "model.pt")
    recognizer = toy_recognizer()
    result = convert_checkpoint(
        "difiqa", tmp_path / "model.pt", tmp_path / "out", weights=weights, recognizer=recognizer
    )
    state = raw if weights == "raw" else ema
    assert (result.tensors, result.tensor_difference, result.probe_difference) == (len(state), 0, 0)

    pipeline = DifFIQAPipeline.from_pretrained(tmp_path / "out")
    pipeline.set_progress_bar_config(disable=True)
    back = UNET_KEYS.backward(pipeline.unet.state_dict())
    assert back.keys() == state.keys() and all(torch.equal(back[key], state[key]) for key in state)
    assert pipeline.config.variant == "released" and pipeline.scheduler.config.prediction_type == "sample"
    by_hand = DifFIQAPipeline(pipeline.unet, make_scheduler(), recognizer, variant="released")
    by_hand.set_progress_bar_config(disable=True)
    out = pipeline(toy_faces(1), num_repeats=1)
    assert len(out.term_names) == 5
    assert torch.equal(out.quality, by_hand(toy_faces(1), num_repeats=1).quality)
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
        (lambda content: content["model"].pop("alphas_cumprod"), "its 'model' is .* tensors"),
        (lambda content: content["model"].pop("model.downs.0.0.block1.norm.bias"), "does not fit: .*Missing key"),
        (
            lambda content: content["model"].update({"model.surprise": torch.zeros(1)}),
            "1 keys do not belong to .*surprise",
        ),
        (
            lambda content: content["model"].update(alphas_cumprod=torch.linspace(1, 0, 1000)),
            r"not the cosine one .* 1000 steps, alphas_cumprod from 1\.000000",
        ),
    ],
)
def test_wrong_checkpoint_is_named(published, change, found, tmp_path):
    change(published[0])
    torch.save(published[0], tmp_path / "model.pt")
    with pytest.raises(ValueError, match=rf"(?s)model\.pt: .*{found}"):
        convert_checkpoint("difiqa", tmp_path / "model.pt", tmp_path / "out")
