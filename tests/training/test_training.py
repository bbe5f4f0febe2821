"""The training scripts as a user runs them: real processes on toy networks and made-up faces."""

import io
import json
import shutil
import sys
import zipfile
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
from launching import ok, run, write_faces
from PIL import Image
from safetensors.torch import load_file

from difiqa_hf.models.modeling_difiqa_regressor import DifFIQARegressor
from difiqa_hf.scoring.reading import read_image
from made_up_benchmarks import zipped
from toys import toy_faces, toy_pipeline, toy_recognizer

import assemble_checkpoint  # isort: skip
import train_difiqa_ddpm  # isort: skip
from distill_recognizer import choose, mirror_partners  # isort: skip
from images import decode_image, image_files, read_images, settle  # isort: skip
from start import start  # isort: skip
from views import balance, check_kinds, make_view, views_and_targets  # isort: skip

DDPM = ["--model", "toy", "--max_train_steps", "9", "--train_batch_size", "2", "--checkpointing_steps", "3",
        "--dataloader_num_workers", "0", "--ema_every", "2"]  # fmt: skip


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> Path:
    """Eight made-up faces and one file that is none."""
    return write_faces(tmp_path_factory.mktemp("faces"), 8)


@pytest.fixture(scope="module")
def uninterrupted(faces, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("ddpm")
    result = ok(run("train_difiqa_ddpm.py", "--train_data", faces, "--output_dir", output, *DDPM))
    assert f"left out 1 unreadable files, for example {faces.name}/broken.jpg" in result.stdout
    return output


def test_ddpm_writes_a_network_that_loads_and_has_moved(uninterrupted):
    weights = load_file(uninterrupted / "unet" / "diffusion_pytorch_model.safetensors")
    assert weights["conv_out.weight"].abs().sum() > 0  # zero at birth
    assert json.loads((uninterrupted / "last_checkpoint.json").read_text())["step"] == 9
    assert json.loads((uninterrupted / "training_config.json").read_text())["max_train_timestep"] == 100


def test_labels_do_not_depend_on_interruption_and_train_a_regressor(faces, tmp_path):
    toy_pipeline(num_repeats=1).save_pretrained(tmp_path / "pipeline")
    toy_recognizer().save_pretrained(tmp_path / "backbone")
    arguments = ["--data", faces, "--checkpoint", tmp_path / "pipeline", "--num_repeats", "1", "--part_size", "5",
                 "--views", "original", "degraded", "--output_dir", tmp_path / "labels"]  # fmt: skip
    ok(run("label_dataset.py", *arguments))
    parts = {path.name: path.read_text() for path in sorted((tmp_path / "labels").glob("part-*.jsonl"))}
    rows = [json.loads(line) for text in parts.values() for line in text.splitlines()]
    assert len(parts) == 4 and len(rows) == 16
    assert {(row["name"], row["view"]) for row in rows} == {
        (f"{faces.name}/{i}.png", view) for i in range(8) for view in ("original", "degraded")
    }
    (tmp_path / "labels" / "part-000001.jsonl").unlink()
    ok(run("label_dataset.py", *arguments))
    assert {path.name: path.read_text() for path in (tmp_path / "labels").glob("part-*.jsonl")} == parts

    changed = run("label_dataset.py", *arguments, "--seed", "9")
    assert changed.returncode != 0 and "seed: 0 -> 9" in changed.stderr

    trained = ok(
        run("train_regressor.py", "--data", faces, "--labels", tmp_path / "labels", "--backbone", tmp_path / "backbone",
            "--output_dir", tmp_path / "out", "--recipe", "difiqa-r-small", "--epochs", "2")
    )  # fmt: skip
    assert "validation_spearman" in trained.stdout
    regressor = DifFIQARegressor.from_pretrained(tmp_path / "out" / "regressor")
    qualities = [row["quality"] for row in rows]
    assert regressor.config.label_minimum == pytest.approx(min(qualities), abs=1e-6)
    assert regressor.config.label_maximum == pytest.approx(max(qualities), abs=1e-6)


def test_distillation_writes_a_recogniser(faces, tmp_path):
    toy_recognizer().save_pretrained(tmp_path / "teacher")
    arguments = ["--train_data", faces, "--teacher", tmp_path / "teacher", "--cache_dir", tmp_path / "views",
                 "--train_batch_size", "4", "--lr_warmup_steps", "1", "--checkpointing_steps", "2"]  # fmt: skip
    ok(run("distill_recognizer.py", *arguments, "--max_train_steps", "4", "--output_dir", tmp_path / "whole"))
    # killed after step 2, and after step 4 was written but not yet pointed to
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    marker = tmp_path / "cut" / "last_checkpoint.json"
    marker.write_text(json.dumps({"step": 2, "folder": "state-0"}))
    ok(run("distill_recognizer.py", *arguments, "--max_train_steps", "4", "--output_dir", tmp_path / "cut"))
    assert json.loads(marker.read_text())["step"] == 4
    whole, cut = (load_file(tmp_path / name / "recognizer" / "model.safetensors") for name in ("whole", "cut"))
    assert all(torch.equal(whole[key], cut[key]) for key in whole)

    other = run("distill_recognizer.py", *arguments, "--max_train_steps", "4", "--seed", "1", "--output_dir",
                tmp_path / "whole")  # fmt: skip
    assert other.returncode != 0 and "seed: 0 -> 1" in other.stderr


def test_views_depend_on_nothing_but_seed_kind_and_image():
    images = ((toy_faces(4) + 1) * 127.5).round().to(torch.uint8)
    for kind in ("original", "degraded", "varied", "varied2", "morph"):
        first = make_view(images, 1, kind, seed=3)
        assert first.dtype == torch.uint8 and torch.equal(first, make_view(images, 1, kind, seed=3))
        assert torch.equal(make_view(images, 1, f"{kind}-mirror", seed=3), first.flip(-1))
        assert kind == "original" or not torch.equal(first, make_view(images, 1, kind, seed=4))
    assert not torch.equal(make_view(images, 1, "varied", 3), make_view(images, 1, "varied2", 3))
    for kinds in (["blurred"], ["varied", "varied"]):
        with pytest.raises(ValueError, match="views are original, mirror, degraded, varied, morph"):
            check_kinds(kinds)


def test_half_of_the_pairs_are_a_view_and_its_mirror_image():
    views = ["original", "mirror", "varied", "varied-mirror", "morph", "varied2"]
    assert mirror_partners(views).tolist() == [1, 0, 3, 2, -1, -1]
    args = Namespace(views=views, train_batch_size=3000, seed=0, mirror_pairs=0.5)
    (first, second), images = choose(0, 0, 7, args)
    assert (first != second).all() and images.unique().tolist() == list(range(7))
    paired = second == mirror_partners(views)[first]
    # 4 of 6 kinds have a partner: half of those by choice, a fifth of the rest by chance
    assert paired.float().mean().item() == pytest.approx(4 / 6 * (0.5 + 0.5 / 5), abs=0.03)
    args.mirror_pairs = 1.0
    (first, second), _ = choose(0, 0, 7, args)
    assert (second == mirror_partners(views)[first])[first < 4].all()


def test_several_teachers_weigh_the_same_whatever_their_lengths():
    generator = torch.Generator().manual_seed(0)
    long, short = torch.randn(2, 50, 8, generator=generator) * 9, torch.randn(2, 50, 32, generator=generator)
    both = balance(torch.cat((long, short), dim=-1), [8, 32]).float()
    for part in both.split([8, 32], dim=-1):
        assert part[0].norm(dim=-1).mean().item() == pytest.approx(1, abs=1e-3)
    assert torch.equal(balance(long, [8]), long)


@pytest.mark.parametrize(
    ("source", "flags", "said"),
    [
        ("none", (), "no readable image in "),
        ("missing.zip", (), "missing.zip does not exist; need zips or folders of aligned faces"),
        ("text.zip", (), "text.zip (4 bytes) is no zip file"),
        ("none", ("--patch_size", 5), "--patch_size 5 does not divide the 112 pixels"),
        ("none", ("--max_train_timestep", 2000), "--max_train_timestep 2000 is beyond --ddpm_num_steps 1000"),
        ("none", ("--train_batch_size", 0), "--train_batch_size: must be a whole number of at least 1, found 0"),
        ("none", ("--train_batch_size", "many"), "must be a whole number of at least 1, found many"),
    ],
)
def test_what_a_user_can_mend_is_said_in_a_line(tmp_path, monkeypatch, capsys, source, flags, said):
    (tmp_path / "none").mkdir()
    (tmp_path / "text.zip").write_text("text")
    arguments = ("--train_data", tmp_path / source, "--output_dir", tmp_path / "out", *DDPM, *flags)
    monkeypatch.setattr(sys, "argv", ["train_difiqa_ddpm.py", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        start(train_difiqa_ddpm.main)
    line = end.value.code if isinstance(end.value.code, str) else capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("train_difiqa_ddpm.py: ") and said in line and "\n" not in line


def test_a_script_ends_with_its_last_line(tmp_path):
    arguments = ("--train_data", tmp_path / "missing.zip", "--output_dir", tmp_path / "out", *DDPM)
    result = run("train_difiqa_ddpm.py", *arguments)
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert "missing.zip does not exist; need zips or folders" in result.stderr.splitlines()[-1]


def test_settings_may_be_mended_until_something_was_made_with_them(tmp_path):
    path = tmp_path / "run" / "settings.json"
    path.parent.mkdir()
    settle(path, {"data": "mistyped", "rate": 1})
    settle(path, {"data": "right", "rate": 1})
    (path.parent / "log.jsonl").write_text("{}")
    with pytest.raises(ValueError, match=r"other settings \(data: right -> other\)"):
        settle(path, {"data": "other", "rate": 1})
    assert json.loads(path.read_text())["data"] == "right"


def test_images_of_zips_are_read_after_the_next_zip_was_begun(faces, tmp_path):
    """Parts of labels go across the end of a zip."""
    for name in ("a.zip", "b.zip"):
        zipped(faces, tmp_path / name)
    found = list(image_files([tmp_path / "a.zip", tmp_path / "b.zip"]))
    assert len({name for name, _ in found}) == 18 and all(read() for _, read in found)


def test_the_same_names_in_two_folders_are_different_images(faces, tmp_path):
    twin = tmp_path / "twin"
    shutil.copytree(faces, twin)
    images, names = read_images([faces, twin])
    assert len(images) == len(set(names)) == 16
    other = tmp_path / "deeper" / faces.name
    shutil.copytree(faces, other)
    with pytest.raises(ValueError, match="rename one"):
        read_images([faces, other])


@pytest.mark.parametrize("damage", ["deflate", "encrypted", "method"])
def test_damaged_members_of_zips_are_left_out(tmp_path, capsys, damage):
    write_faces(tmp_path / "faces", 2)
    place = tmp_path / "faces.zip"
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("0.bmp", "1.bmp"):
            buffer = io.BytesIO()
            Image.open(tmp_path / "faces" / f"{name[0]}.png").save(buffer, "BMP")
            archive.writestr(name, buffer.getvalue())
    data = bytearray(place.read_bytes())
    second = zipfile.ZipFile(place).getinfo("1.bmp")
    central = data.rindex(b"PK\x01\x02")  # of the second member; flags at 8, method at 10
    if damage == "deflate":
        middle = second.header_offset + second.compress_size // 2
        data[middle : middle + 400] = bytes(255 - byte for byte in data[middle : middle + 400])
    elif damage == "encrypted":
        data[central + 8] |= 1
        data[second.header_offset + 6] |= 1
    else:
        data[central + 10] = 99
        data[second.header_offset + 8] = 99
    place.write_bytes(data)
    assert read_images([str(place)])[1] == ["faces.zip/0.bmp"]
    assert "left out 1 unreadable files, for example faces.zip/1.bmp" in capsys.readouterr().out


@pytest.mark.parametrize(("place", "value"), [(0, 0), (6, 99)])  # its signature; the version that it needs
def test_zips_with_a_damaged_directory_are_named(tmp_path, place, value):
    write_faces(tmp_path / "faces", 1)
    zipped(tmp_path / "faces", tmp_path / "faces.zip")
    data = bytearray((tmp_path / "faces.zip").read_bytes())
    data[data.index(b"PK\x01\x02") + place] = value
    (tmp_path / "faces.zip").write_bytes(data)
    with pytest.raises(ValueError, match=r"faces\.zip \(\d+ bytes\) is no zip file, or a damaged one"):
        read_images([str(tmp_path / "faces.zip")])


def test_images_are_read_as_scoring_reads_them(tmp_path):
    face = Image.fromarray(((toy_faces(1)[0] + 1) * 127.5).byte().permute(1, 2, 0).numpy())
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    face.save(tmp_path / "turned.png", exif=exif)
    Image.fromarray(np.asarray(face.convert("L")).astype(np.uint16) * 257).save(tmp_path / "wide.png")
    for name in ("turned.png", "wide.png"):
        found = decode_image((tmp_path / name).read_bytes())
        assert torch.equal(found.permute(1, 2, 0), torch.from_numpy(np.array(read_image(tmp_path / name))))


def test_views_are_kept_by_content(tmp_path):
    recognizer = toy_recognizer()
    sources = [write_faces(tmp_path / side / "faces", count) for side, count in (("a", 2), ("b", 3))]
    arguments = (["original", "mirror"], [recognizer], tmp_path, 0, "cpu", False)
    views, targets = views_and_targets(list(map(str, sources)), *arguments)
    assert views.shape[:2] == targets.shape[:2] == (2, 5)  # two sources of one name
    files = {path.name for path in tmp_path.glob("*.pt")}
    assert len(files) == 4
    again, _ = views_and_targets([str(sources[1])], *arguments)
    assert torch.equal(again, views[:, 2:]) and {path.name for path in tmp_path.glob("*.pt")} == files
    views_and_targets([str(sources[1])], ["original"], [toy_recognizer(seed=1)], *arguments[2:])
    assert len({path.name for path in tmp_path.glob("*.pt")} - files) == 1  # another teacher


def test_assembling_spares_other_files(tmp_path):
    (tmp_path / "state-0").mkdir()
    with pytest.raises(ValueError, match=r"holds other files \(state-0\) than a checkpoint of this kind"):
        assemble_checkpoint.main(["--unet", "unet", "--output_dir", str(tmp_path)])
    toy_recognizer().save_pretrained(tmp_path / "trained" / "recognizer")
    for code in (tmp_path / "trained" / "recognizer").glob("*.py"):
        code.unlink()
    with pytest.raises(ValueError, match=r"is no earlier checkpoint of this kind \(difiqa_regressor\)"):
        assemble_checkpoint.main(["--regressor", "x", "--output_dir", str(tmp_path / "trained" / "recognizer")])
    with pytest.raises(ValueError, match="is, or holds, what the checkpoint is made of"):
        assemble_checkpoint.main(["--unet", "unet", "--recognizer", str(tmp_path / "trained" / "recognizer"),
                                  "--output_dir", str(tmp_path / "trained")])  # fmt: skip
    (tmp_path / "facts.json").write_text('{"checkpoints": {"mine": {}}}')
    (tmp_path / "trained" / "regressor").mkdir()
    described = tmp_path / "trained" / "regressor" / "config.json"
    described.write_text('{"model_type": "difiqa_regressor", "quality_method": "pcnet"}')
    with pytest.raises(ValueError, match=r"holds no regressor of train_regressor\.py"):
        assemble_checkpoint.main(["--regressor", str(described.parent), "--output_dir", str(tmp_path / "new")])
    with pytest.raises(ValueError, match="is no earlier checkpoint of this kind"):  # another method's
        assemble_checkpoint.main(["--regressor", "x", "--output_dir", str(described.parent)])
    described.write_text("[]")
    with pytest.raises(ValueError, match=r"config\.json must hold a JSON object, found a list"):
        assemble_checkpoint.main(["--regressor", "x", "--output_dir", str(described.parent)])
    described.write_text('{"model_type": "difiqa_regressor"}')
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "mine.py").touch()
    with pytest.raises(ValueError, match=r"holds other files \(mine\.py\)"):
        assemble_checkpoint.main(["--regressor", "x", "--output_dir", str(tmp_path / "code")])
    for more, said in (
        (("--reference_data", "nowhere.zip"), "nowhere.zip does not exist"),
        (("--facts", str(tmp_path / "facts.json")), "has no entry new under checkpoints"),
    ):
        with pytest.raises((ValueError, OSError), match=said):
            assemble_checkpoint.main(["--unet", str(tmp_path), "--output_dir", str(tmp_path / "new"), *more])
    with pytest.raises(FileNotFoundError, match=r"log\.jsonl is missing or empty, from which --facts are taken"):
        assemble_checkpoint.main(["--regressor", str(tmp_path / "trained" / "regressor"), "--output_dir",
                                  str(tmp_path / "mine"), "--facts", str(tmp_path / "facts.json")])  # fmt: skip
    assert not (tmp_path / "new").exists() and not (tmp_path / "mine").exists()
    with pytest.raises(FileNotFoundError, match="nowhere is no folder"):
        assemble_checkpoint.main(["--unet", "nowhere", "--output_dir", str(tmp_path / "new")])
    with pytest.raises(SystemExit):
        assemble_checkpoint.main(["--output_dir", str(tmp_path / "new")])


def test_an_empty_log_is_nothing_made(tmp_path):
    settle(tmp_path / "config.json", {"rate": 1})
    (tmp_path / "log.jsonl").touch()
    settle(tmp_path / "config.json", {"rate": 2})
    (tmp_path / "log.jsonl").write_text("{}\n")
    with pytest.raises(ValueError, match="rate: 2 -> 3"):
        settle(tmp_path / "config.json", {"rate": 3})
