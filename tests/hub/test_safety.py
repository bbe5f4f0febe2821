"""Repositories that mean harm, or are broken: refused with the reason, and nothing of them runs."""

import json
import pickle
import re

import pytest
import torch
from PIL import Image
from safetensors.torch import load, save

from difiqa_hf import DifFIQAPipeline, DifFIQARegressor, create_method
from loopback_hub import File
from toys import toy_pipeline, toy_recognizer

UNET, RECOGNIZER = "unet/diffusion_pytorch_model.safetensors", "recognizer/model.safetensors"


# what the command line turns into one line and exit code 1
CLEAR = ("ValueError", "OSError")


class Bomb:
    """A pickle of it writes a file when it is loaded."""

    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return (open, (str(self.canary), "w"))


def edited(files, path, **changes):
    """The files with keys of one JSON file changed."""
    return files | {path: json.dumps(json.loads(files[path]) | changes).encode()}


def without(files, *paths):
    return {path: content for path, content in files.items() if path not in paths}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Files of a pipeline that loads."""
    folder = tmp_path_factory.mktemp("good")
    toy_pipeline(num_repeats=1).save_pretrained(folder)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*") if path.is_file()}


@pytest.fixture(scope="module")
def cases(good, tmp_path_factory):
    """Name -> (files, what the error says; None if it loads, but must not run anything)."""
    canary = tmp_path_factory.mktemp("canary") / "executed"
    bomb = pickle.dumps(Bomb(canary))
    code = f"open({str(canary)!r}, 'w')\n".encode()
    state = load(good[RECOGNIZER])
    state.pop("fc.weight")
    sent, announced = (good[UNET][:-1] + bytes([good[UNET][-1] ^ bit]) for bit in (1, 2))
    lying = File(sent, True, announced=File(announced, True).oid)
    config = good["unet/config.json"]
    lying_config = File(config.replace(b"192", b"191"), False, announced=File(config, False).oid)
    unknown = {"model_type": "unheard_of", "auto_map": {"AutoConfig": "evil.C", "AutoModel": "evil.M"}}
    lying_map = {"AutoConfig": "evil.C", "AutoModel": "evil.M"}
    index, config = "model_index.json", "recognizer/config.json"

    def sharded(name):
        shards = {"metadata": {}, "weight_map": {"fc.weight": name}}
        return good | {"recognizer/model.safetensors.index.json": json.dumps(shards).encode()}

    def unet(module, name):
        return edited(good, index, unet=[module, name])

    pickles = {"unet/diffusion_pytorch_model.bin": bomb, "recognizer/pytorch_model.bin": bomb}
    refused = {
        "pickled-unet": (without(good, UNET) | pickles, "no safetensors.*diffusion_pytorch_model.bin may be pickles"),
        "pickled-recognizer": (without(good, RECOGNIZER) | pickles, "no safetensors.*pytorch_model.bin may be pickles"),
        "pickle-named-safetensors": (good | {RECOGNIZER: bomb}, "model.safetensors is damaged"),
        "pickled-shard": (sharded("pytorch_model.bin"), "names 'pytorch_model.bin', which is no safetensors file"),
        "wrong-hash": (good | {UNET: lying}, "safetensors is not what the repository announced"),
        "wrong-hash-of-config": (good | {"unet/config.json": lying_config}, "config.json is not what the repository"),
        "malicious-component": (unet("evil", "Evil") | {"unet/evil.py": code}, "evil"),
        "malicious-auto-map": (edited(good, config, **unknown) | {"evil.py": code}, "trust_remote_code|custom code"),
        "path-traversal": (good | {"unet/../../../../../../outside.json": b"{}"}, r"outside\.json"),
        "path-traversal-in-index": (sharded("../../../outside.safetensors"), r"names '\.\./\.\./\.\./outside"),
        "path-traversal-in-class": (unet("../../evil", "Evil"), "evil"),
        "index-is-a-list": (good | {index: b"[]"}, "must hold a JSON object, found a list"),
        "index-is-no-json": (good | {index: b"{"}, "is not JSON"),
        "other-pipeline": (edited(good, index, _class_name="StableDiffusionPipeline"), "a StableDiffusionPipeline"),
        "component-is-a-number": (edited(good, index, unet=3), "must name unet by module and class, found 3"),
        "unet-is-a-recognizer": (unet("modeling_mobilefacenet", "MobileFaceNetRecognizer"), "unet"),
        "config-is-a-list": (good | {"unet/config.json": b"[]"}, "must hold a JSON object, found a list"),
        "config-of-wrong-types": (edited(good, config, stem_width="wide"), "stem_width"),
        "config-of-other-shapes": (edited(good, config, stem_width=16), "do not fit|mismatch"),
        "truncated-unet": (good | {UNET: good[UNET][:-100]}, "is damaged"),
        "truncated-recognizer": (good | {RECOGNIZER: good[RECOGNIZER][:40]}, "is damaged"),
        "missing-tensor": (good | {RECOGNIZER: save(state, {"format": "pt"})}, r"do not fit.*fc\.weight"),
        "no-pipeline": ({"config.json": b"{}"}, "there is no model_index.json"),
    }
    harmless = {
        "pickle-beside": good | pickles,
        "malicious-pipeline": good | {"pipeline.py": code, "unet/unet_patch.py": code, "unet_patch.py": code},
        "shadowing-component": good | {"unet/difiqa_hf.models.unet_patch.py": code},
        "shadowing-auto-map": edited(good, config, auto_map=lying_map) | {"evil.py": code},
    }
    found = refused | {name: (files, None) for name, files in harmless.items()}
    return found, canary


@pytest.fixture(scope="module")
def outcome(run, loopback, cases, tmp_path_factory):
    """How every attempt to load them ended; the first repository is a good one."""
    home, face = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("face") / "face.png"
    Image.new("RGB", (112, 112), "gray").save(face)
    attempts = []
    for name, (files, _) in cases[0].items():
        loopback.put(f"evil/{name}", files)
        attempts.append(("pipeline", f"evil/{name}"))
    pickled = cases[0]["pickled-recognizer"][0].items()
    network = {path.partition("/")[2]: content for path, content in pickled if path.startswith("recognizer/")}
    loopback.put("evil/network", network)
    attempts += [("recognizer", "evil/network"), ("method", "evil/network"), ("recognizer", "evil/absent")]
    return run("attempts.py", {"attempts": attempts, "faces": [str(face)], "home": str(home)}, home), home


def test_refused_with_the_reason_and_nothing_executed(outcome, cases):
    found, home = outcome
    wrong = {}
    for name, (_, reason) in cases[0].items():
        result = found[f"pipeline evil/{name}"]
        clear = result.get("error") in CLEAR and reason and re.search(reason, result["message"], re.S)
        if not (clear if reason else "result" in result):
            wrong[name] = result
    assert not wrong
    assert not cases[1].exists(), "code of a repository was executed"
    assert not list(home.parent.rglob("outside.*")), "a file was written outside of the cache"


def test_networks_are_refused_alike(outcome):
    found, _ = outcome
    for attempt in ("recognizer evil/network", "method evil/network"):
        assert "pytorch_model.bin may be pickles" in found[attempt]["message"], found[attempt]
    absent = found["recognizer evil/absent"]
    assert absent["error"] in ("OSError", "RepositoryNotFoundError") and "evil/absent" in absent["message"]


def test_neither_code_nor_pickles_are_downloaded(outcome):
    cache = outcome[0]["cache"]
    assert {"model_index.json", "diffusion_pytorch_model.safetensors"} <= set(cache["files"])
    assert not [name for name in cache["files"] if name.endswith((".py", ".bin"))]
    assert cache["broken"] == [], "what failed its check must not stay in the cache"


def test_the_token_goes_to_the_hub_only(outcome, loopback):
    assert all(authorised for method, path, _, authorised in loopback.log if path.startswith("/api/"))
    assert not [path for method, path, _, authorised in loopback.log if path.startswith("/_lfs/") and authorised]


def test_a_folder_on_disk_is_checked_alike(good, tmp_path):
    for path, content in good.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(content)
    (tmp_path / UNET).rename(tmp_path / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(ValueError, match="may be pickles"):
        DifFIQAPipeline.from_pretrained(tmp_path)


def test_regressor_with_a_lying_class_is_refused(tmp_path):
    toy_recognizer().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="MobileFaceNetRecognizer, not a DifFIQARegressor"):
        create_method("difiqa-r", checkpoint=tmp_path)
    torch.manual_seed(0)
    DifFIQARegressor.from_embedder(toy_recognizer()).save_pretrained(tmp_path)
    assert create_method("difiqa-r", checkpoint=tmp_path).revision
