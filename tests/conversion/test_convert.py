"""Every converter on a rule-made checkpoint in the official layout: there, back, and the official forward pass."""

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import official
import official_files
import pytest
import torch
import torch.nn.functional as F
from official_files import prefixed
from PIL import Image
from transformers import AutoImageProcessor, AutoModel

import difiqa_hf.models  # noqa: F401  registers the networks
from difiqa_hf.conversion import convert_checkpoint
from difiqa_hf.conversion.family import Family
from difiqa_hf.conversion.registry import converter
from rules import made_by_rule
from toys import toy_faces


def case(content, state, forward, output="embeddings", color="rgb", unit=False, prefix="") -> SimpleNamespace:
    """Content of the file, official state dict, official forward pass of official input, contract of the input."""
    return SimpleNamespace(**locals())


def arcface() -> SimpleNamespace:
    state = official_files.arcface()
    return case(state, state, lambda x: official.iresnet(state, x))


def magface() -> SimpleNamespace:
    state = made_by_rule(official.iresnet_shapes())
    classifier = {"fc.weight": torch.zeros(8, 20)}
    content = {"epoch": 25, "arch": "iresnet100", "state_dict": prefixed("features.module.", state) | classifier}
    return case(
        content,
        state,
        lambda x: official.iresnet(state, x, eps=2e-5),
        color="bgr",
        unit=True,
        prefix="features.module.",
    )


def adaface() -> SimpleNamespace:
    state = made_by_rule(official.ir_shapes(True) | official.embedding_shapes())
    content = {"epoch": 25, "state_dict": prefixed("model.", state) | {"head.kernel": torch.zeros(8, 20)}}
    return case(content, state, lambda x: official.ir_embedding(state, x, True), color="bgr", prefix="model.")


def curricularface() -> SimpleNamespace:
    state = made_by_rule(official.ir_shapes(False) | official.embedding_shapes())
    return case(state, state, lambda x: official.ir_embedding(state, x, False))


def sdd_fiqa() -> SimpleNamespace:
    state = made_by_rule(official.ir_shapes(False) | official.quality_shapes())
    content = prefixed("module.", state)
    return case(content, state, lambda x: official.ir_quality(state, x), "quality", prefix="module.")


def cr_fiqa() -> SimpleNamespace:
    state = made_by_rule(official.iresnet_shapes() | {"qs.weight": (1, 8), "qs.bias": (1,)})

    def forward(x):
        return F.linear(official.iresnet(state, x), state["qs.weight"], state["qs.bias"]).squeeze(1)

    return case(state, state, forward, "quality")


def difiqa_r() -> SimpleNamespace:
    base, state = official_files.arcface(), official_files.difiqa_r()

    def forward(x):
        return F.linear(official.iresnet(base, x), state["linear.weight"], state["linear.bias"]).squeeze(1)

    return case(state, state, forward, "quality")


HEAD = {"mlp.l1.weight": (32, 8), "mlp.l1.bias": (32,), "mlp.l2.weight": (1, 32), "mlp.l2.bias": (1,)}


def ediffiqa() -> SimpleNamespace:
    base = made_by_rule(official.iresnet_shapes())
    state = prefixed("base_model.", base) | made_by_rule(HEAD)
    return case(state, state, lambda x: official.two_layers(state, official.iresnet(base, x)), "quality")


def ediffiqa_t() -> SimpleNamespace:
    base = made_by_rule(official.mobilefacenet_shapes())
    state = prefixed("base_model.", base) | made_by_rule(HEAD | {"mlp.l1.weight": (32, 512)})
    return case(state, state, lambda x: official.two_layers(state, official.mobilefacenet(base, x)), "quality")


CASES = {
    "arcface": arcface,
    "cosface": arcface,
    "magface": magface,
    "adaface": adaface,
    "curricularface": curricularface,
    "sdd-fiqa": sdd_fiqa,
    "cr-fiqa": cr_fiqa,
    "difiqa-r": difiqa_r,
    "ediffiqa": ediffiqa,
    "ediffiqa (T)": ediffiqa_t,
}
METHODS = {"magface": "magface", "sdd-fiqa": "sdd-fiqa", "cr-fiqa": "cr-fiqa", "difiqa-r": "difiqa-r",
           "ediffiqa": "difiqa-r"}  # fmt: skip


@pytest.fixture(params=CASES)
def converted(request, tmp_path):
    """A case with its kind, file, folder and the result of the conversion."""
    made = CASES[request.param]()
    made.kind, made.file, made.folder = request.param.split(" ")[0], tmp_path / "source.pth", tmp_path / "out"
    torch.save(made.content, made.file)
    made.result = convert_checkpoint(made.kind, made.file, made.folder)
    return made


def family_of(made: SimpleNamespace) -> Family:
    found = converter(made.kind)
    return found if isinstance(found, Family) else found.family_of(made.content)


def official_input(faces: torch.Tensor, color: str, unit: bool) -> torch.Tensor:
    """RGB pixel values in [-1, 1] as the authors' scripts feed them: RGB or BGR, in [-1, 1] or [0, 1]."""
    faces = faces.flip(1) if color == "bgr" else faces
    return (faces + 1) / 2 if unit else faces


@torch.no_grad()
def test_there_and_back_and_the_official_forward_pass(converted):
    model, faces = AutoModel.from_pretrained(converted.folder).eval(), toy_faces(2, 3)

    found = getattr(model(faces), converted.output)
    expected = converted.forward(official_input(faces, converted.color, converted.unit))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)

    wrong = converted.forward(official_input(faces, "rgb" if converted.color == "bgr" else "bgr", converted.unit))
    assert not torch.allclose(found, wrong, atol=1e-2)  # the other colour order is another result
    wrong = converted.forward(official_input(faces, converted.color, not converted.unit))
    assert not torch.allclose(found, wrong, atol=1e-2)  # and so is the other range

    family = family_of(converted)
    back = family.restore(model.state_dict())
    assert back.keys() == converted.state.keys()
    assert all(torch.equal(back[key], converted.state[key]) for key in back)
    result = converted.result
    assert (result.tensors, result.tensor_difference) == (len(back), 0) and result.probe_difference < 1e-5


def test_folder_is_complete(converted, monkeypatch):
    names = {path.name for path in converted.folder.iterdir()}
    code = {name for name in names if name.endswith(".py")}  # for those without the package, once it is on the Hub
    assert names - code == {"config.json", "model.safetensors", "preprocessor_config.json", "README.md"}
    stored = json.loads((converted.folder / "config.json").read_text())
    backbone = len([name for name in code if name.startswith("modeling_")]) - 1
    assert {f"{name.partition('.')[0]}.py" for name in stored["auto_map"].values()} <= code
    assert backbone == int("backbone_config" in stored)
    assert stored.get("quality_method") == METHODS.get(converted.kind)
    card = (converted.folder / "README.md").read_text()
    origin, digest = family_of(converted).origin, converted.result.source_sha256
    for fact in (origin.url, origin.licence, origin.title, digest, f"difiqa convert {converted.kind}"):
        assert fact in card
    assert str(converted.folder.parent) not in card + (converted.folder / "config.json").read_text()
    config = AutoModel.from_pretrained(converted.folder).config
    settings = getattr(config, "backbone_config", None) or config.to_dict()
    assert settings.get("color_order", "rgb") == converted.color
    assert list(settings.get("image_std", [127.5] * 3)) == ([255.0] * 3 if converted.unit else [127.5] * 3)
    processor = AutoImageProcessor.from_pretrained(converted.folder)
    assert (processor.color_order, processor.size) == ("rgb", {"height": 112, "width": 112})  # always canonical

    monkeypatch.chdir(converted.folder.parent)
    Image.new("RGB", (112, 112), "gray").save("face_aligned_112.jpg")
    exec(card.split("```python\n")[1].split("```")[0], {})  # what the card tells its reader to type


def test_a_file_of_another_family_is_named(converted, tmp_path):
    other = "arcface" if converted.kind not in ("arcface", "cosface") else "difiqa-r"
    with pytest.raises(ValueError, match=r"source\.pth: this is not .*; found .*; this looks like .*: kind ") as error:
        convert_checkpoint(other, converted.file, tmp_path / "other")
    named = str(error.value).rsplit("kind ", 1)[1]
    assert named == ("arcface or cosface" if converted.kind in ("arcface", "cosface") else converted.kind)


@pytest.mark.parametrize("change", ["missing", "unexpected", "shape"])
def test_altered_file_is_refused(converted, change, tmp_path):
    inside = converted.content.get("state_dict", converted.content)
    key = next(
        key for key in inside if key.endswith("res_layer.0.bias") or key.endswith("bn1.bias") or "l1.bias" in key
    )
    if change == "missing":
        del inside[key]
    elif change == "unexpected":
        inside[key.replace(".bias", ".surprise")] = torch.zeros(1)
    else:
        inside[key] = torch.zeros(3)
    torch.save(converted.content, tmp_path / "altered.pth")
    with pytest.raises(ValueError, match=r"altered\.pth: this looks like .* but does not fit") as error:
        convert_checkpoint(converted.kind, tmp_path / "altered.pth", tmp_path / "altered")
    key = key.removeprefix(converted.prefix)
    found = {
        "missing": f"missing (1): {key}",
        "unexpected": "not of this network (1)",
        "shape": f"{key} has shape (3,)",
    }
    assert found[change] in str(error.value)


@pytest.mark.parametrize("name", [name for name in CASES if name != "cosface"])  # which is arcface's
def test_every_missing_tensor_is_named(name):
    made = CASES[name]()
    made.kind = name.split(" ")[0]
    family = family_of(made)
    if "(T)" in name:
        model = family.build(made.state)  # of one size, whatever the state dict
        family = replace(family, build=lambda state: model)
    for key in [key for key in made.state if not key.endswith("num_batches_tracked")]:
        with pytest.raises(ValueError, match=rf" (no|missing \(1\):) {re.escape(key)}\b| {re.escape(key)} is missing"):
            family.network(without(made, key))


def without(made: SimpleNamespace, key: str) -> dict:
    """The content of the file, one tensor less."""
    inside = made.content.get("state_dict", made.content)
    inside = {name: value for name, value in inside.items() if name != made.prefix + key}
    return made.content | {"state_dict": inside} if "state_dict" in made.content else inside


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda state: state | {"fc.bias": torch.full_like(state["fc.bias"], float("nan"))}, "fc.bias is not finite"),
        (lambda state: state | {"fc.bias": state["fc.bias"].to(torch.complex64)}, "fc.bias holds complex64, not float"),
        (lambda state: state | {"fc.bias": state["fc.bias"].int()}, "fc.bias holds int32, not floating point"),
        (lambda state: state | {"fc.bias": state["fc.bias"].bool()}, "fc.bias holds bool, not floating point"),
        (lambda state: state | {"bn1.num_batches_tracked": torch.tensor(0.5)}, "holds float32, not a whole number"),
        (lambda state: state | {"conv1.weight": state["conv1.weight"].to_sparse()}, "is torch.sparse_coo, not plain"),
        (lambda state: state | {"conv1.weight": torch.tensor(1.0)}, r"conv1.weight has shape \(\), not 4 dimensions"),
        (lambda state: state | {"fc.weight": torch.zeros(8, 7)}, "7 features are no square map of 12 channels"),
        (lambda state: prefixed("module.", state) | {"stray.weight": torch.ones(1)}, r"\(1\): stray.weight"),
        (lambda state: {number: value for number, value in enumerate(state.values())}, r"found a dictionary .*\(0, 1"),
        (lambda state: list(state.values()), "found a single list"),
        (lambda state: {}, "found a dictionary with 0 entries"),
        (lambda state: state["fc.bias"], "found a single Tensor"),
    ],
)
def test_damaged_file_leaves_no_folder(damage, message, tmp_path):
    torch.save(damage(arcface().content), tmp_path / "backbone.pth")
    with pytest.raises(ValueError, match=message):
        convert_checkpoint("arcface", tmp_path / "backbone.pth", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["backbone.pth"]
