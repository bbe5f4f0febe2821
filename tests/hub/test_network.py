"""A network that fails: downloads go on where they stopped, or fail with the reason; cached files are always whole."""

import pytest
from PIL import Image

from loopback_hub import Fault
from toys import toy_pipeline

UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def repository(loopback, tmp_path_factory):
    """put(name, size) -> a new repository with the same pipeline, the path of its weights, of at least `size` bytes."""
    folder, face = tmp_path_factory.mktemp("good"), tmp_path_factory.mktemp("face") / "face.png"
    toy_pipeline(num_repeats=1).save_pretrained(folder)
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*") if path.is_file()}
    Image.new("RGB", (112, 112), "gray").save(face)

    def put(name, size=0):
        # spaces after the header make other bytes, no other repository's, of the same weights
        length = int.from_bytes(files[UNET][:8], "little")
        header = files[UNET][8 : 8 + length] + b" " * (size + 8 * len(name))
        content = len(header).to_bytes(8, "little") + header + files[UNET][8 + length :]
        loopback.put(f"net/{name}", files | {UNET: content})
        return rf"/_lfs/{loopback.repository(f'net/{name}').files[UNET].oid}"

    return put, str(face)


def attempt(run, home, face, *names, **environment):
    arguments = {"attempts": [("pipeline", f"net/{name}") for name in names], "faces": [face], "home": str(home)}
    return run("attempts.py", arguments, home, **environment)


def test_downloads_resume_or_fail_clearly(run, loopback, repository, tmp_path):
    put, face = repository
    paths = {name: put(name) for name in ("fine", "slow123", "stalled", "down1", "listing-down", "lost-for-good")}
    # large ones, because huggingface_hub keeps what has arrived in pieces of 10 MB
    paths |= {name: put(name, size=40 * 2**20) for name in ("cut", "reset1", "always-reset")}
    loopback.faults += [
        Fault(paths["cut"], "cut"),
        Fault(paths["reset1"], "reset"),
        Fault(paths["slow123"], "slow"),
        Fault(paths["stalled"], "stall"),
        Fault(paths["down1"], "error", status=500),
        Fault("/api/models/net/listing-down", "error", status=521, times=99),  # 503: huggingface_hub waits 23 s first
        Fault(paths["lost-for-good"], "error", status=502, times=99),
        Fault(paths["always-reset"], "reset", times=99),
    ]
    found = attempt(run, tmp_path, face, *paths, HF_HUB_DOWNLOAD_TIMEOUT="1", HF_HUB_ETAG_TIMEOUT="5")
    fine = found["pipeline net/fine"]["result"]
    for name in ("cut", "reset1", "slow123", "stalled"):
        assert found[f"pipeline net/{name}"].get("result") == fine, found[f"pipeline net/{name}"]
    first, second = [ranges for method, path, ranges, _ in loopback.log if (method, path) == ("GET", paths["cut"])]
    assert first == "" and int(second.removeprefix("bytes=").removesuffix("-")) >= 10 * 2**20, "did not resume"
    reasons = {"down1": "500", "lost-for-good": "502", "listing-down": "521", "always-reset": "broke 3 times"}
    for name, reason in reasons.items():
        assert reason in found[f"pipeline net/{name}"]["message"], found[f"pipeline net/{name}"]
    assert found["cache"]["broken"] == []

    # What failed: offline it is still refused, not half loaded; once the server is back it loads.
    loopback.faults.clear()
    offline = attempt(run, tmp_path, face, "fine", "lost-for-good", HF_HUB_OFFLINE="1")
    assert offline["pipeline net/fine"]["result"] == fine
    assert "lost-for-good" in offline["pipeline net/lost-for-good"]["message"]
    again = attempt(run, tmp_path, face, *reasons)
    assert {found["result"][0] for name, found in again.items() if name != "cache"} == set(fine)
    assert again["cache"]["broken"] == []
