"""What a result says of itself, what is refused, and where there is no figure."""

import numpy as np
import pytest

from difiqa_hf.metrics import UndefinedAreaError, error_discard

pytestmark = pytest.mark.filterwarnings("ignore:.*too few for FMR:UserWarning")


def test_result_says_what_it_is():
    rng = np.random.default_rng(0)
    similarity, genuine, quality = rng.random(600), np.arange(600) % 3 == 0, rng.random(600)
    result = error_discard(similarity, genuine, quality, fmr=0.1)
    assert (result.protocol, result.fmr, result.n_genuine, result.n_impostor) == ("paper", 0.1, 200, 400)
    assert result.options == {
        "fmr_rule": "lt", "threshold_update": "recompute", "ties": "stable", "unit": "pair", "grid_step": 0.05,
        "higher_is_better": True, "normalisation": "fnmr0_range", "subtract_best": False,
    }  # fmt: skip
    assert len(result.k) == len(result.threshold) == len(result.discard) == 20
    edc = error_discard(similarity, genuine, quality, fmr=0.1, protocol="edc")
    assert edc.options["unit"] == "mated_pair" and edc.options["threshold_update"] == "fixed"
    with pytest.raises(AttributeError):
        result.fmr = 0.2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"genuine": [1, 1, 1, 1]}, "0 impostor"),
        ({"genuine": [0, 0, 0, 0]}, "0 genuine"),
        ({"genuine": [1, 0, 2, 0]}, "0 and 1"),
        ({"genuine": [1, 0, 1]}, r"\(4,\) and \(3,\)"),
        ({"similarity": [0.1, np.nan, 0.2, np.inf]}, r"similarity must be finite, found 2 .* of 4, .* index \[1\]"),
        ({"quality": [[1, 1], [1, 1], [1, -np.inf], [1, 1]]}, r"quality must be finite.* \[2, 1\]"),
        ({"quality": [1, 2, 3]}, r"\(3,\)"),
        ({"fmr": 0}, r"\(0, 1\), found 0"),
        ({"fmr": float("nan")}, r"\(0, 1\), found nan"),
        ({"fmr": 1}, r"\(0, 1\)"),
        ({"protocol": "iso"}, "known: paper, edc"),
        ({"fmr_rule": "eq"}, "lt, le, nearest, pyeer, quantile, far_threshold"),
        ({"fmr": float("inf")}, r"\(0, 1\), found inf"),
        ({"grid_step": 0}, "grid_step"),
        ({"grid_step": float("nan")}, r"grid_step must be in \(0, 1\] or 'exact', found nan"),
        ({"grid_step": "fine"}, "or 'exact', found fine"),
        ({"grid_step": "exact"}, "exact steps need threshold_update='fixed'"),
        ({"unit": "mated_pair"}, "discards no impostor, need threshold_update='fixed'"),
        ({"ties": "together"}, "stable or skip"),
        ({"protocol": "edc", "ties": "skip"}, "together"),
        ({"unit": "image"}, r"give images=\(N, 2\)"),
        ({"unit": "person"}, "pair, mated_pair, image"),
        ({"images": [[0, 1], [2, 3], [0, 2], [1, 4]]}, r"\(4,\) and images from 0 to 4"),
        ({"images": [[0, 1], [2, 3]]}, r"\(4, 2\), found int64 \(2, 2\)"),
        ({"images": [[0, 1]] * 4, "quality": [[1, 2], [1, 2], [1, 2], [1, 3]]}, "image 1 has more than one quality"),
        ({"norm": 1}, "no option 'norm'"),
        ({"protocol": "edc", "threshold_update": "recompute"}, "fixed"),
    ],
)
def test_refusals(change, message):
    arguments = {"similarity": [0.9, 0.1, 0.2, 0.3], "genuine": [1, 0, 1, 0], "quality": [1, 2, 3, 4], "fmr": 0.5}
    with pytest.raises(ValueError, match=message):
        error_discard(**arguments | change)


def test_no_error_is_no_figure():
    result = error_discard([0.9, 0.8, 0.1, 0.2], [1, 1, 0, 0], [1, 2, 3, 4], fmr=0.5)
    assert result.fnmr0 == 0
    with pytest.raises(UndefinedAreaError, match=r"FNMR\(0\) is 0 of 2 genuine"):
        result.pauc(0.3)


def test_no_impostor_left_is_no_figure():
    result = error_discard([0.1, 0.1, 0.3, 0.2], [1, 1, 0, 0], [3, 4, 1, 2], fmr=0.5)
    assert np.isnan(result.fnmr[-1]) and np.isnan(result.threshold[-1]) and result.k[-1] == 0
    assert result.pauc(0.3) == 1
    with pytest.raises(UndefinedAreaError, match=r"at discard 0\.5 none is left of 2 genuine or of 2"):
        result.pauc(0.6)


@pytest.mark.filterwarnings("default:.*k = 0:UserWarning")
def test_too_few_impostors_warn():
    rng = np.random.default_rng(0)
    similarity, genuine, quality = rng.random(3000), np.arange(3000) % 2 == 0, rng.random(3000)
    with pytest.warns(UserWarning, match=r"1500 impostor .* FMR 0.0001 .*more than 10000 impostors"):
        error_discard(similarity, genuine, quality, fmr=1e-4)
    result = error_discard(similarity, genuine, quality, fmr=1e-3)
    assert (result.k[0], result.k[-1]) == (1, 0)
    with pytest.warns(UserWarning, match="from discard 0.35 on"):
        result.pauc(0.5)
    with pytest.raises(ValueError, match="limit"):
        result.pauc(30)
    with pytest.raises(ValueError, match="known: area, best"):
        result.pauc(0.3, "mean")


def test_figures_follow_the_options():
    rng = np.random.default_rng(0)
    genuine = np.arange(600) % 3 == 0
    similarity, quality = rng.random(600) + 0.5 * genuine, rng.random(600)
    by_options = {
        (normalisation, best): error_discard(
            similarity, genuine, quality, fmr=0.1, protocol="edc", normalisation=normalisation, subtract_best=best
        ).pauc(0.3)
        for normalisation in ("none", "fnmr0", "fnmr0_range")
        for best in (False, True)
    }
    areas = error_discard(similarity, genuine, quality, fmr=0.1, protocol="edc").areas(0.3)
    names = ("area", "minus_best", "over_fnmr0", "excess", "normalised", "relative")
    assert list(by_options.values()) == [areas[name] for name in names]
    assert areas["excess"] == pytest.approx(areas["over_fnmr0"] - areas["best"] / (areas["area"] / areas["over_fnmr0"]))


def test_one_grid_point_has_no_relative_figure():
    result = error_discard([0.1, 0.8, 0.1, 0.2], [1, 1, 0, 0], [1, 2, 3, 4], fmr=0.5, subtract_best=True)
    with pytest.raises(UndefinedAreaError, match="finer grid"):
        result.pauc(0.05)
