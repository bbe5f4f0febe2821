"""DifFIQA end to end on toy networks: Eq. 7, its ablations, and a score that depends on nothing but image and seed."""

import math

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from difiqa_hf.diffusion import NoiseStream, add_noise, alphas_cumprod, image_digests, posterior, stable_seed
from difiqa_hf.methods import create_method
from difiqa_hf.pipeline_difiqa import DifFIQAPipeline
from toys import toy_faces, toy_pipeline, toy_recognizer, toy_unet


@pytest.fixture(scope="module")
def pipeline():
    return toy_pipeline(num_repeats=3)


def test_score_is_equation_7_written_out(pipeline):
    """The whole procedure once more for one image, one copy at a time, with loops instead of batches."""
    x = toy_faces(1)
    alpha_bar = alphas_cumprod(pipeline.scheduler)
    digest = image_digests(x)[0]

    def embed(image):
        with torch.no_grad():
            return pipeline.recognizer(image).embeddings

    terms = torch.zeros(3, 4)
    for repeat in range(3):
        for side in (False, True):
            image = x.flip(-1) if side else x
            draw = NoiseStream([stable_seed(0, digest, repeat, side)], x.shape[1:])
            noisy = sample = add_noise(image, draw(), torch.tensor([4]), alpha_bar)
            for t in (4, 3, 2, 1, 0):
                with torch.no_grad():
                    predicted = pipeline.unet(sample, t).sample.clamp(-1, 1)
                mean, deviation = posterior(predicted, sample, t, alpha_bar)
                sample = mean + deviation * draw() if t else mean
            terms[repeat, 2 * side] = F.cosine_similarity(embed(x), embed(noisy))
            terms[repeat, 2 * side + 1] = F.cosine_similarity(embed(x), embed(sample))
    out = pipeline(x)
    assert out.term_names == ("noisy", "restored", "noisy_flipped", "restored_flipped")
    assert torch.allclose(out.terms[0], terms.mean(0), atol=1e-5)
    assert out.quality.item() == pytest.approx(terms.mean().item(), abs=1e-5)
    expected = terms.mean(1).std().item() / math.sqrt(3)
    assert out.standard_error.item() == pytest.approx(expected, abs=1e-5)


def test_score_does_not_depend_on_neighbours_order_or_batch_size(pipeline):
    x = toy_faces(5)
    reference = pipeline(x, batch_size=30)
    assert torch.equal(reference.quality, pipeline(x, batch_size=30).quality)
    for size in (1, 7, 64):
        other = pipeline(x, batch_size=size)
        assert torch.allclose(other.quality, reference.quality, atol=2e-6)
        assert other.quality.argsort().tolist() == reference.quality.argsort().tolist()
    assert torch.allclose(pipeline(x.flip(0)).quality.flip(0), reference.quality, atol=2e-6)
    assert torch.allclose(pipeline(x[2:3]).quality, reference.quality[2:3], atol=2e-6)


def test_seed_and_repeats(pipeline):
    x = toy_faces(1)
    assert not torch.equal(pipeline(x, seed=1).quality, pipeline(x, seed=0).quality)
    single = pipeline(x, num_repeats=1)
    assert math.isnan(single.standard_error.item())
    assert single.quality.item() != pipeline(x).quality.item()


def test_ablations_drop_their_terms(pipeline):
    x = toy_faces(2)
    full = pipeline(x)
    no_flip, no_forward = pipeline(x, flip=False), pipeline(x, forward=False)
    assert no_flip.term_names == ("noisy", "restored")
    assert no_forward.term_names == ("restored", "restored_flipped")
    assert torch.allclose(no_flip.terms, full.terms[:, :2], atol=2e-6)
    assert torch.allclose(no_forward.quality, full.terms[:, 1::2].mean(1), atol=2e-6)
    assert pipeline(x, timestep=20).quality.shape == (2,)


def mean_colours(pixel_values):
    return F.adaptive_avg_pool2d(pixel_values, 4).flatten(1)


class MeanColours(torch.nn.Module):
    def forward(self, pixel_values):
        return mean_colours(pixel_values)


@pytest.mark.parametrize("recognizer", [mean_colours, MeanColours().eval()])
def test_any_callable_may_be_the_recogniser(recognizer, pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path)
    built = DifFIQAPipeline(pipeline.unet, pipeline.scheduler, recognizer)
    loaded = DifFIQAPipeline.from_pretrained(tmp_path, recognizer=recognizer)
    method = create_method("difiqa", checkpoint=tmp_path, recognizer=recognizer, num_repeats=1)
    scores = [p(toy_faces(2), num_repeats=1).quality for p in (built, loaded, method.pipeline)]
    assert torch.equal(scores[0], scores[1]) and torch.allclose(scores[0], scores[2], atol=2e-6)
    loaded.use_recognizer(pipeline.recognizer)
    assert torch.equal(loaded(toy_faces(2)).quality, pipeline(toy_faces(2)).quality)


def test_recogniser_in_training_mode_is_refused(pipeline):
    with pytest.raises(ValueError, match="in training mode"):
        DifFIQAPipeline(pipeline.unet, pipeline.scheduler, toy_recognizer().train())(toy_faces(1))


def test_incomplete_recogniser_is_refused(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path)
    file = tmp_path / "recognizer" / "model.safetensors"
    state = load_file(file)
    state.pop("fc.weight")
    save_file(state, file, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"fc\.weight"):
        DifFIQAPipeline.from_pretrained(tmp_path)


def test_wrong_use_is_refused(pipeline):
    with pytest.raises(ValueError, match="between 1 and 1000, found 0"):
        pipeline(toy_faces(1), timestep=0)
    with pytest.raises(ValueError, match="at least 1"):
        pipeline(toy_faces(1), num_repeats=0)
    with pytest.raises(ValueError, match=r"whole numbers, found num_repeats = 1\.5"):
        pipeline(toy_faces(1), num_repeats=1.5)
    with pytest.raises(ValueError, match="uint8"):
        pipeline(torch.zeros(1, 3, 112, 112, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"\[-1, 1\], found \[0, 200\]"):
        pipeline(torch.linspace(0, 200, 3 * 112 * 112).view(1, 3, 112, 112))
    with pytest.raises(ValueError, match="needs a recogniser"):
        DifFIQAPipeline(toy_unet(), pipeline.scheduler)(toy_faces(1))
    epsilon = type(pipeline.scheduler).from_config(pipeline.scheduler.config, prediction_type="epsilon")
    with pytest.raises(ValueError, match="must predict x0"):
        DifFIQAPipeline(toy_unet(), epsilon)


def test_save_and_load_keep_every_score(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path)
    loaded = DifFIQAPipeline.from_pretrained(tmp_path)
    loaded.set_progress_bar_config(disable=True)
    assert loaded.config.num_repeats == 3
    assert torch.allclose(loaded(toy_faces(3)).quality, pipeline(toy_faces(3)).quality, atol=1e-6)
    swapped = DifFIQAPipeline.from_pretrained(tmp_path, recognizer=toy_recognizer(seed=5))
    swapped.set_progress_bar_config(disable=True)
    assert not torch.allclose(swapped(toy_faces(3)).quality, pipeline(toy_faces(3)).quality, atol=1e-3)


def test_half_precision_network_changes_little(pipeline):
    x = toy_faces(3)
    half = toy_pipeline(num_repeats=3)
    half.unet.to(torch.bfloat16)
    assert torch.allclose(half(x).quality, pipeline(x).quality, atol=5e-3)


def test_variant_is_part_of_the_checkpoint(pipeline, tmp_path):
    x = toy_faces(2)
    released = toy_pipeline(num_repeats=2, variant="released")
    out = released(x)
    assert out.term_names == ("noisy", "restored", "noisy_flipped", "restored_flipped", "flipped")
    assert torch.allclose(out.quality, out.terms.mean(1), atol=1e-6)
    with torch.no_grad():
        embeddings = [released.recognizer(image).embeddings for image in (x, x.flip(-1))]
    assert torch.allclose(out.terms[:, 4], F.cosine_similarity(*embeddings), atol=1e-6)
    released.save_pretrained(tmp_path)
    loaded = DifFIQAPipeline.from_pretrained(tmp_path)
    assert loaded.config.variant == "released"
    assert torch.allclose(loaded(x).quality, out.quality, atol=1e-6)
    as_paper = DifFIQAPipeline.from_pretrained(tmp_path, variant="paper")
    assert torch.allclose(as_paper(x).quality, pipeline(x, num_repeats=2).quality, atol=1e-6)
    assert create_method("difiqa", checkpoint=tmp_path).fingerprint == ""  # depends on the neighbours: never cached


def test_variant_released_depends_on_seed_and_place_but_not_on_batch_size():
    released, x = toy_pipeline(num_repeats=2, variant="released"), toy_faces(3)
    reference = released(x, seed=5).quality
    assert torch.allclose(released(x, seed=5, batch_size=5).quality, reference, atol=2e-6)
    assert not torch.allclose(released(x, seed=6).quality, reference, atol=1e-5)
    assert not torch.allclose(released(x[1:], seed=5).quality, reference[1:], atol=1e-5)
    assert released(x, flip=False).term_names == ("noisy", "restored")
    with pytest.raises(ValueError, match="between 1 and 999, found 1000"):
        released(x, timestep=1000)  # noise of index 1000 does not exist


def test_unknown_variant_is_refused(pipeline):
    with pytest.raises(ValueError, match=r"'released'.*found 'as printed'"):
        DifFIQAPipeline(pipeline.unet, pipeline.scheduler, variant="as printed")
