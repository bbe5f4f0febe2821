"""The four released recognisers of ../shared/weights: strict loading, golden embeddings, accuracy on LFW."""

import re
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import AutoImageProcessor

from difiqa_hf.conversion import convert_checkpoint
from difiqa_hf.conversion.recognizers import RECOGNIZER, convert_recognizer
from difiqa_hf.recognizers import embed, load_recognizer

# name -> (parameters, accuracy in percent on LFW's ten folds)
RELEASED = {
    "edgeface_xs": (2_242_620, 99.53),
    "mobilefacenet_webface600k": (3_399_424, 99.47),
    "mobilefacenet_relu6_ms1m": (999_936, 99.37),
    "mobilefacenet_casia_112x96": (999_680, 99.02),
}


@pytest.fixture(params=RELEASED)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def archive(shared):
    with zipfile.ZipFile(shared / "data" / "lfw_aligned112.zip") as archive:
        yield archive


def read(archive: zipfile.ZipFile, path: str) -> torch.Tensor:
    """Pixel values (3, 112, 112) of an LFW image."""
    with archive.open(f"lfw/{path}") as file:
        pixels = np.asarray(Image.open(file).convert("RGB"))
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1) / 127.5 - 1


@pytest.fixture(scope="module")
def golden(shared, archive):
    """Pixel values (16, 3, 112, 112) and the expected embeddings by name."""
    arrays = np.load(shared / "golden" / "recognizers" / "lfw_embeddings.npz")
    return torch.stack([read(archive, path) for path in arrays["files"]]), arrays


@pytest.fixture
def recognizer(shared, name):
    return load_recognizer(shared / "weights" / f"{name}.safetensors")


def test_golden_embeddings(recognizer, name, golden):
    pixel_values, expected = golden
    with torch.no_grad():
        cosine = F.cosine_similarity(embed(recognizer, pixel_values), torch.from_numpy(expected[name]))
    assert len(cosine) == 16 and cosine.min() > 0.9999, cosine
    assert recognizer.num_parameters() == RELEASED[name][0]


def test_round_trip_is_bit_exact(recognizer, golden, tmp_path):
    recognizer.save_pretrained(tmp_path)
    with torch.no_grad():
        assert torch.equal(embed(load_recognizer(tmp_path), golden[0][:2]), embed(recognizer, golden[0][:2]))


def test_wrong_color_order_hurts(recognizer, golden):
    pixel_values, _ = golden
    with torch.no_grad():
        right = embed(recognizer, pixel_values)
        recognizer.config.color_order = "bgr"
        wrong = embed(recognizer, pixel_values)
    assert F.cosine_similarity(right, wrong).max() < 0.99  # .85 to .98, where the tolerance of a conversion is .9999


@pytest.mark.parametrize(
    "wrap", [dict, lambda state: {"net_state_dict": state}, lambda state: {"model": state, "step": 1}]
)
def test_what_torch_save_wrote_converts_too(shared, name, wrap, golden, tmp_path):
    """The authors' own format, bare or within a training checkpoint, and wrapped for several GPUs."""
    state = load_file(shared / "weights" / f"{name}.safetensors")
    torch.save(wrap({f"module.{key}": value for key, value in state.items()}), tmp_path / "068.ckpt")
    result = convert_checkpoint("recognizer", tmp_path / "068.ckpt", tmp_path / "out")
    assert result.probe_difference < 1e-5 and result.source_sha256 in (tmp_path / "out" / "README.md").read_text()
    original = load_recognizer(shared / "weights" / f"{name}.safetensors")
    with torch.no_grad():
        assert torch.equal(embed(load_recognizer(tmp_path / "out"), golden[0][:2]), embed(original, golden[0][:2]))


def test_every_tensor_of_the_file_arrives(shared, name):
    """There by value, numbered tensors of which each appears in the result exactly once; and back."""
    state = load_file(shared / "weights" / f"{name}.safetensors")
    family = RECOGNIZER.family_of(state)
    numbered = {key: torch.full(value.shape, float(i + 1)) for i, (key, value) in enumerate(state.items())}
    translated = family.translate(numbered)
    arrived = [value.flatten()[0].item() for value in translated.values()]
    assert sorted(number for number in arrived if number) == [i + 1 for i in range(len(state))]
    back = family.restore(translated)
    assert back.keys() == state.keys() and all(torch.equal(back[key], numbered[key]) for key in back)


def test_input_contract(shared, name, tmp_path):
    """Each network's colour order and range are in its configuration; the processor's are always canonical."""
    file = shared / "weights" / f"{name}.safetensors"
    result = convert_checkpoint("recognizer", file, tmp_path / "out")
    assert (result.tensors, result.tensor_difference) == (len(load_file(file)), 0) and result.probe_difference < 1e-5
    config = load_recognizer(tmp_path / "out").config
    mean, std = {
        "mobilefacenet_relu6_ms1m": ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375]),
        "mobilefacenet_casia_112x96": ([127.5] * 3, [128.0] * 3),
    }.get(name, ([127.5] * 3, [127.5] * 3))
    assert config.color_order == "rgb" and config.crop == ([0, 8, 112, 96] if "112x96" in name else None)
    assert list(config.image_mean) == pytest.approx(mean) and list(config.image_std) == pytest.approx(std)
    processor = AutoImageProcessor.from_pretrained(tmp_path / "out")
    assert (processor.color_order, processor.size) == ("rgb", {"height": 112, "width": 112})


def test_every_missing_tensor_is_named(shared, name):
    state = load_file(shared / "weights" / f"{name}.safetensors")
    family = RECOGNIZER.family_of(state)
    model = family.build(state)  # of one size, whatever the state dict
    family = replace(family, build=lambda state: model)
    for key in [key for key in state if not key.endswith("num_batches_tracked")]:
        with pytest.raises(ValueError, match=rf" (no|missing \(1\):) {re.escape(key)}\b"):
            family.network({other: value for other, value in state.items() if other != key})


@pytest.mark.parametrize("change", ["missing", "unexpected", "shape"])
def test_altered_file_is_refused(shared, name, change, tmp_path):
    state = load_file(shared / "weights" / f"{name}.safetensors")
    key = next(key for key in state if key.endswith("0.weight"))
    if change == "missing":
        del state[key]
    elif change == "unexpected":
        state["surprise.weight"] = torch.zeros(1)
    else:
        state[key] = torch.zeros(1, 2, 3)
    save_file(state, tmp_path / "altered.safetensors")
    with pytest.raises(ValueError, match=r"altered\.safetensors: this looks like .* but does not fit") as error:
        convert_recognizer(tmp_path / "altered.safetensors")
    found = {"missing": f"missing (1): {key}", "unexpected": "not of this network (1): surprise.weight"}
    assert found.get(change, f"{key} has shape (1, 2, 3), not (") in str(error.value)


def test_unknown_file_is_named_with_its_keys(tmp_path):
    save_file({"bert.embeddings.weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"other\.safetensors: this is not one .* found 1 tensors \(bert\.emb"):
        convert_recognizer(tmp_path / "other.safetensors")


def lfw_pairs(text: str) -> tuple[list[tuple[str, str]], np.ndarray]:
    """Pairs of paths and whether they are genuine, in the order of pairs.txt: ten folds of 300 and 300."""
    pairs, genuine = [], []
    for line in text.splitlines()[1:]:
        fields = line.split()
        first, second = (fields[0], fields[1]), (fields[-2] if len(fields) == 4 else fields[0], fields[-1])
        pairs.append(tuple(f"{person}/{person}_{int(number):04d}.jpg" for person, number in (first, second)))
        genuine.append(len(fields) == 3)
    return pairs, np.array(genuine)


def ten_fold_accuracy(similarity: np.ndarray, genuine: np.ndarray) -> float:
    """LFW's protocol: for each fold of 600 the threshold that is best on the other nine; mean accuracy in percent."""
    thresholds = np.linspace(similarity.min(), similarity.max(), 4001)
    correct = (similarity[:, None] >= thresholds) == genuine[:, None]
    folds = correct.reshape(10, 600, -1).mean(axis=1)
    best = [(folds.sum(axis=0) - folds[i]).argmax() for i in range(10)]
    return 100 * float(np.mean([folds[i, best[i]] for i in range(10)]))


@pytest.mark.slow
def test_lfw_accuracy(recognizer, name, shared, archive):
    pairs, genuine = lfw_pairs(archive.read("pairs.txt").decode())
    paths = sorted({path for pair in pairs for path in pair})
    embeddings = []
    with torch.no_grad():
        for start in range(0, len(paths), 32):
            batch = torch.stack([read(archive, path) for path in paths[start : start + 32]])
            embeddings.append(F.normalize(embed(recognizer, batch), dim=1))
    rows = {path: row for path, row in zip(paths, torch.cat(embeddings), strict=True)}
    similarity = np.array([float(rows[first] @ rows[second]) for first, second in pairs])
    accuracy = ten_fold_accuracy(similarity, genuine)
    print(f"{name}: LFW {accuracy:.2f} %")
    assert accuracy == pytest.approx(RELEASED[name][1], abs=0.1)
