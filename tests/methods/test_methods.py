"""The matrix that every quality method passes: shape, determinism, independence, range, refusals, gradients off."""

import pytest
import torch

from difiqa_hf.methods import create_method, list_methods
from difiqa_hf.methods.registry import method_class
from difiqa_hf.models.modeling_difiqa_regressor import DifFIQARegressor
from toys import toy_faces, toy_pipeline, toy_recognizer


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("checkpoints")
    toy_pipeline(num_repeats=2).save_pretrained(root / "difiqa")
    DifFIQARegressor.from_embedder(toy_recognizer()).save_pretrained(root / "difiqa-r")
    return root


@pytest.fixture(params=list_methods())
def method(request, folders):
    name = request.param
    if (folders / name).exists():
        return create_method(name, checkpoint=folders / name)
    return create_method(name, recognizer=toy_recognizer())


def test_scores_are_one_float_per_image_without_gradients(method):
    quality = method(toy_faces(3))
    assert quality.shape == (3,) and quality.dtype == torch.float32 and not quality.requires_grad
    low, high = method.score_range
    assert torch.isfinite(quality).all()
    assert (low is None or quality.min() >= low) and (high is None or quality.max() <= high + 1e-6)


def test_score_belongs_to_the_image(method):
    x = toy_faces(4)
    together = method(x)
    assert torch.equal(together, method(x))
    assert torch.allclose(method(x.flip(0)).flip(0), together, atol=1e-5)
    assert torch.allclose(torch.cat([method(image[None]) for image in x]), together, atol=1e-5)


def test_global_generator_is_left_alone(method):
    state = torch.random.get_rng_state()
    method(toy_faces(1))
    assert torch.equal(state, torch.random.get_rng_state())


def test_seed_matters_where_the_method_says_so(method, folders):
    source = (
        {"checkpoint": folders / method.name} if (folders / method.name).exists() else {"recognizer": toy_recognizer()}
    )
    other = create_method(method.name, seed=1, **source)
    assert torch.equal(other(toy_faces(2)), method(toy_faces(2))) is not method.is_stochastic


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (torch.zeros(3, 112, 112), r"found \(3, 112, 112\)"),
        (torch.zeros(1, 1, 112, 112), r"found \(1, 1, 112, 112\)"),
        (torch.zeros(1, 3, 112, 112, dtype=torch.uint8), "uint8"),
        (torch.full((1, 3, 112, 112), 2.0), r"\[2, 2\]"),
        (torch.full((1, 3, 112, 112), float("nan")), "nan"),
        (torch.zeros(0, 3, 112, 112), "empty"),
        ("face.jpg", "str"),
    ],
)
def test_wrong_input_is_refused(method, bad, message):
    with pytest.raises(ValueError, match=message):
        method(bad)


def test_every_method_declares_what_it_is(method):
    assert method.higher_is_better and method.kind in {"analytical", "regression", "model", "baseline"}
    assert method_class(method.name) is type(method)
    assert method.fingerprint
    assert method.name == "random" or len(method.revision) == 12


def test_listing_and_unknown_names():
    assert {"difiqa", "difiqa-r"} < set(list_methods())
    assert set(list_methods("baseline")) == {"mirror", "norm", "random"}
    with pytest.raises(ValueError, match="known: difiqa"):
        create_method("difika")
