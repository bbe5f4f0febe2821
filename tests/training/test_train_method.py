"""Every trainable method, from folders of made-up faces to a checkpoint that scores."""

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from PIL import Image
from safetensors.torch import load_file

from difiqa_hf.methods import create_method
from toys import toy_faces, toy_recognizer

TRAINING = Path(__file__).parents[2] / "training"
sys.path.insert(0, str(TRAINING))
import train_method  # noqa: E402
from method_objectives import OBJECTIVES, Margin  # noqa: E402
from people import left_out, read_people  # noqa: E402
from start import RunStopped  # noqa: E402

PEOPLE = {"anna": 4, "bert": 3, "carl": 4, "only": 1, "overlap": 2}


@pytest.fixture(autouse=True)
def _precision_is_free():
    """accelerate settles it once a process."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Faces of five people in a folder `pool`, the list of those to leave out, a backbone."""
    root = tmp_path_factory.mktemp("training")
    faces = iter(toy_faces(sum(PEOPLE.values())))
    for person, count in PEOPLE.items():
        (root / "pool" / person).mkdir(parents=True)
        for i in range(count):
            levels = ((next(faces) + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0)
            Image.fromarray(levels.numpy()).save(root / "pool" / person / f"{i}.png")
    (root / "overlap.json").write_text(json.dumps({"about": "text", "lfw": ["pool/overlap"]}))
    toy_recognizer().save_pretrained(root / "backbone")
    return root


def arguments(root, output, method, *more):
    return ["--method", method, "--data", str(root / "pool"), "--leave_out", str(root / "overlap.json"),
            "--backbone", str(root / "backbone"), "--output_dir", str(output), "--cache_dir", str(root / "cache"),
            "--epochs", "2", *more]  # fmt: skip


def weights(output):
    return load_file(output / "model" / "model.safetensors")


@pytest.mark.parametrize("method", OBJECTIVES)
def test_trains_to_a_checkpoint_that_scores(method, root, tmp_path, capsys):
    train_method.main(arguments(root, tmp_path / "whole", method))
    printed = capsys.readouterr().out
    assert "11 images of 3 people; left out 1 people of --leave_out, 1 with one image" in printed
    log = [json.loads(line) for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in log] == [1, 2] and log[0]["loss"] != log[1]["loss"]
    result = json.loads((tmp_path / "whole" / "result.json").read_text())
    assert result["num_people"] == 3 and result["recipe"]["epochs"] == 2 and result["steps"] == 2
    scorer = create_method(f"{method}={tmp_path / 'whole' / 'model'}")
    assert scorer.revision == result["revisions"]["network"] and scorer(toy_faces(2)).isfinite().all()
    other = "pcnet" if method != "pcnet" else "sdd-fiqa"
    with pytest.raises(ValueError, match=f"was trained for {method}, not for {other}: use method {method}"):
        create_method(f"{other}={tmp_path / 'whole' / 'model'}")
    with pytest.raises(ValueError, match=f"was trained for {method}, not for {other}"):
        create_method(other, checkpoint=scorer.model)

    # stopped after the first step and started again: the same weights, bit for bit
    train_method.main(arguments(root, tmp_path / "cut", method, "--max_train_steps", "1"))
    assert json.loads((tmp_path / "cut" / "last_checkpoint.json").read_text())["step"] == 1
    assert any(
        not torch.equal(value, weights(tmp_path / "whole")[key]) for key, value in weights(tmp_path / "cut").items()
    )
    train_method.main(arguments(root, tmp_path / "cut", method))
    whole, cut = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert whole.keys() == cut.keys() and all(torch.equal(whole[key], cut[key]) for key in whole)


def start(root, output, *more, launcher=()):
    command = [sys.executable, *launcher, str(TRAINING / "train_method.py"), *arguments(root, output, "cr-fiqa", *more)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def test_killed_and_started_again_ends_with_the_same_weights(root, tmp_path):
    more = ("--epochs", "9", "--checkpointing_steps", "2")
    train_method.main(arguments(root, tmp_path / "whole", "cr-fiqa", *more))
    process, marker = start(root, tmp_path / "cut", *more), tmp_path / "cut" / "last_checkpoint.json"
    deadline = time.monotonic() + 200
    while not marker.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert json.loads(marker.read_text())["step"] in (2, 4, 6, 8, 9)
    train_method.main(arguments(root, tmp_path / "cut", "cr-fiqa", *more))
    whole, cut = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert all(torch.equal(whole[key], cut[key]) for key in whole)
    with pytest.raises(ValueError, match=r"was started with other settings \(seed: 0 -> 1\)"):
        train_method.main(arguments(root, tmp_path / "cut", "cr-fiqa", *more, "--seed", "1"))


def test_two_processes_share_every_batch(root, tmp_path):
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    process = start(root, tmp_path / "out", launcher=launcher)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors[-2000:]
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["num_processes"] == 2 and result["steps"] == 2
    assert create_method(f"cr-fiqa={tmp_path / 'out' / 'model'}")(toy_faces(2)).isfinite().all()


def test_presets_belong_to_methods():
    assert {name.removesuffix("-small") for name in train_method.PRESETS} == set(OBJECTIVES)
    with pytest.raises(ValueError, match="preset pfe is not of method pcnet"):
        train_method.main(["--method", "pcnet", "--preset", "pfe", "--data", "x", "--output_dir", "y"])


def test_learning_rates():
    small, drops = train_method.PRESETS["pcnet-small"], train_method.PRESETS["sdd-fiqa"]
    assert train_method.rate(small, 5, 100) == pytest.approx(small["lr"], rel=0.02)  # warmed up
    assert train_method.rate(small, 0, 100) < small["lr"] / 4 > train_method.rate(small, 99, 100)
    rates = [train_method.rate(drops, step, 100) for step in (0, 24, 25, 50)]
    assert rates == pytest.approx([1e-4, 1e-4, 1e-5, 1e-6])


def test_unknown_options_are_refused(root, tmp_path):
    with pytest.raises(ValueError, match=r"magface does not take {'margin': 1}: .*see method_objectives.py"):
        train_method.main(arguments(root, tmp_path, "magface", "--options", '{"margin": 1}'))
    with pytest.raises(ValueError, match=r"faceqgen does not take {.*'widths': 3.*see method_objectives.py"):
        train_method.main(arguments(root, tmp_path / "other", "faceqgen", "--options", '{"widths": 3}'))


def test_a_loss_that_is_not_finite_says_what_is_left_and_what_helps(root, tmp_path):
    more = ("--options", '{"regulariser": NaN}')
    with pytest.raises(RunStopped, match="the loss of step 1 is nan; no checkpoint was written yet"):
        train_method.main(arguments(root, tmp_path, "magface", *more))


def test_people_of_zips_are_left_out(root, tmp_path):
    with zipfile.ZipFile(tmp_path / "train_pool.zip", "w") as archive:
        for path in sorted((root / "pool").rglob("*.png")):
            archive.write(path, f"pool/{path.parent.name}/{path.name}")
    (tmp_path / "overlap.json").write_text(json.dumps({"lfw": {"train_pool/anna": {"why": "name"}, "else/bert": {}}}))
    found = read_people([str(tmp_path / "train_pool.zip")], tmp_path / "overlap.json")
    assert [Path(name).name for name in found.names] == ["bert", "carl", "overlap"]
    assert len(found.images) == 9 and found.identities.bincount().tolist() == [3, 4, 2]


def test_the_real_list_is_understood(shared):
    people, sources = set(), ("train_celeba", "train_glint24", "train_pins")
    for source in sources:
        with zipfile.ZipFile(shared / "data" / f"{source}.zip") as archive:
            people |= {str(Path(f"{source}.zip", name).parent) for name in archive.namelist() if name.endswith(".jpg")}
    overlap = json.loads((shared / "data" / "overlap.json").read_text())
    listed = {person for pool in ("lfw", "cfp") for person in overlap[pool] if person.startswith(sources)}
    assert len(left_out(shared / "data" / "overlap.json", people)) == len(listed) == 63


def test_a_list_that_names_nobody_is_refused(root, tmp_path):
    (tmp_path / "overlap.json").write_text(json.dumps({"about": "text", "lfw": ["train/anna"]}))
    with pytest.raises(
        ValueError, match=r"none of the 1 people in .*\(train/anna, …\) is among the 5 .*\(pool/anna, …\)"
    ):
        read_people([str(root / "pool")], tmp_path / "overlap.json")
    (tmp_path / "overlap.json").write_text("[]")
    with pytest.raises(ValueError, match=r"overlap\.json must be a JSON object of lists, found a list"):
        read_people([str(root / "pool")], tmp_path / "overlap.json")


def test_too_few_people_are_refused(root):
    with pytest.raises(ValueError, match=r"1 of 1 people remain \(two images each"):
        read_people([str(root / "pool" / "anna")])


def test_batches_hold_groups_of_people():
    identities = torch.tensor([0] * 5 + [1] * 3 + [2] * 8)
    generator = torch.Generator().manual_seed(0)
    for rows in train_method.batches(identities, 2, 4, generator):
        groups = identities[rows].unique_consecutive(return_counts=True)[1]
        assert len(rows) <= 8 and groups.min() >= 2
    assert sorted(torch.cat(train_method.batches(identities, 16, 1, generator)).tolist()) == list(range(16))


def test_processes_share_the_groups_of_a_batch():
    identities = torch.arange(8).repeat_interleave(4)
    whole, *shares = (
        train_method.batches(identities, 4, 4, torch.Generator().manual_seed(0), *share)
        for share in ((), (0, 2), (1, 2))
    )
    for batch, first, second in zip(whole, *shares, strict=True):
        assert sorted(batch.tolist()) == sorted(torch.cat([first, second]).tolist())
        assert all(
            identities[part].unique_consecutive(return_counts=True)[1].tolist() == [4, 4] for part in (first, second)
        )
    with pytest.raises(ValueError, match="3 processes share batches of 4 people, two each are needed"):
        train_method.batches(identities, 4, 4, torch.Generator(), 0, 3)


def test_margin_is_arcfaces():
    torch.manual_seed(0)
    head, x, classes = Margin(torch.randn(4, 3), scale=2.0), torch.randn(5, 3), torch.tensor([0, 1, 2, 3, 0])
    cosine = torch.nn.functional.cosine_similarity(x[:, None], head.centres[None], dim=-1)
    logits = 2 * cosine
    for i, own in enumerate(classes):
        logits[i, own] = 2 * torch.cos(torch.arccos(cosine[i, own]) + 0.5)
    expected = torch.nn.functional.cross_entropy(logits, classes)
    torch.testing.assert_close(head(x, classes, 0.5), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("method", "options", "said"),
    [
        ("lightqnet", '{"width": "x"}', "lightqnet does not take .*see method_objectives"),
        ("lightqnet", '{"distillation": "x"}', "lightqnet takes a float as distillation, found 'x'"),
        ("lightqnet", '{"hard": 1}', "lightqnet takes a bool as hard, found 1"),
        ("magface", '{"regulariser": true}', "magface takes a float as regulariser, found True"),
    ],
)
def test_options_of_another_type_are_refused(root, tmp_path, method, options, said):
    with pytest.raises(ValueError, match=said):
        train_method.main(arguments(root, tmp_path, method, "--options", options))


def test_options_are_an_object(root, tmp_path, capsys):
    with pytest.raises(SystemExit):
        train_method.main(arguments(root, tmp_path, "magface", "--options", "[1]"))
    assert "must be an object such as" in capsys.readouterr().err


def test_a_shorter_run_in_the_folder_of_a_longer_one_changes_nothing(root, tmp_path):
    train_method.main(arguments(root, tmp_path, "pcnet"))
    before = json.loads((tmp_path / "result.json").read_text())
    train_method.main(arguments(root, tmp_path, "pcnet", "--max_train_steps", "1"))
    assert json.loads((tmp_path / "result.json").read_text()) == before and before["steps"] == 2


def test_float16_on_a_cpu_is_refused(root, tmp_path):
    with pytest.raises(ValueError, match="fp16 needs an accelerator, this is a CPU"):
        train_method.main(arguments(root, tmp_path, "pcnet", "--mixed_precision", "fp16"))


@pytest.mark.parametrize("method", ["magface", "cr-fiqa"])
def test_margins_learn_in_bfloat16(root, tmp_path, method):
    train_method.main(arguments(root, tmp_path, method, "--mixed_precision", "bf16"))
    assert all(value.isfinite().all() for value in weights(tmp_path).values())


def test_the_margin_at_a_class_centre_has_a_slope_in_bfloat16():
    margin, embeddings = Margin(torch.eye(8)), torch.eye(8).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        margin(embeddings, torch.arange(8), 0.5).backward()
    assert embeddings.grad.isfinite().all() and margin.centres.grad.isfinite().all()
