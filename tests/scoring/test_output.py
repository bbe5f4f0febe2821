"""A run that is killed at any moment and resumed leaves the same file as one that is not."""

import json
from pathlib import Path

import pytest

from difiqa_hf.scoring import Row, Source, in_chunks, open_output
from difiqa_hf.scoring.output import kind_of

ROWS = 11


def sources(count: int = ROWS, changed: int | None = None) -> list[Source]:
    return [Source(Path(f"{i}.png"), None, f"1 {i}" + "x" * (i == changed)) for i in range(count)]


def rows_of(chunk: list[Source]) -> list[Row]:
    """One row a file, two for every third; a name with a line break."""
    rows = []
    for source in chunk:
        number = int(source.path.stem)
        faces = (0, 1) if number % 3 == 0 else (0,)
        rows += [Row(Path(f"a\n{source.path}"), face, "ok", number / 7, None, "m", "r", band="PASS") for face in faces]
    return rows


def run(path: Path, stop_after: int | None = None, files: list[Source] | None = None, **options) -> list[list[Source]]:
    """Write `files` in chunks of two; returns the chunks that were not there already."""
    written = []
    options = {"settings": {"seed": 0}} | options
    columns = ("path", "face", "status", "quality", "percentile", "method", "revision", "band")
    with open_output(str(path), columns, **options) as output:
        for chunk in output.remaining(in_chunks(files or sources(), 2)):
            if len(written) == stop_after:
                raise KeyboardInterrupt
            output.write(chunk, rows_of(chunk))
            written.append(chunk)
    return written


def interrupted(path: Path, after: int, **options) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(path, after, **options)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_every_moment_of_being_killed(tmp_path, kind):
    """Rows are written before the note that they are complete: cut both files in every order that allows."""
    whole, path = tmp_path / f"whole.{kind}", tmp_path / f"scores.{kind}"
    run(whole)
    interrupted(path, 4)
    partial, log = (path.with_name(f"{path.name}.{name}") for name in ("partial", "progress"))
    rows, notes = partial.read_bytes(), log.read_bytes()
    places = [i for i in range(0, len(notes) + 1, 7)]
    for place in places:
        complete = notes[:place].splitlines(keepends=True)
        complete = [line for line in complete if line.endswith(b"\n")]
        written = json.loads(complete[-1])["end"] if complete else 0
        for end in {written, min(written + 5, len(rows)), len(rows)}:
            partial.write_bytes(rows[:end])
            log.write_bytes(notes[:place])
            todo = run(path)
            assert path.read_bytes() == whole.read_bytes()
            assert len(todo) == 6 - max(0, len(complete) - 1)
            assert not partial.exists() and not log.exists()


def test_killed_between_the_last_row_and_the_name(tmp_path):
    run(tmp_path / "whole.csv")
    path = tmp_path / "scores.csv"
    with pytest.raises(KeyboardInterrupt), open_output(str(path), settings={"seed": 0}) as output:
        for chunk in output.remaining(in_chunks(sources(), 2)):
            output.write(chunk, rows_of(chunk))
        raise KeyboardInterrupt
    with open_output(str(path), settings={"seed": 0}) as output:
        assert list(output.remaining(in_chunks(sources(), 2))) == []
        assert (output.progress.rows, sum(output.progress.files.values()), output.progress.resumed) == (15, 11, 6)
    assert path.read_bytes().count(b"ok") == 15


@pytest.mark.parametrize(("changed", "written"), [(0, 6), (5, 4), (10, 2)])
def test_files_that_changed_are_scored_again(tmp_path, changed, written):
    path = tmp_path / "scores.csv"
    interrupted(path, 4)
    assert len(run(path, files=sources(changed=changed))) == written


def test_files_that_came_or_went_are_noticed(tmp_path):
    path = tmp_path / "scores.csv"
    for files in (sources()[1:], sources()[:3], [*sources(), Source(Path("99.png"), None, "")]):
        interrupted(path, 4, files=sources())
        run(path, files=files)
        run(tmp_path / "whole.csv", files=files)
        assert path.read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_work_of_other_settings_is_not_lost_by_accident(tmp_path):
    path = tmp_path / "scores.csv"
    interrupted(path, 4)
    before = path.with_name("scores.csv.partial").read_bytes()
    with pytest.raises(ValueError, match=r"scores.csv.partial belongs to a run with other settings \(seed\)"):
        run(path, settings={"seed": 1})
    assert path.with_name("scores.csv.partial").read_bytes() == before
    assert len(run(path, settings={"seed": 1}, restart=True)) == 6


def test_a_run_that_scored_nothing_does_not_stand_in_the_way(tmp_path):
    interrupted(tmp_path / "scores.csv", 0)
    assert len(run(tmp_path / "scores.csv", settings={"seed": 1})) == 6


def test_two_processes_do_not_write_one_file(tmp_path):
    pytest.importorskip("fcntl")
    path = tmp_path / "scores.csv"
    with open_output(str(path)) as output:
        output.write(sources()[:2], rows_of(sources()[:2]))
        with pytest.raises(ValueError, match="another process is writing"):
            run(path)
    assert path.read_bytes().count(b"ok") == 3


def test_formats(tmp_path):
    with pytest.raises(ValueError, match="Parquet cannot be written to stdout"), open_output("-", kind="parquet"):
        pass
    with open_output(str(tmp_path / "scores.txt"), kind="jsonl") as output:
        output.write(sources()[:1], rows_of(sources()[:1]))
    first = json.loads((tmp_path / "scores.txt").read_text().splitlines()[0])
    assert first == {
        "path": "a\n0.png", "face": 0, "status": "ok", "quality": 0.0, "percentile": None, "method": "m",
        "revision": "r", "band": "PASS",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "kind", "found"),
    [("x.csv", None, "csv"), ("x.PARQUET", None, "parquet"), ("x.NDJSON", None, "jsonl"), ("x", None, "csv"),
     ("x.txt", "jsonl", "jsonl"), ("x.csv", "csv", "csv"), ("-", "jsonl", "jsonl")],
)  # fmt: skip
def test_the_name_says_the_format(name, kind, found):
    assert kind_of(name, kind) == found


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("x.json", None),
        ("x.tsv", None),
        ("x.csv.gz", None),
        ("x.XLSX", "csv"),
        ("x.csv", "parquet"),
        ("x.jsonl", "csv"),
    ],
)
def test_a_name_of_another_format_is_refused(name, kind):
    with pytest.raises(ValueError, match=f"{name} would be no {Path(name).suffix.lower()} file"):
        kind_of(name, kind)
