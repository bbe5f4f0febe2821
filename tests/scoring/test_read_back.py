"""Result files, read again: whatever is wrong with one is a message with file and row."""

import gzip

import pytest
from PIL import Image

from difiqa_hf.scoring.read_back import read_rows

HEADER = "path,status,quality\n"
GOOD = '{"path": "a.png", "status": "ok", "quality": 0.5}\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "row 1 of .*: lacks the column path, status, quality; found 'a', 'b'"),
        (HEADER + "a.png,ok,1\nb.png,ok,x\n", "row 2 of .*: the quality must be a finite number, .* found 'x'"),
        (HEADER + "a.png,ok,nan\n", "row 1 of .*: the quality must be a finite number, .* found 'nan'"),
        (HEADER + ",ok,1\n", "row 1 of .*: the path must be a text, found ''"),
        (HEADER + '"' + "x" * 200_000 + '",ok,1\n', "row 1 of .*: field larger than field limit"),
        (GOOD + "3\n", "row 2 of .*: a row must be a JSON object, found a int"),
        (GOOD + "{no\n", "row 2 of .*: Expecting property name"),
        (GOOD.replace('"a.png"', "null"), "row 1 of .*: the path must be a text, found None"),
        (GOOD.replace("0.5", "Infinity"), "row 1 of .*: the quality must be a finite number, .* found inf"),
        (GOOD.replace("0.5", "[1]"), r"row 1 of .*: the quality must be a finite number, .* found \[1\]"),
        ("[1]\n", "row 1 of .*: a row must be a JSON object, found a list"),
    ],
)
def test_what_is_wrong_with_a_row(tmp_path, text, message):
    (tmp_path / "scores.txt").write_text(text)
    with pytest.raises(ValueError, match=message):
        list(read_rows(tmp_path / "scores.txt"))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (gzip.compress(HEADER.encode(), mtime=0), "no result of difiqa score .* but gzip"),
        (b"a\0b", "no result of difiqa score .* but binary"),
        (b"PAR1 and no more", "no whole Parquet file"),
        (GOOD.encode() + b'{"path": "\xff"}\n', "codec can't decode"),
    ],
)
def test_other_files_are_named_and_not_printed(tmp_path, data, message):
    (tmp_path / "scores.csv").write_bytes(data)
    with pytest.raises(ValueError, match=rf"scores\.csv.*{message}|{message}.*") as error:
        list(read_rows(tmp_path / "scores.csv"))
    assert "scores.csv" in str(error.value) and str(error.value).isprintable()


def test_a_picture_is_none(tmp_path):
    Image.new("RGB", (9, 9)).save(tmp_path / "scores.csv", "PNG")
    with pytest.raises(ValueError, match=r"scores.csv is no result .* but PNG"):
        list(read_rows(tmp_path / "scores.csv"))


@pytest.mark.parametrize("text", [GOOD, "\ufeff" + GOOD, "\n" + GOOD + "\n", HEADER + "a.png,ok,0.5\n"])
def test_the_format_is_told_by_the_content(tmp_path, text):
    (tmp_path / "scores.txt").write_text(text, encoding="utf-8")
    (row,) = read_rows(tmp_path / "scores.txt")
    assert (row["path"], row["quality"], row["percentile"]) == ("a.png", 0.5, None)
