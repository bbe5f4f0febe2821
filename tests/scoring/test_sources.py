"""Zips, videos, wildcards and lists."""

import io
import os
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from difiqa_hf.scoring import UnreadableImageError, expand, find_images, named_paths, score_files, sources
from difiqa_hf.scoring.sources import VIDEOS
from toys import Brightness


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def png(value: int = 100) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (112, 112), (value,) * 3).save(buffer, "PNG")
    return buffer.getvalue()


def reason(source) -> str:
    with pytest.raises(UnreadableImageError) as caught:
        source.read(100)
    return str(caught.value)


def write_video(path: Path, frames: int = 30, fps: float = 10) -> None:
    """Frame i is grey of the level 8 i, with a white corner on the left above."""
    cv2 = pytest.importorskip("cv2")
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), fps, (64, 48))
    for i in range(frames):
        frame = np.full((48, 64, 3), 8 * i, np.uint8)
        frame[:8, :8] = (0, 0, 255)  # red, in OpenCV's order
        writer.write(frame)
    writer.release()


def test_members_of_a_zip_in_its_order(here):
    with zipfile.ZipFile("a.zip", "w") as archive:
        for name in ("z.png", "folder/a.PNG", "notes.txt", "../../escape.png"):
            archive.writestr(name, png() if name != "notes.txt" else b"no")
        archive.writestr("broken.jpg", b"no")
    found = list(expand([Path("a.zip")]))
    assert [str(s.path) for s in found] == [
        "a.zip#z.png",
        "a.zip#folder/a.PNG",
        "a.zip#../../escape.png",
        "a.zip#broken.jpg",
    ]
    assert found[0].read(100).getpixel((0, 0)) == (100, 100, 100)
    assert reason(found[3]).startswith("not an image")
    assert found[0].stamp


def test_zips_that_are_none_or_hide_their_size(here, monkeypatch):
    Path("text.zip").write_bytes(b"PK no zip")
    with zipfile.ZipFile("empty.zip", "w"):
        pass
    with zipfile.ZipFile("large.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros.png", bytes(2_000_000))
    data = bytearray(Path("large.zip").read_bytes())
    data[60] ^= 255
    Path("torn.zip").write_bytes(data)
    monkeypatch.setattr(sources, "MAX_MEMBER_BYTES", 1_000_000)
    text, empty, large, torn = (list(expand([Path(f"{name}.zip")])) for name in ("text", "empty", "large", "torn"))
    assert "not a readable zip" in reason(*text) and reason(*empty) == "no image in this zip"
    assert reason(*large) == "more than 1 MB unpacked"
    assert reason(*torn)


def test_frames_of_a_video(here):
    write_video(Path("clip.avi"))
    every, some = list(expand([Path("clip.avi")])), list(expand([Path("clip.avi")], 2))
    assert [str(s.path) for s in every] == [f"clip.avi#{i}" for i in range(30)]
    assert [str(s.path) for s in some] == [f"clip.avi#{i}" for i in range(0, 30, 5)]
    frame = some[2].read(100)
    assert frame.size == (64, 48) and abs(frame.getpixel((40, 40))[0] - 80) < 6
    red = frame.getpixel((2, 2))
    assert red[0] > 200 and red[2] < 60
    assert "megapixels, at most 0.001 are read" in reason_with(some[0], 0.001)


def reason_with(source, limit: float) -> str:
    with pytest.raises(UnreadableImageError) as caught:
        source.read(limit)
    return str(caught.value)


def test_videos_that_break_off_or_are_none(here):
    write_video(Path("clip.avi"))
    data = Path("clip.avi").read_bytes()
    Path("half.avi").write_bytes(data[: len(data) // 2])
    Path("text.mp4").write_text("#EXTM3U\nhttp://127.0.0.1:9/secret\n")
    *frames, last = expand([Path("half.avi")])
    assert 5 < len(frames) < 25 and str(last.path) == "half.avi"
    assert reason(last).startswith("the video breaks off: ")
    (text,) = expand([Path("text.mp4")])
    assert reason(text) == "not a video that OpenCV can decode"


def test_every_path_gives_something(here):
    paths = [Path(f"nowhere{kind}") for kind in (".zip", ".png", *VIDEOS)]
    assert [s.path for s in expand(paths)] == paths
    assert reason(next(expand(paths))) == "no such file"


def test_wildcards_and_files_that_look_like_some(here):
    for name in ("a/1.png", "a/b/2.png", "[x].png", "c.png"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(png())
    assert [str(p) for p in named_paths(["**/*.png"])] == ["[x].png", "a/1.png", "a/b/2.png", "c.png"]
    assert [str(p) for p in named_paths(["[x].png", "[cz].png", "*.gif"])] == ["[x].png", "c.png", "*.gif"]


@pytest.mark.parametrize("separator", [b"\n", b"\0", b"\r\n"])
def test_a_list_of_paths(separator):
    names = [b"a.png", b" b .png", b"\xff.png"] + ([b"new\nline.png"] if separator == b"\0" else [])
    listing = io.BytesIO(separator.join(names) + separator)
    found = list(named_paths(["x", "-"], listing, b"\0" if separator == b"\0" else b"\n"))
    assert [os.fsencode(path) for path in found] == [b"x", *names]


def test_a_folder_that_can_be_listed_but_not_entered_costs_its_rows_only():
    """As root everything may be entered: the test steps down, where pytest's own folders are closed to it."""
    user = os.geteuid()
    with tempfile.TemporaryDirectory() as name:
        locked = Path(name) / "locked"
        locked.mkdir()
        Path(name).chmod(0o755)
        for place in (Path(name) / "open.png", locked / "a.png"):
            Image.new("RGB", (112, 112)).save(place)
        locked.chmod(0o444)
        try:
            os.seteuid(65534 if user == 0 else user)
            paths = list(find_images([Path(name), locked / "a.png", locked / "b.zip"]))
            rows = [(row.path.name, row.status) for row in score_files(paths, Brightness())]
            kinds = [source.path.name for source in expand(paths)]
        finally:
            os.seteuid(user)
            locked.chmod(0o755)
    assert sorted(rows) == [("a.png", "unreadable")] * 2 + [("b.zip", "unreadable"), ("open.png", "ok")]
    assert sorted(kinds) == ["a.png", "a.png", "b.zip", "open.png"]
