"""Repeats of Eq. 7: other noise, fewer steps back, as many repeats as an image needs."""

import math

import numpy as np
import pytest
import torch

from difiqa_hf.diffusion import alphas_cumprod, backward_indices, posterior
from difiqa_hf.methods import create_method
from difiqa_hf.methods.difiqa import PRESETS
from difiqa_hf.repeats import noise_source, rounds, standard_error
from toys import toy_faces, toy_pipeline


@pytest.fixture(scope="module")
def pipeline():
    return toy_pipeline(num_repeats=4)


def test_where_the_denoiser_is_asked():
    assert backward_indices(4) == [4, 3, 2, 1, 0]
    assert backward_indices(4, 1) == [4]
    assert backward_indices(4, 2) == [4, 2]
    assert backward_indices(4, 5) == backward_indices(4)
    assert backward_indices(19, 4) == [19, 14, 9, 4]


def test_a_longer_step_back_is_the_posterior_of_a_shorter_schedule(pipeline):
    """Two steps at once: q(x_s | x_t, x_0) of the schedule that has only s and t."""
    alpha_bar, x0, xt = alphas_cumprod(pipeline.scheduler), toy_faces(1), toy_faces(2)[1:]
    mean, deviation = posterior(x0, xt, 4, alpha_bar, 2)
    expected, expected_deviation = posterior(x0, xt, 1, alpha_bar[[2, 4]])
    assert torch.allclose(mean, expected, atol=1e-6) and deviation == pytest.approx(expected_deviation)


def test_fewer_steps_ask_the_denoiser_less_often(pipeline, monkeypatch):
    calls, unet = [], pipeline._denoise
    monkeypatch.setattr(pipeline, "_denoise", lambda sample, t: calls.append(t) or unet(sample, t))
    for steps, expected in ((None, [4, 3, 2, 1, 0]), (2, [4, 2]), (1, [4])):
        calls.clear()
        pipeline(toy_faces(1), num_repeats=1, steps=steps)
        assert calls == expected


def test_shared_noise_is_that_of_every_image():
    draw = noise_source("shared", toy_faces(2), 0)([(0, 0, False), (1, 0, False), (1, 1, False), (1, 0, True)])
    first, second, other_repeat, other_side = draw()
    assert torch.equal(first, second)
    assert not torch.equal(first, other_repeat) and not torch.equal(first, other_side)


def test_antithetic_noise_turns_its_sign_in_every_draw():
    rows = [(0, 0, False), (0, 1, False), (0, 2, False)]
    draw = noise_source("antithetic", toy_faces(1), 0)(rows)
    for _ in range(2):
        first, second, third = draw()
        assert torch.equal(first, -second) and not torch.equal(first.abs(), third.abs())


def test_the_error_of_pairs_and_of_missing_repeats():
    values = torch.tensor([[1.0, 3.0, 5.0, 7.0], [2.0, 4.0, math.nan, math.nan], [1.0, math.nan, math.nan, math.nan]])
    error = standard_error(values)
    assert error[0].item() == pytest.approx(values[0].std().item() / 2)
    assert error[1].item() == pytest.approx(1) and math.isnan(error[2])
    assert standard_error(values[:1], antithetic=True).item() == pytest.approx(2)  # of 2 and 6


@pytest.mark.parametrize(("antithetic", "expected"), [(False, [4, 1, 1, 1, 1, 1, 1]), (True, [8, 2])])
def test_rounds(antithetic, expected):
    assert [len(part) for part in rounds(10, True, antithetic)] == expected
    assert [list(part) for part in rounds(3, False, antithetic)] == [[0, 1, 2]]


@pytest.mark.parametrize("noise", ["own", "shared", "antithetic"])
def test_repeats_end_when_the_error_is_small_enough(pipeline, noise):
    x = toy_faces(4)
    full = pipeline(x, num_repeats=16, noise=noise)
    assert full.num_repeats.tolist() == [16] * 4
    bound = 1.3 * full.standard_error.max().item()
    out = pipeline(x, num_repeats=16, noise=noise, max_standard_error=bound)
    assert (out.standard_error <= bound).all() and 4 <= out.num_repeats.min() < 16
    assert torch.allclose(pipeline(x, num_repeats=16, noise=noise, max_standard_error=1e-9).quality, full.quality)
    for i in range(4):  # on its own, an image gets as many repeats, and the same score
        alone = pipeline(x[i : i + 1], num_repeats=16, noise=noise, max_standard_error=bound)
        assert alone.num_repeats == out.num_repeats[i]
        assert torch.allclose(alone.quality, out.quality[i], atol=2e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps must be between 1 and timestep = 5, found 0"),
        ({"steps": 6}, "found 6"),
        ({"steps": 1.5}, "whole numbers, found steps = 1.5"),
        ({"seed": 1.5}, "whole numbers, found seed = 1.5"),
        ({"seed": True}, "found seed = True"),
        ({"noise": "pink"}, "noise must be one of"),
        ({"noise": "antithetic", "num_repeats": 3}, "must be even, found 3"),
        ({"max_standard_error": 0.0}, "above 0, found 0.0"),
        ({"max_standard_error": math.nan}, "above 0, found nan"),
    ],
)
def test_wrong_options_are_refused(pipeline, options, message):
    with pytest.raises(ValueError, match=message):
        pipeline(toy_faces(1), **options)


def test_the_released_variant_draws_as_it_was_released():
    with pytest.raises(ValueError, match="released"):
        toy_pipeline(variant="released")(toy_faces(1), noise="shared")


def test_presets(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path)
    methods = {name: create_method("difiqa", checkpoint=tmp_path, preset=name) for name in PRESETS}
    assert len({method.fingerprint for method in methods.values()}) == len(PRESETS)
    assert methods["fast"].options["num_repeats"] == 2
    x = toy_faces(2)
    expected = pipeline(x, num_repeats=1, steps=1, noise="shared").quality
    assert torch.allclose(methods["fastest"](x), expected, atol=2e-6)
    changed = create_method("difiqa", checkpoint=tmp_path, preset="fastest", num_repeats=2, noise="own", steps=5)
    assert torch.allclose(changed(x), pipeline(x, num_repeats=2).quality, atol=2e-6)
    with pytest.raises(ValueError, match="preset must be one of paper, fast, fastest, careful, found 'slow'"):
        create_method("difiqa", checkpoint=tmp_path, preset="slow")


def test_another_procedure_has_another_revision_and_no_percentiles(tmp_path):
    """So that a card of one is not taken for the other; repeats and noise only change the error."""
    toy_pipeline(reference_quantiles=[0.0, 1.0]).save_pretrained(tmp_path)
    usual = create_method("difiqa", checkpoint=tmp_path)
    for same in ({"num_repeats": 2, "noise": "antithetic"}, {"steps": 5}, {"preset": "careful"}, {"flip": True}):
        method = create_method("difiqa", checkpoint=tmp_path, **same)
        assert method.revision == usual.revision and method.percentile(0.5) == 50
    others = [{"steps": 1}, {"steps": 2}, {"timestep": 6}, {"flip": False}, {"forward": False}, {"variant": "released"}]
    methods = [create_method("difiqa", checkpoint=tmp_path, **other) for other in others]
    assert len({method.revision for method in [usual, *methods]}) == 1 + len(others)
    assert all(method.percentile(0.5) is None for method in methods)


@pytest.mark.parametrize("stored", ["paper", "released"])
def test_a_variant_replaces_the_checkpoints(tmp_path, stored):
    """With the scores of a pipeline of that variant; what another variant says has no percentile and no cache."""
    toy_pipeline(variant=stored, reference_quantiles=[0.0, 1.0]).save_pretrained(tmp_path)
    x = toy_faces(2)
    for variant in ("paper", "released"):
        method = create_method("difiqa", checkpoint=tmp_path, variant=variant)
        assert torch.allclose(method(x), toy_pipeline(variant=variant)(x).quality, atol=2e-6)
        assert (method.percentile(0.5) is None) == (variant != stored)
        assert (method.fingerprint == "") == (variant == "released")
    assert create_method("difiqa", checkpoint=tmp_path).pipeline.config.variant == stored
    with pytest.raises(ValueError, match="variant must be one of paper, released, found 'fp16'"):
        create_method("difiqa", checkpoint=tmp_path, variant="fp16")


def test_wrong_options_are_found_before_the_first_image(tmp_path):
    toy_pipeline().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="must be even, found 5"):
        create_method("difiqa", checkpoint=tmp_path, preset="fast", num_repeats=5)
    assert create_method("difiqa", checkpoint=tmp_path, seed=np.int64(1), num_repeats=1)(toy_faces(1)).shape == (1,)


@pytest.mark.slow
def test_a_compiled_denoiser_gives_the_same_scores(tmp_path):
    """The shipped network, whose compilation takes a minute and a C++ compiler."""
    faces = toy_faces(2)
    options = {"num_repeats": 1, "steps": 1}
    expected = create_method("difiqa", **options)(faces)
    torch._dynamo.utils.counters.clear()
    compiled = create_method("difiqa", **options, compile=True)
    torch.testing.assert_close(compiled(faces), expected, atol=1e-4, rtol=0)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] >= 1, "nothing was compiled"
