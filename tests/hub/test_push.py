"""Push: nothing twice, interrupted uploads go on, dry runs send nothing, our card goes along."""

import json

import pytest
import torch
from huggingface_hub import ModelCard

from difiqa_hf import DifFIQARegressor
from loopback_hub import PREFIX, Fault
from toys import toy_pipeline, toy_recognizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("folder")
    toy_pipeline(num_repeats=1).save_pretrained(folder)
    (folder / "optimizer.pt").write_bytes(b"not for others")
    (folder / "portrait.png").write_bytes(b"nobody's face goes up")
    return folder


@pytest.fixture
def repo(hub, request):
    return f"{hub.namespace}/{PREFIX}{request.node.name.replace('_', '-')[:60].strip('-')}"


def remote(hub, repo):
    return hub.repository(repo).files


def test_dry_run_sends_nothing_then_push_then_nothing_is_left_to_do(loopback, difiqa, folder, repo, tmp_path):
    said = difiqa(tmp_path, "push", str(folder), repo, "--dry-run")
    assert "would upload unet/diffusion_pytorch_model.safetensors" in said and "left out: portrait.png" in said
    assert ("model", repo) not in loopback.repositories and not loopback.sent()

    said = difiqa(tmp_path, "push", str(folder), repo, "--private")
    assert "uploaded pipeline.py" in said and "uploaded README.md" in said and "left out: optimizer.pt" in said
    assert loopback.repository(repo).private
    names = set(remote(loopback, repo)) - {".gitattributes"}
    assert {"pipeline.py", "unet/unet_patch.py", "modeling_mobilefacenet.py", "model_index.json", "README.md"} <= names
    assert not [name for name in names if name.endswith((".pt", ".png"))]
    card = remote(loopback, repo)["README.md"].content.decode()
    assert f'from_pretrained("{repo}"' in card and "<repository>" not in card
    assert loopback.sent() == ["PUT", "PUT", "commit"]

    before = len(loopback.log)
    said = difiqa(tmp_path, "push", str(folder), repo)
    assert "uploaded" not in said and "unchanged:" in said and loopback.sent(before) == []

    with (folder / "scheduler" / "scheduler_config.json").open("a") as file:
        file.write("\n")
    before = len(loopback.log)
    said = difiqa(tmp_path, "push", str(folder), repo)
    assert said.count("uploaded") == 1 and loopback.sent(before) == ["commit"]


def test_an_interrupted_upload_goes_on(loopback, difiqa, tmp_path, repo):
    toy_pipeline(num_repeats=1, timestep=3).save_pretrained(tmp_path / "folder", max_shard_size="20KB")
    loopback.lfs.clear()
    loopback.faults.append(Fault("/_lfs/", "error", method="POST", status=403))  # after one file has arrived
    said = difiqa(tmp_path, "push", str(tmp_path / "folder"), repo, code=1)
    assert "403" in said
    assert set(remote(loopback, repo)) == {".gitattributes"}, "nobody sees half a repository"
    arrived = set(loopback.lfs)
    assert arrived, "the fault came too early to interrupt anything"
    before = len(loopback.log)
    difiqa(tmp_path, "push", str(tmp_path / "folder"), repo)
    sent = {path.removeprefix("/_lfs/") for method, path, *_ in loopback.log[before:] if method == "PUT"}
    assert not sent & arrived, "what had arrived was sent again"
    assert "unet/diffusion_pytorch_model.safetensors.index.json" in remote(loopback, repo)


def test_shards_take_the_place_of_a_whole_file_and_leave_variants_alone(loopback, difiqa, tmp_path, repo):
    pipeline, whole = toy_pipeline(num_repeats=1), "unet/diffusion_pytorch_model.safetensors"
    pipeline.save_pretrained(tmp_path / "whole")
    pipeline.save_pretrained(tmp_path / "whole", variant="fp16")
    pipeline.save_pretrained(tmp_path / "shards", max_shard_size="20KB")
    difiqa(tmp_path, "push", str(tmp_path / "whole"), repo)
    assert f"deleted {whole}" in difiqa(tmp_path, "push", str(tmp_path / "shards"), repo)
    names = set(remote(loopback, repo))
    assert (
        whole not in names
        and f"{whole}.index.json" in names
        and "unet/diffusion_pytorch_model.fp16.safetensors" in names
    )


def test_a_push_without_permission_says_so(loopback, difiqa, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(loopback, "token", "hf_awrongtokenthatmustnotbeprinted")
    said = difiqa(tmp_path, "push", str(folder), f"{loopback.namespace}/{PREFIX}refused", code=1)
    assert "401" in said and "hf_awrong" not in said


def test_a_folder_without_anything_to_publish(difiqa, tmp_path):
    assert "holds no pipeline, network, tables" in difiqa(tmp_path, "push", str(tmp_path), "a/b", code=1)


CODE = """
import json, sys, difiqa_hf
from difiqa_hf import DifFIQAPipeline, DifFIQARegressor, FaceImageProcessor, create_method
from difiqa_hf.recognizers import load_recognizer
given = json.load(sys.stdin)
pipe = DifFIQAPipeline.from_default()
pushed = [
    pipe.push_to_hub(given["prefix"] + "default"),
    DifFIQAPipeline.from_pretrained(given["folder"]).push_to_hub(given["prefix"] + "half", variant="fp16"),
    load_recognizer(given["recognizer"]).push_to_hub(given["prefix"] + "recognizer", max_shard_size="5KB"),
    DifFIQARegressor.from_pretrained(given["regressor"]).push_to_hub(given["prefix"] + "regressor"),
    create_method("difiqa-r").push_to_hub(given["prefix"] + "method"),
    create_method("difiqa-r").push_to_hub(given["prefix"] + "method"),
]
FaceImageProcessor().push_to_hub(given["prefix"] + "regressor")
print(json.dumps([[p.repo_id, sorted(p.uploaded), len(p.unchanged)] for p in pushed]))
"""


def test_push_to_hub_of_every_class(loopback, run, folder, tmp_path):
    toy_recognizer().save_pretrained(tmp_path / "recognizer")
    torch.manual_seed(0)
    DifFIQARegressor.from_embedder(toy_recognizer()).save_pretrained(tmp_path / "regressor")
    (tmp_path / "push.py").write_text(CODE)
    given = {"prefix": f"{loopback.namespace}/{PREFIX}class-", "folder": str(folder)}
    given |= {name: str(tmp_path / name) for name in ("recognizer", "regressor")}
    found = run(tmp_path / "push.py", given, tmp_path)
    pushed = {repo.rpartition("-")[2]: (files, unchanged) for repo, files, unchanged in found}
    assert "unet/diffusion_pytorch_model.fp16.safetensors" in pushed["half"][0]
    assert len([name for name in pushed["recognizer"][0] if name.endswith(".safetensors")]) > 1
    assert {"modeling_difiqa_regressor.py", "modeling_mobilefacenet.py", "README.md"} <= set(pushed["regressor"][0])
    assert pushed["method"][0] == [] and pushed["method"][1] > 3, "the second push had nothing to send"

    # The card of the shipped checkpoint goes along, since its weights are those; other weights get a card of their own.
    cards = {
        name: remote(loopback, f"{given['prefix']}{name}")["README.md"].content.decode()
        for name in ("default", "method", "half", "regressor")
    }
    assert "# DifFIQA, small" in cards["default"] and "# DifFIQA(R), small" in cards["method"]
    assert "# DifFIQAPipeline" in cards["half"] and "Not stated" in cards["half"]
    assert "# DifFIQARegressor" in cards["regressor"], "the processor keeps the card that is there"
    for name, text in cards.items():
        assert ModelCard(text).data.library_name == ("transformers" if name in ("method", "regressor") else "diffusers")
    config = json.loads(remote(loopback, f"{given['prefix']}regressor")["preprocessor_config.json"].content)
    assert config["image_processor_type"] == "FaceImageProcessor"
