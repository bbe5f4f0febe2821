"""Labels from any number of processes, and the recipes that learn from them."""

import io
import json
import shutil
import zipfile
from argparse import Namespace
from dataclasses import fields
from pathlib import Path

import datasets
import pytest
import torch
from accelerate.state import AcceleratorState
from launching import kill_when, ok, run, write_faces
from PIL import Image
from safetensors.torch import load_file

from difiqa_hf.models.modeling_difiqa_regressor import DifFIQARegressor
from toys import toy_faces, toy_pipeline, toy_recognizer

import label_dataset  # isort: skip
import train_regressor  # isort: skip
from images import encoded  # isort: skip
from regressor_labels import Faces, labelled_faces, read_labels, read_opinions  # isort: skip
from regressor_recipes import RECIPES, Recipe  # isort: skip


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Faces of two people, a toy DifFIQA, and labels made in this process."""
    folder = tmp_path_factory.mktemp("work")
    for person in ("ann", "bob"):
        write_faces(folder / "faces" / person, 6)
    toy_pipeline(num_repeats=1).save_pretrained(folder / "pipeline")
    toy_recognizer().save_pretrained(folder / "backbone")
    label(folder, folder / "labels")
    return folder


def label_flags(work, output) -> list[str]:
    flags = ["--data", work / "faces", "--checkpoint", work / "pipeline", "--num_repeats", 1, "--part_size", 3,
             "--views", "original", "degraded", "--output_dir", output]  # fmt: skip
    return list(map(str, flags))


def label(work, output) -> None:
    AcceleratorState._reset_state(reset_partial_state=True)
    label_dataset.main(label_flags(work, output))


def contents(folder) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.name != "labels_config.json"}


def test_every_image_is_labelled_once_and_broken_ones_are_listed(work):
    texts = contents(work / "labels")
    rows = [json.loads(line) for name in sorted(texts) if name.startswith("part") for line in texts[name].splitlines()]
    expected = [(f"faces/{p}/{i}.png", v) for p in ("ann", "bob") for i in range(6) for v in ("original", "degraded")]
    assert [(row["name"], row["view"]) for row in rows] == expected
    broken = {
        json.loads(line)["name"] for name in texts if name.startswith("unre") for line in texts[name].splitlines()
    }
    assert broken == {"faces/ann/broken.jpg", "faces/bob/broken.jpg"}
    assert json.loads(texts["complete.json"])["rows"] == 24


def test_killed_and_finished_by_two_processes_the_labels_are_the_same(work, tmp_path):
    flags = label_flags(work, tmp_path)
    kill_when(tmp_path / "part-000000.jsonl", "label_dataset.py", *flags)
    assert not (tmp_path / "complete.json").exists()
    result = ok(run("label_dataset.py", *flags, processes=2))
    assert "process 0: " in result.stdout and "process 1: " in result.stdout
    assert contents(tmp_path) == contents(work / "labels")


def test_a_streamed_set_is_labelled(work, tmp_path):
    cells = []
    for face in toy_faces(3):
        buffer = io.BytesIO()
        Image.fromarray(((face + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()).save(buffer, "PNG")
        cells.append({"bytes": buffer.getvalue(), "path": None})
    (tmp_path / "set").mkdir()
    rows = datasets.Dataset.from_dict({"image": cells}, datasets.Features({"image": datasets.Image()}))
    rows.to_parquet(tmp_path / "set" / "train.parquet")
    AcceleratorState._reset_state(reset_partial_state=True)
    label_dataset.main(["--dataset_name", str(tmp_path / "set"), "--checkpoint", str(work / "pipeline"),
                        "--num_repeats", "1", "--output_dir", str(tmp_path / "labels")])  # fmt: skip
    labels = [json.loads(line) for line in (tmp_path / "labels" / "part-000000.jsonl").read_text().splitlines()]
    assert [row["name"][-8:] for row in labels] == ["00000000", "00000001", "00000002"]
    assert len({row["quality"] for row in labels}) == 3


def test_nothing_to_label_is_an_error(work, tmp_path):
    (tmp_path / "none").mkdir()
    flags = ["--data", tmp_path / "none", "--checkpoint", work / "pipeline", "--output_dir", tmp_path / "labels"]
    AcceleratorState._reset_state(reset_partial_state=True)
    with pytest.raises(ValueError, match=r"no readable image \(0 unreadable\)"):
        label_dataset.main(list(map(str, flags)))


def train(work, output, *flags) -> None:
    AcceleratorState._reset_state(reset_partial_state=True)
    data = ["--data", work / "faces", "--labels", work / "labels", "--backbone", work / "backbone"]
    data += ["--teachers", "difiqa-r", "random"] if "difiqa-r-consensus" in flags else []
    train_regressor.main(list(map(str, [*data, "--output_dir", output, *flags])))


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_trains_and_says_how_to_read_its_score(work, tmp_path, recipe):
    train(work, tmp_path, "--recipe", recipe, "--epochs", 1, "--output_mapping", "sigmoid")
    config = DifFIQARegressor.from_pretrained(tmp_path / "regressor").config
    assert config.output_mapping == "sigmoid" and config.head_width == RECIPES[recipe].head
    assert -1 <= config.label_minimum < config.label_maximum <= 1
    resolved = json.loads((tmp_path / "training_config.json").read_text())["resolved"]
    assert resolved.keys() == {field.name for field in fields(Recipe)} and resolved["epochs"] == 1


def test_a_killed_training_continues_at_the_last_epoch(work, tmp_path):
    flags = ["--recipe", "ai-kd-small", "--epochs", 2]
    train(work, tmp_path, *flags)
    whole = load_file(tmp_path / "regressor" / "model.safetensors")
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    (tmp_path / "last_checkpoint.json").write_text('{"step": 1, "folder": "state-0"}')
    train(work, tmp_path, *flags)
    again = load_file(tmp_path / "regressor" / "model.safetensors")
    assert all(torch.equal(whole[key], again[key]) for key in whole)
    relogged = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [{**entry, "seconds": 0} for entry in relogged] == [{**entry, "seconds": 0} for entry in log]


def test_incomplete_and_old_labels_are_refused(work, tmp_path):
    settings = json.loads((work / "labels" / "labels_config.json").read_text())
    for name, text in contents(work / "labels").items():
        (tmp_path / name).write_text(text)
    (tmp_path / "part-000002.jsonl").unlink()
    with pytest.raises(ValueError, match=r"holds \d+ label parts of \d+; run label_dataset.py again"):
        read_labels(tmp_path)
    (tmp_path / "labels_config.json").write_text(json.dumps(settings | {"format": 1}))
    with pytest.raises(ValueError, match="into a new folder"):
        labelled_faces(train_regressor.parse_args(
            ["--data", str(work / "faces"), "--labels", str(tmp_path), "--output_dir", ""]
        ))  # fmt: skip


def test_of_several_label_folders_the_mean_counts(work, tmp_path):
    shutil.copytree(work / "labels", tmp_path / "other")
    for path in (tmp_path / "other").glob("part-*.jsonl"):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        path.write_text("".join(json.dumps(row | {"quality": 7 - row["quality"]}) + "\n" for row in rows))
    folders = [work / "labels", tmp_path / "other"]
    seed, rows, mean = read_opinions(folders)
    own = torch.tensor([row["quality"] for row in rows])
    opposite = own.sort().values[(-own).argsort(stable=True).argsort(stable=True)]  # on the first folder's own scale
    assert seed == 0 and torch.allclose(mean, (own + opposite) / 2)
    assert torch.equal(read_opinions(folders[:1])[2], own)
    train(work, tmp_path / "run", "--labels", *folders, "--recipe", "difiqa-r-small", "--epochs", 1)
    for path in (tmp_path / "other").glob("part-*.jsonl"):
        path.write_text(path.read_text().replace('"pixels": "', '"pixels": "0'))
    with pytest.raises(ValueError, match="do not hold the same views"):
        read_opinions(folders)


def test_faces_without_another_of_their_person_are_left_out(work, capsys):
    views = ((toy_faces(5) + 1) * 127.5).round().to(torch.uint8)
    faces = Faces(views, torch.rand(5), list("uvwxy"), ["a", "a", "b", "b", None], *(torch.ones(2, 5) > 0))
    args = Namespace(recognizer=str(work / "backbone"), backbone=None)
    labels, known = train_regressor.with_similarities(faces.raw, faces, RECIPES["difiqa-r-mated"], args, "cpu")
    assert known.tolist() == [True] * 4 + [False] and labels.isfinite().all()
    assert labels[:4].tolist() != faces.raw[:4].tolist()
    assert "4 of 5 views have a person to be compared with; the others are left out" in capsys.readouterr().out


def test_people_who_are_left_out_are_not_labelled(work, tmp_path):
    """And the labels of the others are what they are among all."""
    (tmp_path / "overlap.json").write_text(json.dumps({"lfw": ["faces/ann"]}))
    flags = label_flags(work, tmp_path / "labels")
    AcceleratorState._reset_state(reset_partial_state=True)
    label_dataset.main([*flags, "--leave_out", str(tmp_path / "overlap.json")])
    found, everybody = (
        {(row["name"], row["view"]): row["quality"] for row in read_labels(folder)}
        for folder in (tmp_path / "labels", work / "labels")
    )
    assert {Path(name).parent.name for name, _ in found} == {"bob"} and len(found) == len(everybody) / 2
    assert all(everybody[key] == pytest.approx(quality, abs=1e-6) for key, quality in found.items())
    with pytest.raises(SystemExit):
        label_dataset.parse_args(["--dataset_name", "x", "--leave_out", "y.json", "--output_dir", "z"])


def test_nothing_is_learnt_of_people_who_are_held_out(work, tmp_path):
    (tmp_path / "people.json").write_text(json.dumps({"held out": ["faces/ann"]}))
    flags = ["--data", str(work / "faces"), "--labels", str(work / "labels"), "--output_dir", str(tmp_path)]
    args = train_regressor.parse_args([*flags, "--hold_out", str(tmp_path / "people.json"), "--recipe", "ai-kd-small"])
    faces = labelled_faces(args)
    assert {Path(name).parent.name for name, held in zip(faces.names, faces.held_out, strict=True) if held} == {"ann"}
    used = train_regressor.learnt_labels(faces, RECIPES["ai-kd-small"], args, "cpu")[1]
    assert torch.equal(used, ~faces.held_out) and 0 < used.sum() < len(used)
    assert {person is None for person, held in zip(faces.people, faces.held_out, strict=True) if held} == {True}
    (tmp_path / "set.json").write_text(json.dumps({"lfw": ["faces/bob"]}))
    both = ["--hold_out", str(tmp_path / "people.json"), str(tmp_path / "set.json")]
    assert labelled_faces(train_regressor.parse_args(flags + both)).held_out.all()


def test_nobody_to_compare_with_is_an_error(work, tmp_path):
    (tmp_path / "everybody.json").write_text(json.dumps({"all": ["faces/ann", "faces/bob"]}))
    with pytest.raises(ValueError, match="no view has another labelled image of its person"):
        train(work, tmp_path, "--recipe", "difiqa-r-mated", "--leave_out", tmp_path / "everybody.json")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--recipe", "difiqa-r-small", "--teachers", "norm"], "asks no other method"),
        (["--recipe", "ai-kd-small", "--teachers", "norm"], "leave out --teachers"),
    ],
)
def test_teachers_go_with_their_recipe(work, tmp_path, flags, message):
    with pytest.raises(ValueError, match=message):
        train(work, tmp_path, *flags)
    with pytest.raises(ValueError, match="difiqa-r-consensus needs other methods"):
        train_regressor.main(
            ["--data", "x", "--labels", "y", "--output_dir", str(tmp_path), "--recipe", "difiqa-r-consensus"]
        )


def test_two_sources_of_one_name_are_refused(work, tmp_path):
    write_faces(tmp_path / "a" / "x", 1), write_faces(tmp_path / "b" / "x", 1)
    flags = label_flags(work, tmp_path / "out")
    flags[1:2] = [str(tmp_path / "a" / "x"), str(tmp_path / "b" / "x")]
    AcceleratorState._reset_state(reset_partial_state=True)
    with pytest.raises(ValueError, match="have the same name, so their images would too"):
        label_dataset.main(flags)


def test_images_that_came_or_went_are_refused(work, tmp_path):
    shutil.copytree(work / "faces", tmp_path / "faces")
    flags = label_flags(work, tmp_path / "out")
    flags[1], flags[flags.index("--part_size") + 1] = str(tmp_path / "faces"), "7"  # two parts for ann, two for bob
    AcceleratorState._reset_state(reset_partial_state=True)
    label_dataset.main(flags)
    assert json.loads((tmp_path / "out" / "complete.json").read_text())["unreadable"] == 2
    shutil.copy(tmp_path / "faces" / "ann" / "0.png", tmp_path / "faces" / "ann" / "00.png")
    with pytest.raises(ValueError, match="made of other images than there are now"):
        label_dataset.main(flags)
    shutil.rmtree(tmp_path / "faces" / "bob")
    (tmp_path / "faces" / "ann" / "00.png").unlink()
    (tmp_path / "out" / "part-000002.jsonl").unlink()  # as killed processes leave gaps
    with pytest.raises(ValueError, match="holds parts of more images than there are now"):
        label_dataset.main(flags)


def test_an_image_that_was_mended_since_is_labelled_after_all(work, tmp_path):
    shutil.copytree(work / "faces", tmp_path / "faces")
    shutil.copytree(work / "labels", tmp_path / "out")
    flags = label_flags(work, tmp_path / "out")
    flags[1] = str(tmp_path / "faces")
    described = tmp_path / "out" / "labels_config.json"
    described.write_text(described.read_text().replace(str(work / "faces"), str(tmp_path / "faces")))
    before = contents(tmp_path / "out")
    shutil.copy(tmp_path / "faces" / "bob" / "1.png", tmp_path / "faces" / "ann" / "broken.jpg")
    AcceleratorState._reset_state(reset_partial_state=True)
    label_dataset.main(flags)
    after = contents(tmp_path / "out")
    assert json.loads(after["complete.json"]) == {"parts": 10, "rows": 26, "unreadable": 1}
    changed = [name for name in before if name.startswith("part") and before[name] != after[name]]
    assert changed and all("broken" in after[name] for name in changed)


def test_other_pixels_under_the_same_name_are_refused(work, tmp_path):
    shutil.copytree(work / "faces", tmp_path / "faces")
    args = Namespace(data=[str(tmp_path / "faces")], labels=[str(work / "labels")], leave_out=None, hold_out=[])
    assert len(labelled_faces(args).views) == 24
    shutil.copy(tmp_path / "faces" / "ann" / "0.png", tmp_path / "faces" / "bob" / "3.png")
    with pytest.raises(ValueError, match=r"1 images are others than when .*labels was made, such as faces/bob/3\.png"):
        labelled_faces(args)


def test_a_column_without_images_and_an_empty_cell(work, tmp_path):
    (tmp_path / "set").mkdir()
    buffer = io.BytesIO()
    Image.new("RGB", (112, 112), "gray").save(buffer, "PNG")
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int32")})
    cells = {"image": [None, {"bytes": buffer.getvalue(), "path": None}], "label": [1, 2]}
    with pytest.raises(ValueError, match="the cell is empty"):
        encoded({"bytes": None, "path": None})
    datasets.Dataset.from_dict(cells, features).to_parquet(tmp_path / "set" / "train.parquet")
    flags = ["--dataset_name", tmp_path / "set", "--checkpoint", work / "pipeline", "--num_repeats", "1"]

    def label_into(name: str, *more) -> None:
        AcceleratorState._reset_state(reset_partial_state=True)
        label_dataset.main(list(map(str, [*flags, "--output_dir", tmp_path / name, *more])))

    label_into("labels")
    assert json.loads((tmp_path / "labels" / "complete.json").read_text()) == {"parts": 1, "rows": 1, "unreadable": 1}
    assert "the cell is empty" in (tmp_path / "labels" / "unreadable-000000.jsonl").read_text()
    with pytest.raises(ValueError, match=r"column label of .* holds int32, no images; see --image_column"):
        label_into("other", "--image_column", "label")
    with pytest.raises(ValueError, match="has no column face, but image, label"):
        label_into("other", "--image_column", "face")


def test_a_streamed_set_of_zipped_files_is_labelled(work, tmp_path):
    (tmp_path / "set").mkdir()
    with zipfile.ZipFile(tmp_path / "set" / "train.zip", "w") as archive:
        for i in range(2):
            archive.write(work / "faces" / "ann" / f"{i}.png", f"{i}.png")
    AcceleratorState._reset_state(reset_partial_state=True)
    label_dataset.main(["--dataset_name", str(tmp_path / "set"), "--checkpoint", str(work / "pipeline"),
                        "--num_repeats", "1", "--output_dir", str(tmp_path / "labels")])  # fmt: skip
    done = json.loads((tmp_path / "labels" / "complete.json").read_text())
    assert done == {"parts": 1, "rows": 2, "unreadable": 0}


def test_one_process_distils(work, tmp_path):
    flags = ["--data", work / "faces", "--labels", work / "labels", "--backbone", work / "backbone"]
    result = run("train_regressor.py", *flags, "--output_dir", tmp_path, processes=2)
    assert result.returncode and "runs in one process, found 2" in result.stderr and not list(tmp_path.iterdir())
