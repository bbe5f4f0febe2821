"""The matrix that every quality method passes: whatever is registered is tested, or this file fails."""

import copy
import inspect
import sys
from importlib.resources import files

import pytest
import torch

from difiqa_hf.methods import create_method, list_methods
from difiqa_hf.methods.registry import describe_methods, method_class
from difiqa_hf.models.modeling_difiqa_regressor import DifFIQARegressor
from difiqa_hf.models.modeling_pfe import PFEModel
from toys import toy_faceqgen, toy_faces, toy_lightqnet, toy_pipeline, toy_recognizer

# name -> what makes a toy of the method cheap
OPTIONS = {"faceqan": {"num_repeats": 3, "batch_size": 4}, "ser-fiq": {"num_repeats": 20}, "grafiqs": {"batch_size": 3}}
REGRESSORS = ("difiqa-r", "faceqnet", "sdd-fiqa", "pcnet", "cr-fiqa")
SHIPPED = files("difiqa_hf") / "checkpoints" / "difiqa_r"
RECOGNIZER_METHODS = [row["name"] for row in describe_methods() if row["needs_recognizer"]]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Checkpoints by the name of their method."""
    root = tmp_path_factory.mktemp("checkpoints")
    toy_pipeline(num_repeats=2).save_pretrained(root / "difiqa")
    toy_recognizer().save_pretrained(root / "magface")
    toy_lightqnet().save_pretrained(root / "lightqnet")
    toy_faceqgen().save_pretrained(root / "faceqgen")
    PFEModel.from_embedder(toy_recognizer(), head_width=8, initial_scale=1.0).save_pretrained(root / "pfe")
    create_method("froq", recognizer=toy_recognizer()).calibrate(toy_faces(12)).save_pretrained(root / "froq")
    for name in REGRESSORS:
        DifFIQARegressor.from_embedder(toy_recognizer()).save_pretrained(root / name)
    return root


def create(name, folders, recognizer=None, **options):
    own = {"checkpoint": folders / name} if method_class(name).has_weights else {}
    if name in RECOGNIZER_METHODS:
        own["recognizer"] = recognizer or toy_recognizer()
    return create_method(name, **own, **OPTIONS.get(name, {}), **options)


@pytest.fixture(params=list_methods())
def method(request, folders):
    return create(request.param, folders)


def test_scores_are_one_float_per_image_without_gradients(method):
    quality = method(toy_faces(3))
    assert quality.shape == (3,) and quality.dtype == torch.float32 and not quality.requires_grad
    low, high = method.score_range
    assert torch.isfinite(quality).all()
    assert (low is None or quality.min() >= low) and (high is None or quality.max() <= high + 1e-6)


@pytest.mark.parametrize(
    ("name", "option", "expected"),
    [
        ("pfe", {"reduction": "harmonic"}, (None, 0)),
        ("pfe", {"reduction": "log"}, (None, None)),
        ("faceqgen", {"measure": "ssim"}, (-1, 1)),
        ("faceqgen", {"measure": "mse"}, (-4, 0)),
        ("faceqgen", {"measure": "discriminator"}, (None, None)),
    ],
)
def test_the_range_is_that_of_the_option(name, option, expected, folders):
    method = create(name, folders, **option)
    assert method.score_range == expected
    test_scores_are_one_float_per_image_without_gradients(method)


def test_score_belongs_to_the_image(method):
    x = toy_faces(4)
    together = method(x)
    near = {"rtol": 1e-5, "atol": 1e-5}
    assert torch.equal(together, method(x))
    torch.testing.assert_close(method(x.flip(0)).flip(0), together, **near)
    torch.testing.assert_close(torch.cat([method(image[None]) for image in x]), together, **near)


def test_images_differ(method):
    """A method that returns a constant would pass everything else."""
    if method.name != "faceqnet":  # clipped: a toy may lie outside on every face
        assert len(method(toy_faces(4)).unique()) == 4


def test_global_generator_is_left_alone(method):
    state = torch.random.get_rng_state()
    method(toy_faces(1))
    assert torch.equal(state, torch.random.get_rng_state())


def test_seed_matters_where_the_method_says_so(method, folders):
    other = create(method.name, folders, seed=1)
    assert torch.equal(other(toy_faces(2)), method(toy_faces(2))) is not method.is_stochastic
    assert (other.fingerprint == method.fingerprint) is not method.is_stochastic


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


@pytest.mark.parametrize("row", describe_methods(), ids=lambda row: row["name"])
def test_declarations_are_complete(row):
    """Missing ones are an AttributeError already in `describe_methods`."""
    assert all(isinstance(row[key], str) and row[key] for key in row if row[key] is None or isinstance(row[key], str))
    assert row["summary"].endswith(".") and len(row["score_range"]) == 2
    assert row["needs_recognizer"] or not row["needs_gradients"]
    assert row["has_weights"] or not row["needs_training"]


STATUSES = (
    "official weights reproduced: ",
    "formula",
    "retrained, no official weights obtainable",
    "nothing to compare",
)


@pytest.mark.parametrize("row", describe_methods(), ids=lambda row: row["name"])
def test_parity_begins_with_a_status_in_plain_words(row):
    assert row["parity"].startswith(STATUSES)


@pytest.mark.parametrize("name", list_methods())
def test_every_method_takes_what_the_runner_passes(name):
    assert {"recognizer", "seed", "device"} <= set(inspect.signature(method_class(name)).parameters)
    assert f"Parity: {method_class(name).parity}." in method_class(name).__doc__


def test_called_in_any_grad_mode(method):
    """Gradients are off afterwards where they were off, on where they were on; the score is the same."""
    x = toy_faces(2)
    with torch.enable_grad():
        expected = method(x)
        assert torch.is_grad_enabled() and not expected.requires_grad
    with torch.no_grad():
        assert torch.equal(method(x), expected) and not torch.is_grad_enabled()
    with torch.inference_mode():
        assert torch.equal(method(x.clone()), expected) and torch.is_inference_mode_enabled()
    leaf = x.clone().requires_grad_()
    assert torch.equal(method(leaf), expected) and leaf.grad is None


@pytest.mark.parametrize("name", RECOGNIZER_METHODS)
@pytest.mark.parametrize("trainable", [True, False])
def test_recognizer_is_left_as_it_was(name, trainable, folders):
    recognizer = toy_recognizer().requires_grad_(trainable)
    before = copy.deepcopy(recognizer.state_dict())
    create(name, folders, recognizer)(toy_faces(2))
    assert all(p.requires_grad is trainable and p.grad is None for p in recognizer.parameters())
    assert not any(module.training for module in recognizer.modules())
    assert all(torch.equal(value, before[key]) for key, value in recognizer.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in recognizer.modules())


@pytest.mark.parametrize("name", RECOGNIZER_METHODS)
def test_recognizer_in_training_mode_is_refused(name, folders):
    method = create(name, folders, recognizer := toy_recognizer())
    recognizer.train()
    with pytest.raises(ValueError, match=r"MobileFaceNetRecognizer is in training mode; call its eval\(\) first"):
        method(toy_faces(2))


@pytest.mark.parametrize("name", RECOGNIZER_METHODS)
def test_half_precision_recognizer(name, folders):
    """Close to float32, or refused with the reason."""
    if name == "faceqan":
        with pytest.raises(ValueError, match=r"steps of 0.001 are lost in torch.bfloat16"):
            create(name, folders, toy_recognizer().to(torch.bfloat16))
        return
    x, half = toy_faces(3), toy_recognizer().to(torch.bfloat16)
    if name == "froq":
        method = create_method(name, recognizer=half).calibrate(toy_faces(12))
        assert method(x).isfinite().all()  # other weights: its own calibration, perhaps other layers
        return
    torch.testing.assert_close(create(name, folders, half)(x), create(name, folders)(x), rtol=0.2, atol=0.05)


NETWORK_METHODS = [row["name"] for row in describe_methods() if row["needs_training"] and not row["needs_recognizer"]]


@pytest.mark.parametrize("name", NETWORK_METHODS)
def test_half_precision_network(name, folders):
    full = create(name, folders)
    half = create_method(name, checkpoint=create(name, folders).model.to(torch.bfloat16))
    assert {p.dtype for p in half.network.parameters()} == {torch.bfloat16}
    found = half(toy_faces(3))
    assert not torch.equal(found, full(toy_faces(3)))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, full(toy_faces(3)), rtol=0.1, atol=0.05)


def test_saved_and_loaded(method, folders, tmp_path):
    if not method.has_weights:
        with pytest.raises(ValueError, match=f"{method.name} has no weights of its own"):
            method.save_pretrained(tmp_path)
        with pytest.raises(ValueError, match=f"{method.name} has no weights of its own"):
            type(method).from_pretrained(tmp_path)
        with pytest.raises(ValueError, match=f"{method.name} has no weights of its own, found '{method.name}=x'"):
            create_method(f"{method.name}=x")
        return
    method.save_pretrained(tmp_path)
    own = {"recognizer": toy_recognizer()} if method.name == "froq" else {}
    x = toy_faces(2)
    for again in (type(method).from_pretrained(tmp_path, **own), create_method(f"{method.name}={tmp_path}", **own)):
        assert torch.allclose(again(x), method(x), atol=1e-5) and again.revision == method.revision
        assert again.fingerprint == method.fingerprint, "where weights lie must not matter to a cache"
        assert str(tmp_path) not in again.fingerprint


@pytest.mark.parametrize("name", [row["name"] for row in describe_methods() if row["needs_training"]])
def test_missing_checkpoint_is_named(name):
    if name in ("difiqa", "difiqa-r"):
        pytest.skip("its weights are shipped")
    with pytest.raises(ValueError, match=f"{name} needs weights and none are shipped: .* --method {name}=FOLDER"):
        create_method(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("difiqa-r=nowhere", "no folder nowhere; a repository is named USER/NAME"),
        ("difiqa=nowhere", "no folder nowhere"),
        ("difiqa-r=out/rec.pth", "out/rec.pth is a file, no folder of a checkpoint; difiqa convert makes one"),
        ("difiqa-r=", "'difiqa-r=' names no checkpoint; write difiqa-r=FOLDER, or difiqa-r alone"),
    ],
)
def test_what_is_no_checkpoint_is_not_looked_for_on_the_hub(name, message, tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "rec.pth").touch()
    monkeypatch.chdir(tmp_path)
    fetch = sys.modules["difiqa_hf.hub.fetch"]  # the package shows the function of that name
    monkeypatch.setattr(fetch, "_patiently", lambda *args, **kwargs: pytest.fail("the Hub was asked"))
    with pytest.raises((OSError, ValueError), match=message):
        create_method(name)


def test_a_repository_that_is_not_there_may_have_been_meant_as_a_folder():
    with pytest.raises(OSError, match="no folder out/nowhere; as a repository it is not whole in the cache"):
        create_method("difiqa-r=out/nowhere")


def test_listing_and_unknown_names():
    assert {"difiqa", "difiqa-r"} < set(list_methods())
    assert set(list_methods("baseline")) == {"mirror", "norm", "random"}
    assert {"faceqan", "ser-fiq", "grafiqs", "prefiqs", "froq"} < set(list_methods("analytical"))
    assert {"magface", "pfe", "cr-fiqa"} == set(list_methods("model"))
    with pytest.raises(ValueError, match="known: cr-fiqa"):
        create_method("difika")
    with pytest.raises(ValueError, match="unknown kind 'beauty'; known: analytical"):
        list_methods("beauty")


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        (None, {}, "unknown method 'None'"),
        ("norm", {"recognizer": 3}, "a model, a callable or a path, found 3"),
        ("difiqa", {"checkpoint": 3}, "difiqa takes a folder, a repository or a model, found 3"),
        ("cr-fiqa", {"checkpoint": SHIPPED}, "was trained for difiqa-r, not for cr-fiqa: use method difiqa-r"),
        ("pcnet", {"checkpoint": ""}, "checkpoint is empty"),
    ],
)
def test_what_is_no_method_recogniser_or_checkpoint(name, options, said):
    with pytest.raises(ValueError, match=said):
        create_method(name, **options)


def test_lightqnet_on_another_network():
    with pytest.raises(ValueError, match="lightqnet needs a LightQNet, found MobileFaceNetRecognizer"):
        create_method("lightqnet", checkpoint=toy_recognizer())
