"""Who is held out, and what becomes of their faces."""

import json

import pytest
from launching import write_faces

from difiqa_hf.benchmarks import load_benchmark

import hold_out  # isort: skip


@pytest.fixture
def pool(tmp_path):
    for person, count in (("ann", 5), ("bob", 4), ("cleo", 3), ("dan", 1)):
        write_faces(tmp_path / "pool" / person, count)
    return tmp_path / "pool"


def test_chosen_people_become_two_benchmarks(pool, tmp_path):
    (tmp_path / "others.json").write_text(json.dumps({"lfw": ["pool/bob"]}))
    flags = ["--data", pool, "--leave_out", tmp_path / "others.json", "--least", 3, "--images", 4]
    for output in ("a", "b"):
        hold_out.main(list(map(str, [*flags, "--output_dir", tmp_path / output])))
    assert json.loads((tmp_path / "a" / "people.json").read_text()) == {"held out": ["pool/ann", "pool/cleo"]}
    clean, mixed = (load_benchmark(name="folder", root=tmp_path / "a" / name) for name in ("clean", "mixed"))
    assert clean.images == mixed.images and len(clean.images) == 7 and clean.genuine.sum() == 6 + 3
    same = [clean.load_image(i).tobytes() == mixed.load_image(i).tobytes() for i in range(7)]
    assert sum(same) == 4  # every second one is varied
    written = {path.relative_to(tmp_path / "a"): path.read_bytes() for path in (tmp_path / "a").rglob("*.png")}
    assert all((tmp_path / "b" / name).read_bytes() == content for name, content in written.items())


def test_too_few_people_and_numbers_that_fit_no_source_are_refused(pool, tmp_path):
    flags = ["--data", str(pool), "--output_dir", str(tmp_path / "out")]
    with pytest.raises(ValueError, match=r"1 of 4 people have \[5\] images, need 2: lower --least"):
        hold_out.main([*flags, "--least", "5"])
    with pytest.raises(ValueError, match=r"--people takes one number or one for each of the 1 sources, got \[1, 2\]"):
        hold_out.main([*flags, "--people", "1", "2"])
    assert not (tmp_path / "out").exists()
