"""The weights that ship: complete, small, loadable in a fresh offline process, with cards rendered from data."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from difiqa_hf import DifFIQAPipeline, create_method
from difiqa_hf.demo.versions import make_versions
from difiqa_hf.image_processing import FaceImageProcessor

ROOT = Path(__file__).parents[1]
CHECKPOINTS = ROOT / "src" / "difiqa_hf" / "checkpoints"


@pytest.fixture(scope="module")
def portrait():
    return make_versions()[0].image


def test_weights_are_half_precision_and_at_most_15_mb():
    files = list(CHECKPOINTS.rglob("*.safetensors"))
    assert len(files) == 3
    assert sum(file.stat().st_size for file in files) <= 15e6
    for file in files:
        assert {v.dtype for v in load_file(file).values()} <= {torch.float16, torch.int64}


@pytest.mark.parametrize("name", ["_name_or_path", "auto_map"])
def test_configurations_name_no_folder_of_the_machine_that_made_them_and_no_code(name):
    assert not [path for path in CHECKPOINTS.rglob("*.json") if name in path.read_text()]


def test_default_pipeline_scores_the_portrait(portrait):
    pipeline = DifFIQAPipeline.from_default()
    pipeline.set_progress_bar_config(disable=True)
    out = pipeline([portrait], num_repeats=2)
    assert pipeline.unet.dtype == pipeline.recognizer.dtype == torch.float32
    assert 0.8 < out.quality.item() < 1
    assert out.terms[0, 1] > 0.98, "restoring a clean face must keep its identity"
    assert sum(p.numel() for p in pipeline.recognizer.parameters()) <= 1.3e6


@pytest.mark.parametrize("name", ["difiqa", "difiqa-r"])
def test_percentiles_are_known(name):
    method = create_method(name)
    assert method.percentile(-2.0) == 0 and method.percentile(9.0) == 100
    assert len(method.revision) == 12


def test_unusable_faces_score_below_usable_ones():
    """A face shifted out of its frame, turned by 90 degrees or drowned in noise is worse than the face itself."""
    versions = {(v.kind, v.step): v.image for v in make_versions()}
    names = [("original", 0), ("misalignment", 3), ("rotation", 3), ("noise", 3)]
    pixel_values = FaceImageProcessor()([versions[name] for name in names], return_tensors="pt")["pixel_values"]
    quality = create_method("difiqa", num_repeats=1)(pixel_values)
    assert (quality[1:] < quality[0]).all(), dict(zip(names, quality.tolist(), strict=True))


def test_score_in_a_fresh_offline_process(portrait, tmp_path):
    portrait.save(tmp_path / "face.png")
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    code = "import sys; from difiqa_hf.cli import main; sys.exit(main(sys.argv[1:]))"
    arguments = ["score", str(tmp_path / "face.png"), "-o", str(tmp_path / "scores.csv")]
    subprocess.run([sys.executable, "-c", code, *arguments], env=environment, check=True, timeout=300)
    with (tmp_path / "scores.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["status"] == "ok" and row["method"] == "difiqa-r"
    assert float(row["quality"]) and 0 <= float(row["percentile"]) <= 100


def test_cards_and_readme_are_as_rendered():
    result = subprocess.run(
        [sys.executable, str(ROOT / "model_cards" / "render.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
