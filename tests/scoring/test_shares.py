"""`difiqa score` by two real processes, as `accelerate launch` starts them: the file of one process."""

import os
import subprocess
import sys

from PIL import Image

from difiqa_hf.cli import main

LAUNCH = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines",
          "1", "--main_process_port", "0", "--mixed_precision", "no", "--dynamo_backend", "no", "--module"]  # fmt: skip
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "1"}


def test_two_processes_write_what_one_writes(tmp_path, monkeypatch):
    """Killed and resumed: tests/cli/test_killed.py."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "faces").mkdir()
    for i in range(19):  # five chunks, the last incomplete: three and two
        Image.new("RGB", (112, 112), (i, 2 * i, 3 * i)).save(f"faces/{i:02d}.png")
    (tmp_path / "faces" / "broken.png").write_bytes(b"no picture")
    arguments = ["score", "faces", "--method", "random", "--batch-size", "4", "-o"]
    assert main([*arguments, "one.csv"]) == 0
    two = subprocess.run(
        [*LAUNCH, "difiqa_hf", *arguments, "two.csv"], env=ENVIRONMENT, capture_output=True, text=True, timeout=300,
        check=False,
    )  # fmt: skip
    assert two.returncode == 0, two.stderr[-2000:]
    assert (tmp_path / "two.csv").read_bytes() == (tmp_path / "one.csv").read_bytes()
    assert two.stderr.count("20 images: 19 ok, 1 unreadable; 20 rows in") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"faces", "one.csv", "two.csv"}


def test_what_several_processes_cannot_share(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr("difiqa_hf.processes.process_state", lambda: type("State", (), {"num_processes": 2}))
    assert main(["score", "-", "-o", str(tmp_path / "scores.csv")]) == 1
    assert "only one process can read the list on stdin" in capsys.readouterr().err
    Image.new("RGB", (112, 112)).save(tmp_path / "a.png")
    assert main(["score", str(tmp_path), "--method", "random"]) == 1
    assert "2 processes cannot share stdout; name a file by -o" in capsys.readouterr().err


def test_what_another_number_of_processes_has_left_is_not_lost(tmp_path, capsys):
    Image.new("RGB", (112, 112)).save(tmp_path / "a.png")
    left = [tmp_path / f"scores.csv.{index}-of-2.{name}" for index in range(2) for name in ("partial", "progress")]
    other = tmp_path / "scores.csv.old.progress"
    for path in (*left, other):
        path.write_text("rows")
    command = ["score", str(tmp_path / "a.png"), "--method", "random", "-o", str(tmp_path / "scores.csv")]
    assert main(command) == 1 and all(path.exists() for path in left)
    assert "left by a run of another number of processes than 1" in capsys.readouterr().err
    assert main([*command, "--restart"]) == 0
    assert not any(path.exists() for path in left) and other.exists()
