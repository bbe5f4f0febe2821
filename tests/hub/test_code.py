"""The code that goes to the Hub: generated from the sources, complete, and free of the package."""

import ast
import json
import sys
from pathlib import Path

import pytest
from diffusers.utils.dynamic_modules_utils import get_relative_imports

import difiqa_hf
from difiqa_hf import DifFIQAPipeline, DifFIQARegressor
from difiqa_hf.hub.code import add_code, package_sources, remove_code, standalone_source
from toys import toy_pipeline, toy_recognizer

ROOT = Path(difiqa_hf.__file__).parent


def imported(text):
    """Top-level packages that a file imports when it is imported itself."""
    nodes = [node for node in ast.parse(text).body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = [node.module if isinstance(node, ast.ImportFrom) else node.names[0].name for node in nodes]
    return {name.partition(".")[0] for name in names}


def test_every_class_that_a_repository_may_name_is_known_and_stands_alone():
    known = package_sources()
    networks = {name for name, module in difiqa_hf._PUBLIC.items() if module.startswith("models.")}
    assert networks | {"DifFIQAPipeline", "FaceImageProcessor"} <= known.keys()
    allowed = sys.stdlib_module_names | {"diffusers", "huggingface_hub", "numpy", "PIL", "torch", "transformers"}
    for file in {source.file for source in known.values()}:
        text = standalone_source(file)
        assert imported(text) <= allowed, file
        assert not get_relative_imports(file), "transformers and diffusers would look for more files"
        assert "from difiqa_hf" not in text and "import difiqa_hf" not in text, file


def test_generating_from_what_was_generated_changes_nothing(tmp_path):
    copy = tmp_path / "pipeline.py"
    copy.write_text(standalone_source(ROOT / "pipeline_difiqa.py"))
    assert standalone_source(copy) == copy.read_text()


def test_what_cannot_be_inlined_is_an_error(tmp_path):
    (tmp_path / "a.py").write_text("from difiqa_hf import outputs\n")
    with pytest.raises(ValueError, match="import names from a module"):
        standalone_source(tmp_path / "a.py")
    (tmp_path / "b.py").write_text("from difiqa_hf.diffusion import restore\ndef posterior(): pass\n")
    with pytest.raises(ValueError, match=r"posterior is defined in diffusion.py and in b.py"):
        standalone_source(tmp_path / "b.py")


def test_code_can_be_taken_out_and_put_back(tmp_path):
    toy_pipeline().save_pretrained(tmp_path)
    texts = {path: path.read_text() for path in tmp_path.rglob("*.py")}
    assert {path.relative_to(tmp_path).as_posix() for path in texts} == {
        "pipeline.py", "image_processing.py", "image_processor/image_processing.py", "modeling_mobilefacenet.py",
        "recognizer/modeling_mobilefacenet.py", "unet/unet_patch.py",
    }  # fmt: skip
    remove_code(tmp_path)
    assert not list(tmp_path.rglob("*.py"))
    assert not [path for path in tmp_path.rglob("*.json") if "auto_map" in path.read_text()], "it names what is gone"
    add_code(tmp_path)
    assert {path: path.read_text() for path in texts} == texts
    assert add_code(tmp_path) == [], "complete already"


def test_composite_networks_bring_their_backbone(tmp_path):
    DifFIQARegressor.from_embedder(toy_recognizer()).save_pretrained(tmp_path)
    text = (tmp_path / "modeling_difiqa_regressor.py").read_text()
    assert "\nfrom .modeling_mobilefacenet import MobileFaceNetRecognizer" in text
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["auto_map"] == {
        "AutoConfig": "modeling_difiqa_regressor.DifFIQARegressorConfig",
        "AutoModel": "modeling_difiqa_regressor.DifFIQARegressor",
    }
    assert (tmp_path / "modeling_mobilefacenet.py").exists()


def test_no_configuration_names_a_folder_of_this_machine(tmp_path):
    toy_pipeline().save_pretrained(tmp_path / "first")
    DifFIQAPipeline.from_pretrained(tmp_path / "first").save_pretrained(tmp_path / "second")
    assert not [path for path in (tmp_path / "second").rglob("*.json") if str(tmp_path) in path.read_text()]
