"""The curves against a slow independent statement of the protocols, and what must hold for any data."""

import subprocess
import sys
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from difiqa_hf.metrics import UndefinedAreaError, error_discard

pytestmark = pytest.mark.filterwarnings("ignore:.*k = 0:UserWarning")
PAPER_OPTIONS = [{}, {"fmr_rule": "le"}, {"threshold_update": "fixed"}, {"ties": "skip"}, {"grid_step": 0.01}]


@st.composite
def comparisons(draw):
    """Few distinct values, so that scores and qualities tie; both kinds are present."""
    n = draw(st.integers(2, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    similarity = rng.integers(-4, 5, n) / 4
    quality = rng.integers(0, draw(st.integers(1, 30)), (n, 2)) / 8
    genuine = rng.random(n) < 0.6
    genuine[:2] = [True, False]
    return similarity, genuine, quality


FMR = st.sampled_from([0.001, 0.1, 0.25, 0.3, 0.5, 0.7])


def slow_paper(
    similarity, genuine, quality, fmr, fmr_rule="lt", threshold_update="recompute", ties="stable", grid_step=0.05
):
    """FNMR on the grid, pair by pair."""
    pairs = sorted(zip(quality.min(1), range(len(genuine)), similarity, genuine, strict=True), key=lambda p: p[:2])
    curve, d, v = [], Decimal(0), None
    while d < 1:
        cut = int(d * len(pairs))
        while ties == "skip" and cut > 0 and pairs[cut - 1][0] == pairs[cut][0]:
            cut -= 1
        impostor = sorted((s for _, _, s, g in pairs[cut:] if not g), reverse=True)
        if v is None or threshold_update == "recompute":
            allowed = Decimal(str(fmr)) * len(impostor)
            over = [s for k, s in enumerate(impostor, 1) if k > allowed or (k == allowed and fmr_rule == "lt")]
            v = over[0] if over else None
        scores = [s for _, _, s, g in pairs[cut:] if g]
        curve.append(sum(s <= v for s in scores) / len(scores) if scores and v is not None else float("nan"))
        d += Decimal(str(grid_step))
    return curve


def slow_edc(similarity, genuine, quality, fmr, limit):
    """Area of the staircase of the genuine pairs, by asking at every possible number of pairs discarded."""
    impostor = sorted(similarity[~genuine], reverse=True)
    v = next(s for i, s in enumerate(impostor) if i + 1 >= Decimal(str(fmr)) * len(impostor))
    scores, worst = similarity[genuine], quality[genuine].min(1)
    with localcontext() as context:
        context.prec = 40
        area, n = Decimal(0), len(scores)
        for discarded in range(n):
            left, right = Decimal(discarded) / n, min(Decimal(discarded + 1) / n, Decimal(str(limit)))
            kept = scores[worst >= sorted(worst)[discarded]]
            area += max(right - left, Decimal(0)) * int((kept <= v).sum()) / len(kept)
        return float(area)


def test_needs_numpy_only():
    code = "import sys, difiqa_hf.metrics; print(sorted({'torch', 'transformers', 'scipy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


@pytest.mark.parametrize("options", PAPER_OPTIONS, ids=str)
@given(comparisons(), FMR)
@settings(max_examples=60, deadline=None)
def test_paper_is_the_slow_statement(options, data, fmr):
    np.testing.assert_array_equal(error_discard(*data, fmr=fmr, **options).fnmr, slow_paper(*data, fmr, **options))


@given(comparisons(), FMR, st.sampled_from([0.2, 0.3, 0.55, 1.0]))
@settings(max_examples=100, deadline=None)
def test_edc_is_the_slow_statement(data, fmr, limit):
    result = error_discard(*data, fmr=fmr, protocol="edc")
    if result.fnmr0 > 0:
        assert result.pauc(limit, "area") == pytest.approx(slow_edc(*data, fmr, limit), abs=1e-12)


@pytest.mark.parametrize("protocol", ["paper", "edc"])
@given(comparisons(), FMR)
@settings(max_examples=50, deadline=None)
def test_only_the_order_of_the_qualities_counts(protocol, data, fmr):
    similarity, genuine, quality = data
    expected = error_discard(*data, fmr=fmr, protocol=protocol)
    same = [
        error_discard(similarity, genuine, np.exp(quality), fmr=fmr, protocol=protocol),
        error_discard(similarity, genuine, quality[:, ::-1], fmr=fmr, protocol=protocol),
        error_discard(similarity, genuine, quality.min(axis=1), fmr=fmr, protocol=protocol),
        error_discard(similarity, genuine, -quality, fmr=fmr, protocol=protocol, higher_is_better=False),
        error_discard(similarity * 4 + 1, genuine, quality, fmr=fmr, protocol=protocol),
    ]
    for other in same:
        np.testing.assert_array_equal(other.fnmr, expected.fnmr)
        np.testing.assert_array_equal(other.discard, expected.discard)


@given(comparisons(), FMR)
@settings(max_examples=50, deadline=None)
def test_edc_ignores_the_order_of_the_comparisons(data, fmr):
    shuffled = np.random.default_rng(0).permutation(len(data[0]))
    expected = error_discard(*data, fmr=fmr, protocol="edc")
    other = error_discard(*(values[shuffled] for values in data), fmr=fmr, protocol="edc")
    np.testing.assert_array_equal(other.fnmr, expected.fnmr)


@given(comparisons(), FMR)
@settings(max_examples=50, deadline=None)
def test_a_constant_quality_removes_nothing(data, fmr):
    similarity, genuine, quality = data
    for options in ({"ties": "skip"}, {"protocol": "edc"}):
        result = error_discard(similarity, genuine, np.zeros_like(quality), fmr=fmr, **options)
        assert set(result.fnmr) == {result.fnmr0}
        if result.fnmr0 > 0:
            assert result.pauc(0.3) == pytest.approx(1)


def test_a_perfect_quality_reaches_the_best_area():
    similarity = np.r_[np.linspace(0.4, 0.9, 100), np.linspace(-0.5, 0.5, 100)]
    genuine = np.arange(200) < 100
    result = error_discard(similarity, genuine, similarity, fmr=0.1, protocol="edc")
    assert 0 < result.fnmr0 < 0.2
    # The best area is that of a line; a staircase of 100 pairs lies above it by at most half a pair's width.
    assert 0 <= result.pauc(0.2, "minus_best") <= 0.01 * result.fnmr0


def test_the_target_rate_is_the_decimal_that_was_typed():
    similarity, genuine = np.r_[np.zeros(10), np.arange(100) / 100], np.arange(110) < 10
    assert 0.29 * 100 != 29, "doubles: floor would give 28"
    assert error_discard(similarity, genuine, similarity, fmr=0.29, fmr_rule="le").k[0] == 29
    assert error_discard(similarity, genuine, similarity, fmr=0.29, fmr_rule="lt").k[0] == 28


def test_result_says_what_it_is():
    rng = np.random.default_rng(0)
    similarity, genuine, quality = rng.random(600), np.arange(600) % 3 == 0, rng.random(600)
    result = error_discard(similarity, genuine, quality, fmr=0.1)
    assert (result.protocol, result.fmr, result.n_genuine, result.n_impostor) == ("paper", 0.1, 200, 400)
    assert result.options == {
        "fmr_rule": "lt", "threshold_update": "recompute", "ties": "stable", "unit": "pair", "grid_step": 0.05,
        "higher_is_better": True,
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
        ({"fmr": 1}, r"\(0, 1\)"),
        ({"protocol": "iso"}, "known: paper, edc"),
        ({"fmr_rule": "nearest"}, "lt, le"),
        ({"grid_step": 0}, "grid_step"),
        ({"unit": "image"}, "pair"),
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
    with pytest.raises(ValueError, match="known: area, normalised"):
        result.pauc(0.3, "relative")
