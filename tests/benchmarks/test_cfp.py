"""The reader of CFP's layout."""

import numpy as np
import pytest

from difiqa_hf.benchmarks import load_benchmark
from difiqa_hf.benchmarks.available import leave_out_unavailable
from difiqa_hf.benchmarks.cfp import load_cfp
from made_up_benchmarks import cfp_files, write


@pytest.mark.parametrize(("name", "view"), [("cfp-ff", "frontal"), ("cfp-fp", "profile")])
def test_reads_every_form(layout, name, view):
    benchmark = load_benchmark(name, layout(cfp_files()))
    assert (benchmark.name, len(benchmark.pairs), benchmark.genuine.sum()) == (name, 16, 8)
    assert np.unique(benchmark.folds).tolist() == [1, 3], "the folds that are present, by their own numbers"
    images = [[benchmark.images[i] for i in pair] for pair in benchmark.pairs]
    assert images[0] == ["Data/Images/001/frontal/01.jpg", f"Data/Images/001/{view}/02.jpg"]
    assert images[4] == ["Data/Images/001/frontal/01.jpg", f"Data/Images/004/{view}/03.jpg"]
    assert benchmark.load_image(0).mode == "RGB"


def test_other_files_among_the_folds_are_left_alone(tmp_path):
    root = write(tmp_path, cfp_files() | {"Protocol/Split/FF/.DS_Store": "", "Protocol/Split/FF/README/same.txt": "x"})
    assert len(load_cfp(root, "FF").pairs) == 16


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"Protocol/Split/FF/01/same.txt": "1,2\n1;2\n"}, ValueError, r"line 2 of .*FF/01/same.txt .*'1;2'"),
        ({"Protocol/Split/FF/01/diff.txt": "1,81\n"}, ValueError, "line 1 .* known images: '1,81'"),
        ({"Protocol/Pair_list_F.txt": "1\n"}, ValueError, "Pair_list_F.txt.*'1'"),
    ],
)
def test_refuses_broken_protocols(tmp_path, change, error, message):
    with pytest.raises(error, match=message):
        load_cfp(write(tmp_path, cfp_files() | change), "FF")


def test_refuses_other_experiments_and_no_folds(tmp_path):
    root = write(tmp_path, cfp_files(folds=()))
    with pytest.raises(ValueError, match="found 'PP'"):
        load_cfp(root, "PP")
    with pytest.raises(FileNotFoundError, match="no fold in Protocol/Split/FP"):
        load_cfp(root, "FP")


def test_real_cfp_reports_the_profile_that_could_not_be_aligned(shared):
    root = shared / "data" / "cfp_ids001-250_aligned112.zip"
    frontal, profile = load_benchmark("cfp-ff", root), load_benchmark("cfp-fp", root)
    for benchmark in (frontal, profile):
        assert (len(benchmark.pairs), benchmark.genuine.sum()) == (3500, 1750)
        assert np.bincount(benchmark.folds).tolist() == [0] + [700] * 5
        person = np.array([name.split("/")[2] for name in benchmark.images])[benchmark.pairs]
        np.testing.assert_array_equal(person[:, 0] == person[:, 1], benchmark.genuine)
    available = leave_out_unavailable(profile)
    missing = "Data/Images/224/profile/02.jpg"
    assert available.problems == {missing: f"{missing}: missing"}
    assert len(available.skipped) == 5 and all(missing in names for names in available.skipped)
    assert len(available.benchmark.pairs) == 3495
