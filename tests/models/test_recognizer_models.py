"""What every recogniser of `difiqa_hf.models` promises, checked on a toy network of every family."""

import ast
import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoConfig, AutoModel

from difiqa_hf.models import auto
from difiqa_hf.models.modeling_edgenext import EdgeNeXtRecognizer
from difiqa_hf.models.modeling_ir import IRRecognizer
from difiqa_hf.models.modeling_iresnet import IResNetRecognizer
from difiqa_hf.models.modeling_mobilefacenet import MobileFaceNetRecognizer
from toys import toy_faces

TOYS = {
    "mobilefacenet": (
        MobileFaceNetRecognizer,
        dict(stem_width=8, stages=[(2, 8, 2, 4), (2, 12, 1, 4)], last_width=16, embedding_size=8),
    ),
    "iresnet": (IResNetRecognizer, dict(layers=[1, 2], widths=[8, 12], stem_width=8, stem_stride=4, embedding_size=8)),
    "ir": (IRRecognizer, dict(layers=[1, 2, 1], widths=[8, 12, 16], stem_width=8, embedding_size=8, dropout=0.0)),
    "edgenext": (
        EdgeNeXtRecognizer,
        dict(
            depths=[1, 2],
            widths=[8, 12],
            attention_blocks=[0, 1],
            kernel_sizes=[3, 5],
            num_heads=[2, 2],
            num_scales=[2, 3],
            position_encoding=[False, True],
            embedding_size=8,
        ),
    ),
}
MODELS = Path(auto.__file__).parent


@pytest.fixture(params=TOYS)
def family(request):
    return request.param


def toy(family: str, **options):
    """A toy network with everything that training moves away from its initial value, moved."""
    model_class, config = TOYS[family]
    torch.manual_seed(0)
    model = model_class(model_class.config_class(**config, **options)).eval()
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.ndim == 1 and not name.endswith("running_var"):
                value.add_(0.1 * torch.randn(value.shape))
    return model


@torch.no_grad()
def embeddings_of(model, pixel_values):
    return model(pixel_values).embeddings


def test_output(family):
    model, faces = toy(family), toy_faces(3)
    embeddings = embeddings_of(model, faces)
    assert embeddings.shape == (3, 8)
    assert not torch.allclose(embeddings.norm(dim=1), torch.ones(3))
    with torch.no_grad():
        (as_tuple,) = model(faces, return_dict=False)
    assert torch.equal(as_tuple, embeddings)


def test_head_is_affine_in_the_features(family):
    """What SER-FIQ repeats behind its dropout: a linear layer, and BatchNorm where there is one."""
    model, faces = toy(family, **({"dropout": 0.4} if family == "iresnet" else {})), toy_faces(2)
    with torch.no_grad():
        a, b = features = model.forward_features(faces)
        assert features.ndim == 2
        torch.testing.assert_close(model.forward_head(features), embeddings_of(model, faces), atol=0, rtol=0)
        middle = model.forward_head((a + b)[None] / 2)
        torch.testing.assert_close(middle[0], model.forward_head(features).mean(0), atol=1e-5, rtol=1e-5)


def test_embedding_does_not_depend_on_the_neighbours(family):
    model, faces = toy(family), toy_faces(3)
    torch.testing.assert_close(embeddings_of(model, faces)[1:2], embeddings_of(model, faces[1:2]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("shape", [(1, 3, 112, 96), (1, 3, 224, 224), (1, 1, 112, 112), (3, 112, 112)])
def test_wrong_shape_is_refused_with_the_numbers(family, shape):
    with pytest.raises(ValueError, match=r"must be \(batch, 3, 112, 112\).* found \(" + ", ".join(map(str, shape))):
        toy(family)(torch.zeros(shape))


def test_bytes_are_refused(family):
    """Pixels from 0 to 255 would give embeddings, and wrong ones."""
    with pytest.raises(ValueError, match=r"floating point in \[-1, 1\], found .*uint8"):
        toy(family)(torch.zeros(1, 3, 112, 112, dtype=torch.uint8))


def test_color_order_is_converted_by_the_network(family):
    rgb, bgr, faces = toy(family), toy(family, color_order="bgr"), toy_faces()
    assert torch.equal(embeddings_of(bgr, faces), embeddings_of(rgb, faces.flip(1)))
    assert not torch.allclose(embeddings_of(bgr, faces), embeddings_of(rgb, faces), atol=1e-3)


def test_mean_and_std_are_converted_by_the_network(family):
    """MagFace's contract, BGR / 255, against the same pixels brought there by hand."""
    mean, std = [10.0, 20.0, 30.0], [200.0, 225.0, 255.0]
    model = toy(family, color_order="bgr", image_mean=mean, image_std=std)
    faces = toy_faces()
    pixels = (faces.flip(1) + 1) * 127.5
    by_hand = (pixels - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    torch.testing.assert_close(embeddings_of(model, faces), embeddings_of(toy(family), by_hand), atol=1e-4, rtol=1e-4)


def test_what_is_cropped_away_does_not_matter(family):
    model, faces = toy(family, crop=[0, 8, 112, 96]), toy_faces()
    outside, inside = faces.clone(), faces.clone()
    outside[..., :8], outside[..., 104:] = 1, -1
    inside[..., 8:16] = 1
    assert torch.equal(embeddings_of(model, outside), embeddings_of(model, faces))
    assert not torch.allclose(embeddings_of(model, inside), embeddings_of(model, faces))


@pytest.mark.parametrize(
    "options",
    [
        {"color_order": "gbr"},
        {"image_mean": [127.5]},
        {"image_std": [0.0, 1.0, 1.0]},
        {"crop": [0, 20, 112, 96]},
        {"crop": [0, 8, 112]},
        {"embedding_size": "512"},
    ],
)
def test_impossible_configuration_is_refused(family, options):
    config_class = TOYS[family][0].config_class
    with pytest.raises(Exception, match=next(iter(options))):  # ours or strict's
        config_class(**options)


def test_half_precision_weights_take_float32_pixels(family):
    model, faces = toy(family), toy_faces()
    similarity = nn.functional.cosine_similarity(
        embeddings_of(model, faces), embeddings_of(model.to(torch.bfloat16), faces).float()
    )
    assert similarity.min() > 0.99


@pytest.mark.parametrize("loader", ["own class", "AutoModel"])
def test_round_trip_is_bit_exact(family, loader, tmp_path):
    model, faces = toy(family, crop=[0, 8, 112, 96]), toy_faces()
    model.save_pretrained(tmp_path)
    again = (AutoModel if loader == "AutoModel" else type(model)).from_pretrained(tmp_path)
    assert type(again) is type(model)
    assert torch.equal(embeddings_of(again, faces), embeddings_of(model, faces))
    assert AutoConfig.from_pretrained(tmp_path).to_diff_dict().keys() >= TOYS[family][1].keys()


def test_missing_keys_get_finite_initial_values(family, tmp_path):
    """from_pretrained builds on the meta device: what `_init_weights` forgets would be uninitialised memory."""
    model = toy(family)
    model.save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    kept = dict(sorted(load_file(path).items())[:1])
    save_file(kept, path, metadata={"format": "pt"})
    torch.manual_seed(0)
    loaded = type(model).from_pretrained(tmp_path)
    torch.manual_seed(0)
    fresh = type(model)(model.config)
    for name, value in loaded.state_dict().items():
        if name in kept:
            assert torch.equal(value, kept[name]), name
        elif value.ndim <= 1 or name.endswith("temperature"):  # constants: PReLU, norms, layer scale, biases, counters
            assert torch.equal(value, fresh.state_dict()[name]), name
        else:
            assert value.isfinite().all() and 0 < value.std() < 2, name
    assert embeddings_of(loaded.eval(), toy_faces()).isfinite().all()


def test_every_parameter_learns(family):
    model = toy(family).train()
    model(toy_faces(4)).embeddings.pow(2).mul(torch.arange(8)).sum().backward()
    idle = {name for name, value in model.named_parameters() if value.grad is None or not value.grad.abs().sum()}
    # the first is fixed in iResNet, the others are without effect before a BatchNorm
    assert idle <= {"features.weight", "fc.bias", "output_layer.3.bias"}


def test_file_is_self_contained(family):
    """The Hub copies single files: nothing of this package, nothing that transformers users lack."""
    tree = ast.parse((MODELS / f"modeling_{family}.py").read_text())
    imported = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    allowed = {"torch", "transformers", "huggingface_hub", *sys.stdlib_module_names}
    assert {name.split(".")[0] for name in imported} <= allowed


def test_remote_code_copy_does_not_replace_the_package(family):
    name = f"copy_of_modeling_{family}"
    spec = importlib.util.spec_from_file_location(name, MODELS / f"modeling_{family}.py")
    sys.modules[name] = copy = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(copy)
    finally:
        del sys.modules[name]
    assert type(AutoConfig.for_model(family)) is TOYS[family][0].config_class


def test_registering_twice_changes_nothing(family):
    auto.register()
    auto.register()
    model_class, config = TOYS[family]
    assert type(AutoModel.from_config(model_class.config_class(**config))) is model_class
