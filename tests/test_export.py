"""ONNX files: the same scores as the originals, in any batch, and nothing kept that differs."""

import pytest
import torch

from difiqa_hf import export
from difiqa_hf.cli import main
from difiqa_hf.export import export_int8, export_onnx
from difiqa_hf.methods import create_method
from difiqa_hf.methods.difiqa import DifFIQA
from difiqa_hf.models.modeling_difiqa_regressor import DifFIQARegressor
from difiqa_hf.onnx_graphs import OnnxGraph
from difiqa_hf.recognizers import embed
from toys import toy_faces, toy_pipeline, toy_recognizer

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def regressor(tmp_path_factory):
    """A folder with a toy DifFIQA(R) that has percentiles."""
    torch.manual_seed(0)
    model = DifFIQARegressor.from_embedder(toy_recognizer(), reference_quantiles=[-1.0, 0.0, 1.0])
    torch.nn.init.normal_(model.head.weight)
    folder = tmp_path_factory.mktemp("regressor")
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def exported(regressor, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "r.onnx"
    assert main(["export", f"difiqa-r={regressor}", str(path)]) == 0
    return path


def test_regressor_scores_the_same_under_its_own_name(regressor, exported):
    faces = toy_faces(5)
    original, again = (create_method(f"difiqa-r={source}") for source in (regressor, exported))
    torch.testing.assert_close(again(faces), original(faces), atol=1e-5, rtol=0)
    assert again.name == "difiqa-r" and again.percentile(0.0) == 50 and len(again.revision) == 12
    assert again.revision != original.revision and again.fingerprint != original.fingerprint
    assert again.parity == original.parity and again.kind == "regression"


def test_the_file_says_how_to_feed_it(exported):
    about = OnnxGraph(exported).about
    assert about["kind"] == "quality" and "RGB, level / 127.5 - 1" in about["pixel_values"]
    assert (
        len(about["template"]) == 5 and about["higher_is_better"] and about["reference_quantiles"] == [-1.0, 0.0, 1.0]
    )
    assert "research" in about["weights_license"]


def test_recogniser(tmp_path):
    recognizer = toy_recognizer()
    result = export_onnx(recognizer, tmp_path / "m.onnx")
    assert result.kind == "recognizer" and result.difference < 1e-5 and "wrote" in str(result)
    faces = toy_faces(3, seed=1)
    found = OnnxGraph(tmp_path / "m.onnx")(pixel_values=faces)
    with torch.no_grad():
        torch.testing.assert_close(found, embed(recognizer, faces), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("options", [{}, {"flip": False, "forward": False, "timestep": 1}])
def test_difiqa_draws_the_noise_of_the_pipeline(options, tmp_path):
    toy_pipeline(timestep=2, num_repeats=1).save_pretrained(tmp_path / "pipeline")
    original = DifFIQA(tmp_path / "pipeline", num_repeats=2, seed=3, **options)
    result = export_onnx(original, tmp_path / "d.onnx")
    assert result.kind == "difiqa" and result.difference < 1e-4
    again = create_method("difiqa", checkpoint=tmp_path / "d.onnx", seed=3, batch_size=2)
    faces = toy_faces(3)
    torch.testing.assert_close(again(faces), original(faces), atol=1e-5, rtol=0)
    assert not torch.equal(again(faces), create_method(f"difiqa={tmp_path / 'd.onnx'}", seed=4)(faces))
    with pytest.raises(ValueError, match="recogniser inside"):
        create_method(f"difiqa={tmp_path / 'd.onnx'}", recognizer=toy_recognizer())


def test_what_differs_is_not_kept(tmp_path, monkeypatch):
    before = tmp_path / "m.onnx"
    before.write_bytes(b"an older file")
    monkeypatch.setattr(export, "TOLERANCE", -1.0)
    with pytest.raises(ValueError, match="differs from its original by"):
        export_onnx(toy_recognizer(), before)
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"] and before.read_bytes() == b"an older file"


def test_what_is_no_graph_is_refused(exported, tmp_path):
    with pytest.raises(ValueError, match="norm is no network"):
        export_onnx(create_method("norm", recognizer=toy_recognizer()), tmp_path / "n.onnx")
    with pytest.raises(ValueError, match="depend on the neighbours"):
        toy_pipeline(timestep=2, variant="released").save_pretrained(tmp_path / "released")
        export_onnx(DifFIQA(tmp_path / "released"), tmp_path / "d.onnx")
    with pytest.raises(ValueError, match="difiqa-r comes from an ONNX file already"):
        export_onnx(create_method(f"difiqa-r={exported}"), tmp_path / "n.onnx")
    with pytest.raises(ValueError, match=r"one network, a [A-Za-z]+ is none"):
        export_int8(toy_recognizer(), tmp_path / "n.onnx", [tmp_path])
    with pytest.raises(ValueError, match="holds difiqa-r, not magface"):
        create_method(f"magface={exported}")
    with pytest.raises(FileNotFoundError, match="no ONNX file"):
        create_method("difiqa-r=nowhere.onnx")
    with pytest.raises(ValueError, match="cannot run on 'mps'"):
        create_method("difiqa-r", checkpoint=exported, device="mps")
    (tmp_path / "text.onnx").write_text("no graph")
    with pytest.raises(ValueError, match="no ONNX file that onnxruntime can run"):
        create_method(f"difiqa-r={tmp_path / 'text.onnx'}")
    stranger = onnx.load(exported)
    del stranger.metadata_props[:]
    onnx.save(stranger, tmp_path / "stranger.onnx")
    with pytest.raises(ValueError, match="was not written by difiqa export"):
        create_method(f"difiqa-r={tmp_path / 'stranger.onnx'}")


def test_eight_bits(regressor, tmp_path, capsys):
    from PIL import Image

    for i, face in enumerate(toy_faces(12, seed=2)):
        levels = ((face + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
        Image.fromarray(levels).save(tmp_path / f"{i:02}.png")
    (tmp_path / "broken.png").write_bytes(b"no image")
    path = tmp_path / "int8.onnx"
    assert main(["export", f"difiqa-r={regressor}", str(path), "--int8", str(tmp_path)]) == 0
    printed = capsys.readouterr()
    assert "calibrated on 6 images; on 6 others Spearman" in printed.out and "WARNING" not in printed.err
    assert "NOTE: " in printed.out and "give a few hundred faces" in printed.out
    types = {node.op_type for node in onnx.load(path).graph.node}
    assert "QuantizeLinear" in types
    faces, original = toy_faces(6, seed=5), create_method(f"difiqa-r={regressor}")
    difference = create_method(f"difiqa-r={path}")(faces) - original(faces)
    assert 0 < difference.abs().mean() < 0.5 * original(faces).std(), "rough, from six images, but no noise"
    assert OnnxGraph(path).about["kind"] == "quality", "quantising keeps what the file says of itself"
    with pytest.raises(ValueError, match="found 0 readable images"):
        export_int8(original, path, [tmp_path / "broken.png"])
    with pytest.raises(FileNotFoundError, match=r"no calibration images at .*nowhere"):
        export_int8(original, path, [tmp_path, tmp_path / "nowhere"])


def test_options_of_difiqa_are_not_for_a_recogniser(tmp_path, capsys):
    assert main(["export", "recognizer", str(tmp_path / "r.onnx"), "--num-repeats", "3"]) == 1
    assert "--num-repeats and --recognizer are for difiqa" in capsys.readouterr().err


def test_options_that_a_graph_has_not_are_named(tmp_path):
    with pytest.raises(ValueError, match="no option preset; it has"):
        create_method("difiqa", checkpoint=tmp_path / "graph.onnx", preset="fast")
