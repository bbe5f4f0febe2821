"""DDPM training: killed and restarted, on broken input, on a full disk, and what its options do."""

import io
import json
import resource
from argparse import Namespace

import datasets
import pytest
import torch
from accelerate import Accelerator
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.state import AcceleratorState, PartialState
from launching import TRAINING, kill_when, ok, run, write_faces
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from toys import toy_faces, toy_recognizer

import train_difiqa_ddpm as script  # isort: skip
from images import HubImages, hold_out  # isort: skip
from loop import check_gradient, continue_log, publish  # isort: skip
from start import RunStopped  # isort: skip
from validate_ddpm import cosine_scheduler, psnr, sample_grid, validate  # isort: skip

FLAGS = ["--model", "toy", "--train_batch_size", "2", "--checkpointing_steps", "3", "--dataloader_num_workers", "0",
         "--ema_every", "2"]  # fmt: skip


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    return write_faces(tmp_path_factory.mktemp("data") / "faces", 6)


@pytest.fixture
def train(faces):
    """Run the script in this process."""

    def start(output, *flags, data=faces):
        AcceleratorState._reset_state(reset_partial_state=True)
        PartialState._reset_state()
        script.main(["--train_data", str(data), "--output_dir", str(output), *FLAGS, *map(str, flags)])

    yield start
    AcceleratorState._reset_state(reset_partial_state=True)


def weights(output, name="unet"):
    return load_file(output / name / "diffusion_pytorch_model.safetensors")


def assert_same_run(a, b):
    """Bit for bit: averaged and raw weights, and the log."""
    for name in ("unet", "unet_raw"):
        expected, found = weights(a, name), weights(b, name)
        assert all(torch.equal(expected[key], found[key]) for key in expected | found)
    assert (a / "log.jsonl").read_text() == (b / "log.jsonl").read_text()


def marker(output) -> dict:
    return json.loads((output / "last_checkpoint.json").read_text())


@pytest.mark.parametrize("moment", ["state-0/optimizer.bin", "last_checkpoint.json"])
def test_killed_at_any_moment_it_ends_the_same(faces, train, tmp_path, moment):
    """In the middle of a checkpoint, and between two."""
    flags = ["--max_train_steps", "40", "--num_validation_images", "0"]
    arguments = ["--train_data", faces, "--output_dir", tmp_path / "killed", *FLAGS, *flags]
    kill_when(tmp_path / "killed" / moment, "train_difiqa_ddpm.py", *arguments)
    train(tmp_path / "killed", *flags)
    train(tmp_path / "whole", *flags)
    assert_same_run(tmp_path / "whole", tmp_path / "killed")


def test_two_processes_killed_and_restarted_end_the_same(faces, tmp_path):
    flags = ["--train_data", faces, *FLAGS, "--max_train_steps", "12", "--gradient_accumulation_steps", "2"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    ok(run("train_difiqa_ddpm.py", *flags, "--output_dir", whole, processes=2))
    settings = json.loads((whole / "training_config.json").read_text())
    assert settings["num_processes"] == 2 and settings["images_per_step"] == 8
    assert (whole / "state-0" / "random_states_1.pkl").exists()  # the second process's own
    kill_when(killed / "last_checkpoint.json", "train_difiqa_ddpm.py", *flags, "--output_dir", killed, processes=2)
    ok(run("train_difiqa_ddpm.py", *flags, "--output_dir", killed, processes=2))
    assert_same_run(whole, killed)

    other = run("train_difiqa_ddpm.py", *flags, "--output_dir", whole)
    assert other.returncode != 0 and "num_processes: 2 -> 1" in other.stderr


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_the_shipped_configuration_killed_and_restarted_ends_the_same(shared, tmp_path, processes):
    """Real faces, the network and settings that made the shipped denoiser, loader workers and all."""
    flags = ["--train_data", shared / "data" / "train_celeba.zip", "--model", "small", "--max_train_steps", 6,
             "--checkpointing_steps", 2, "--train_batch_size", 16 // processes, "--mixed_precision", "bf16",
             "--learning_rate", "4e-4", "--lr_warmup_steps", 100, "--lr_scheduler", "cosine", "--ema_every", 1,
             "--loss_weighting", "scale", "--num_validation_images", 8]  # fmt: skip
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    ok(run("train_difiqa_ddpm.py", *flags, "--output_dir", whole, processes=processes))
    flags += ["--output_dir", killed]
    kill_when(killed / "last_checkpoint.json", "train_difiqa_ddpm.py", *flags, processes=processes)
    assert marker(killed)["step"] < 6
    ok(run("train_difiqa_ddpm.py", *flags, processes=processes))
    assert_same_run(whole, killed)
    settings = json.loads((killed / "training_config.json").read_text())
    assert settings["num_processes"] == processes and settings["images_per_step"] == 16


def test_a_full_disk_leaves_the_last_checkpoint(train, tmp_path):
    """Files may not grow beyond 100 kB: a checkpoint cannot be written."""
    flags = ["--max_train_steps", 6]
    train(tmp_path / "full", "--max_train_steps", 3)
    before = weights(tmp_path / "full")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(RuntimeError, match=r"cannot write the checkpoint of step 6 .* of step 3, is intact"):
            train(tmp_path / "full", *flags)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert marker(tmp_path / "full")["step"] == 3
    assert all(torch.equal(before[key], value) for key, value in weights(tmp_path / "full").items())
    train(tmp_path / "full", *flags)
    train(tmp_path / "whole", *flags)
    assert_same_run(tmp_path / "whole", tmp_path / "full")


def test_a_loss_that_is_not_finite_is_not_saved(train, tmp_path, monkeypatch):
    train(tmp_path, "--max_train_steps", 3)
    before = weights(tmp_path)
    right = script.training_loss
    monkeypatch.setattr(script, "training_loss", lambda *args: right(*args) * float("nan"))
    with pytest.raises(RuntimeError, match=r"up to 6 is nan; the last checkpoint in .* is intact"):
        train(tmp_path, "--max_train_steps", 6)
    assert marker(tmp_path)["step"] == 3
    assert all(torch.equal(before[key], value) for key, value in weights(tmp_path).items())


def test_one_image_is_enough(train, tmp_path):
    train(tmp_path / "out", "--max_train_steps", 1, data=write_faces(tmp_path / "one", 1))
    assert marker(tmp_path / "out")["step"] == 1
    with pytest.raises(ValueError, match="cannot hold out 1 of 1 images"):
        train(tmp_path / "none", "--max_train_steps", 1, "--num_validation_images", 1, data=tmp_path / "one")


def test_accumulated_micro_batches_are_one_large_batch(train, tmp_path):
    train(tmp_path / "large", "--max_train_steps", 3, "--train_batch_size", 4)
    train(tmp_path / "small", "--max_train_steps", 3, "--gradient_accumulation_steps", 2)
    large, small = weights(tmp_path / "large", "unet_raw"), weights(tmp_path / "small", "unet_raw")
    first = large["conv_out.weight"].abs().max()
    assert first > 1e-4  # zero at birth
    torch.testing.assert_close(large["conv_out.weight"], small["conv_out.weight"], rtol=0, atol=0.05 * first.item())


def test_averages_and_the_lack_of_one(train, tmp_path):
    for schedule in ("warmup", "released", "constant"):
        train(tmp_path / schedule, "--max_train_steps", 3, "--ema_every", 1, "--ema_schedule", schedule)
    train(tmp_path / "none", "--max_train_steps", 3, "--no-use_ema")
    train(tmp_path / "untrained", "--max_train_steps", 0)
    key = "conv_out.weight"
    raw = weights(tmp_path / "none")[key]
    assert torch.equal(raw, weights(tmp_path / "none", "unet_raw")[key])
    sizes = {s: weights(tmp_path / s)[key].norm() / raw.norm() for s in ("warmup", "released", "constant")}
    assert weights(tmp_path / "untrained")[key].abs().sum() == 0
    assert sizes["released"] == 1  # a copy for the first hundred steps
    assert sizes["constant"] < 0.02  # from zero by 1 - .995 an update
    assert 0.1 < sizes["warmup"] < 1  # a copy at first, then 2/11, 3/12


def test_validation_is_logged_and_drawn(train, tmp_path):
    toy_recognizer().save_pretrained(tmp_path / "recognizer")
    train(tmp_path / "out", "--max_train_steps", 2, "--num_validation_images", 2, "--identity_weight", 0.5,
          "--recognizer", tmp_path / "recognizer", "--logger", "tensorboard")  # fmt: skip
    loss, measured = map(json.loads, (tmp_path / "out" / "log.jsonl").read_text().splitlines())
    assert loss.keys() == {"step", "loss"}
    assert measured["loss/99"] > measured["loss/4"] > 0
    assert measured["psnr_input/4"] > measured["psnr_input/99"]
    assert 0.9 < measured["cosine_restored_clean"] <= 1
    assert Image.open(tmp_path / "out" / "samples" / "step-0000002.png").size == (4 * 112, 2 * 112)
    assert list((tmp_path / "out").rglob("events.out.tfevents*"))


def test_the_identity_as_denoiser_changes_nothing():
    images = ((toy_faces(2) + 1) * 127.5).round().to(torch.uint8)
    measured = validate(None, images, toy_recognizer(), "cpu")
    for t in (0, 49):
        assert measured[f"psnr_input/{t}"] == measured[f"psnr_restored/{t}"]
        assert measured[f"cosine_input/{t}"] == measured[f"cosine_restored/{t}"]
    black, grey = -torch.ones(1, 3, 4, 4), torch.zeros(1, 3, 4, 4)
    assert psnr(grey, black).item() == pytest.approx(6.0206, abs=1e-3)  # half of the range


def test_a_dry_run_prints_and_writes_nothing(train, tmp_path, capsys):
    train(tmp_path / "out", "--num_epochs", 5, "--dry_run")
    printed = capsys.readouterr().out
    settings = json.loads(printed[printed.index("{") :])
    assert settings["max_train_steps"] == 15 and settings["images"] == 6 and settings["parameters"] > 1e5
    assert not (tmp_path / "out" / "training_config.json").exists()


def test_other_settings_are_refused(train, tmp_path):
    train(tmp_path, "--max_train_steps", 1)
    with pytest.raises(ValueError, match=r"learning_rate: 8e-05 -> 0\.1"):
        train(tmp_path, "--max_train_steps", 2, "--learning_rate", 0.1)


def test_noise_survives_mixed_precision():
    """In bfloat16 the noise of t = 4, of standard deviation .016, would vanish next to a clean image."""
    seen = {}

    class Denoiser(nn.Module):
        def forward(self, noisy, timestep):
            seen["noisy"] = noisy
            return Namespace(sample=noisy)

    clean = torch.full((1, 3, 112, 112), 0.9)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    batch = {"clean": clean, "degraded": clean, "noise": noise, "timestep": torch.tensor([4])}
    alpha_bar = torch.cos((torch.arange(1, 1001, dtype=torch.float64) / 1000 + 0.008) / 1.008 * torch.pi / 2) ** 2
    args = Namespace(degradation_timesteps=100, loss_weighting="uniform")
    with torch.autocast("cpu", torch.bfloat16):
        script.training_loss(Denoiser(), batch, alpha_bar / 0.999842, args)
    assert seen["noisy"].dtype == torch.float32
    assert seen["noisy"].std().item() == pytest.approx(0.016, rel=0.05)


def test_degradation_on_the_device_is_that_of_the_workers(train, tmp_path):
    train(tmp_path / "workers", "--max_train_steps", 2)
    train(tmp_path / "device", "--max_train_steps", 2, "--degrade_on", "device")
    assert (tmp_path / "workers" / "log.jsonl").read_text() == (tmp_path / "device" / "log.jsonl").read_text()


def hub_set(folder, cells) -> HubImages:
    rows = datasets.Dataset.from_dict({"image": cells}, datasets.Features({"image": datasets.Image()}))
    rows.to_parquet(folder / "train.parquet")
    return HubImages.load(str(folder), cache_dir=str(folder / "cache"))


def png(face) -> dict:
    buffer = io.BytesIO()
    Image.fromarray(((face + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()).save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}


def test_sets_of_the_hub_are_read_one_by_one_and_broken_images_replaced(tmp_path, capsys):
    first, last = toy_faces(2)
    images = hub_set(tmp_path, [png(first), {"bytes": b"no picture", "path": None}, png(last)])
    assert len(images) == 3 and images[0].dtype == torch.uint8
    assert torch.equal(images[1], images[2]) and not torch.equal(images[0], images[2])
    assert "image 1 of the set is unreadable" in capsys.readouterr().out
    rest, held = hold_out(images, 1, seed=0)
    assert len(rest) == 2 and held.shape == (1, 3, 112, 112)
    (tmp_path / "broken").mkdir()
    broken = hub_set(tmp_path / "broken", [{"bytes": b"no picture", "path": None}])
    with pytest.raises(ValueError, match="none of the 1 images can be read"):
        broken[0]


def test_a_log_is_continued_where_the_checkpoint_ends(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 3}\n{"step": 6}\n{"step": 9}\n{"st')
    with continue_log(path, 6) as log:
        log.write('{"step": 9}\n')
    assert path.read_text() == '{"step": 3}\n{"step": 6}\n{"step": 9}\n'


def test_files_are_published_one_by_one(tmp_path):
    for folder, text in (("place", "old"), ("written", "new")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "file").write_text(text)
    publish(tmp_path / "written", tmp_path / "place")
    assert (tmp_path / "place" / "file").read_text() == "new" and not (tmp_path / "written").exists()


@pytest.mark.parametrize("path", sorted((TRAINING / "configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_configurations_are_what_accelerate_reads(path):
    config = load_config_from_file(str(path))
    assert config.num_processes >= 2 and config.mixed_precision == "bf16"


def test_the_only_good_checkpoint_is_never_written_over(train, tmp_path):
    """Whatever --checkpointing_steps was before."""
    train(tmp_path, "--max_train_steps", 6, "--checkpointing_steps", 3)
    good = json.loads((tmp_path / "last_checkpoint.json").read_text())["folder"]
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / good).iterdir()}
    train(tmp_path, "--max_train_steps", 8, "--checkpointing_steps", 4)
    assert json.loads((tmp_path / "last_checkpoint.json").read_text())["folder"] != good
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / good).iterdir()} == before


def test_a_gradient_that_is_not_finite_stops_before_it_is_saved(tmp_path):
    accelerator = Accelerator(cpu=True)
    check_gradient(accelerator, torch.tensor(1.0), 3, tmp_path)
    with pytest.raises(RunStopped, match="the gradient of step 3 is nan; no checkpoint was written yet"):
        check_gradient(accelerator, torch.tensor(float("nan")), 3, tmp_path)


@pytest.mark.parametrize("steps", [0, 3])
def test_fewer_steps_than_done_change_nothing(train, tmp_path, steps):
    train(tmp_path, "--max_train_steps", 6)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(RunStopped, match=f"holds 6 steps, more than --max_train_steps {steps}"):
        train(tmp_path, "--max_train_steps", steps)
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_validation_uses_the_schedule_of_the_training():
    images = ((toy_faces(2) + 1) * 127.5).round().byte()
    long, short = (validate(None, images, None, "cpu", scheduler=cosine_scheduler(n)) for n in (1000, 50))
    assert short["psnr_input/4"] < long["psnr_input/4"] - 3 and "loss/99" not in short and "loss/49" in short


def test_a_named_configuration_takes_the_schedule_and_the_blend_of_the_flags(tmp_path):
    flags = ["--train_data", "x", "--output_dir", "y", "--model", "toy"]
    script.build_unet(script.parse_args("", flags)).save_config(tmp_path)
    flags += ["--model_config_name_or_path", str(tmp_path), "--degradation_timesteps", "1000", "--ddpm_num_steps",
              "200", "--degradation", "none"]  # fmt: skip
    found = script.build_unet(script.parse_args("", flags)).config
    assert (found.degradation_timesteps, found.num_train_timesteps, found.degradation_std) == (1000, 200, 0.0)
    script.build_unet(script.parse_args("", flags)).save_config(tmp_path)  # of a training without degradation
    assert script.build_unet(script.parse_args("", flags[:-2])).config.degradation_std == 0.09
    config = json.loads((tmp_path / "config.json").read_text())
    few = {key: value for key, value in config.items() if key not in ("sample_size", "degradation_std")}
    (tmp_path / "config.json").write_text(json.dumps(few))  # the rest by default
    assert script.build_unet(script.parse_args("", flags[:-2])).config.degradation_std == 0.09
    (tmp_path / "config.json").write_text(json.dumps(config | {"patch_size": 3, "in_channels": 27, "out_channels": 27}))
    with pytest.raises(ValueError, match="3 pixels, do not divide a face's 112"):
        script.build_unet(script.parse_args("", flags))
    odd = {"patch_size": 16, "in_channels": 768, "out_channels": 768}
    (tmp_path / "config.json").write_text(json.dumps(config | odd))
    with pytest.raises(ValueError, match="halves its maps of 7 pixels 1 times, which cannot be"):
        script.build_unet(script.parse_args("", flags))


def test_a_grid_of_a_short_schedule_takes_its_last_timestep():
    grid = sample_grid(None, torch.zeros(1, 3, 112, 112, dtype=torch.uint8), "cpu", scheduler=cosine_scheduler(10))
    assert grid.size == (448, 112)


@pytest.mark.parametrize(
    "flags",
    [("--model", "small", "--patch_size", "16"), ("--ddpm_num_steps", "4", "--max_train_timestep", "4"),
     ("--model_config_name_or_path", "x", "--patch_size", "2")],
)  # fmt: skip
def test_networks_that_cannot_be_are_refused_at_once(flags, capsys):
    with pytest.raises(SystemExit) as end:
        script.parse_args("", ["--train_data", "x", "--output_dir", "y", *flags])
    assert end.value.code == 2 and "--" in capsys.readouterr().err.splitlines()[-1]
