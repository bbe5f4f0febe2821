"""The curves against a slow independent statement of the protocols, and what must hold for any data."""

import subprocess
import sys
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from difiqa_hf.metrics import error_discard

pytestmark = pytest.mark.filterwarnings("ignore:.*too few for FMR:UserWarning")
GRID_OPTIONS = [
    {},
    {"threshold_update": "fixed"},
    {"ties": "skip"},
    {"grid_step": 0.01},
    {"unit": "mated_pair", "threshold_update": "fixed"},
    {"unit": "image"},
    {"unit": "image", "threshold_update": "fixed", "fmr_rule": "far_threshold"},
    *({"fmr_rule": rule} for rule in ("le", "nearest", "pyeer", "quantile", "far_threshold")),
]


@st.composite
def comparisons(draw):
    """Few distinct values, so that scores and qualities tie; both kinds are present."""
    n = draw(st.integers(2, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    similarity = rng.integers(-4, 5, n) / 4
    images = rng.integers(0, draw(st.integers(1, 2 * n)), (n, 2))
    quality = rng.integers(0, draw(st.integers(1, 30)), images.max() + 2) / 8
    genuine = rng.random(n) < 0.6
    genuine[:2] = [True, False]
    return similarity, genuine, quality[images], images


FMR = st.sampled_from([0.001, 0.1, 0.25, 0.3, 0.5, 0.7])


def slow_matcher(impostor, genuine, fmr, rule):
    """What decides whether a score matches: the rule's sentence, tried on every score that it may choose."""
    fmr = Fraction(str(fmr))

    def rate(threshold):
        return Fraction(sum(s >= threshold for s in impostor), len(impostor))

    if rule in ("lt", "le"):
        allowed = [
            v for v in impostor if rate(np.nextafter(v, 9)) < fmr or (rule == "le" and rate(np.nextafter(v, 9)) == fmr)
        ]
        return lambda s: s > min(allowed)
    if rule == "far_threshold":
        return lambda s: s >= min([t for t in impostor if rate(t) <= fmr], default=np.nextafter(max(impostor), 9))
    if rule == "quantile":
        return lambda s: s >= np.quantile(impostor, 1 - float(fmr))
    threshold = min(sorted({*impostor, *genuine}), key=lambda t: abs(float(rate(t)) - float(fmr)))
    return (lambda s: s > threshold) if rule == "nearest" else (lambda s: s >= threshold)


def slow_grid(data, fmr, fmr_rule="lt", threshold_update="recompute", ties="stable", grid_step=0.05, unit="pair"):
    """FNMR on the grid, pair by pair."""
    pairs = [(min(q), i, s, g, set(im)) for i, (s, g, q, im) in enumerate(zip(*data, strict=True))]
    image_quality = {image: q for im, qs in zip(data[3], data[2], strict=True) for image, q in zip(im, qs, strict=True)}
    kind = {"pair": sorted(pairs), "mated_pair": sorted(p for p in pairs if p[3])}
    order = kind.get(unit, sorted((q, image) for image, q in image_quality.items()))
    curve, d, match = [], Decimal(0), None
    while d < 1:
        cut = int(d * len(order))
        while ties == "skip" and cut > 0 and order[cut - 1][0] == order[cut][0]:
            cut -= 1
        gone = {item[1] for item in order[:cut]}
        left = [p for p in pairs if not (gone & p[4] if unit == "image" else p[1] in gone)]
        scores, impostor = ([s for _, _, s, g, _ in left if g == wanted] for wanted in (True, False))
        if match is None or threshold_update == "recompute":
            match = slow_matcher(impostor, scores, fmr, fmr_rule) if impostor else None
        curve.append(sum(not match(s) for s in scores) / len(scores) if scores and match else float("nan"))
        d += Decimal(str(grid_step))
    return curve


def slow_edc(similarity, genuine, quality, images, fmr, limit):
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


@pytest.mark.parametrize("options", GRID_OPTIONS, ids=str)
@given(comparisons(), FMR)
@settings(max_examples=30, deadline=None)
def test_the_grid_is_the_slow_statement(options, data, fmr):
    result = error_discard(*data[:3], fmr=fmr, images=data[3], **options)
    np.testing.assert_array_equal(result.fnmr, slow_grid(data, fmr, **options))


@pytest.mark.parametrize("unit", ["pair", "image"])
@given(comparisons(), FMR)
@settings(max_examples=30, deadline=None)
def test_exact_steps_are_a_fine_grid_where_nothing_ties(unit, data, fmr):
    """A step at every distinct quality, asked for at the discard fractions of a grid that has them all."""
    similarity, genuine, _, images = data
    quality = np.random.default_rng(len(images)).permutation(images.max() + 1).astype(float)
    quality = quality if unit == "image" else np.random.default_rng(1).permutation(len(images)).astype(float)
    images = images if unit == "image" else None
    options = {"fmr": fmr, "unit": unit, "threshold_update": "fixed", "images": images}
    steps = error_discard(similarity, genuine, quality, grid_step="exact", **options)
    count = len(np.unique(images)) if unit == "image" else len(similarity)
    grid = error_discard(similarity, genuine, quality, grid_step=Fraction(1, count), **options)
    assert [steps.fnmr_at((i + 0.5) / count) for i in range(count)] == pytest.approx(grid.fnmr.tolist(), nan_ok=True)
    at = np.searchsorted(steps.discard, (np.arange(count) + 0.5) / count, side="right") - 1
    np.testing.assert_array_equal(steps.remaining_genuine[at], grid.remaining_genuine)
    same = np.isin(np.arange(count) / count, steps.discard)
    np.testing.assert_array_equal(steps.remaining_impostor[at][same], grid.remaining_impostor[same])


@given(comparisons(), FMR, st.sampled_from([0.2, 0.3, 0.55, 1.0]))
@settings(max_examples=30, deadline=None)
def test_edc_is_the_slow_statement(data, fmr, limit):
    result = error_discard(*data[:3], fmr=fmr, protocol="edc")
    if result.fnmr0 > 0:
        assert result.pauc(limit, "area") == pytest.approx(slow_edc(*data, fmr, limit), abs=1e-12)


@pytest.mark.parametrize("protocol", ["paper", "edc"])
@given(comparisons(), FMR)
@settings(max_examples=30, deadline=None)
def test_only_the_order_of_the_qualities_counts(protocol, data, fmr):
    similarity, genuine, quality, _ = data
    expected = error_discard(*data[:3], fmr=fmr, protocol=protocol)
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
@settings(max_examples=30, deadline=None)
def test_edc_ignores_the_order_of_the_comparisons(data, fmr):
    shuffled = np.random.default_rng(0).permutation(len(data[0]))
    expected = error_discard(*data[:3], fmr=fmr, protocol="edc")
    other = error_discard(*(values[shuffled] for values in data[:3]), fmr=fmr, protocol="edc")
    np.testing.assert_array_equal(other.fnmr, expected.fnmr)


@given(comparisons(), FMR)
@settings(max_examples=30, deadline=None)
def test_a_constant_quality_removes_nothing(data, fmr):
    similarity, genuine, quality, _ = data
    for options in ({"ties": "skip"}, {"protocol": "edc"}):
        result = error_discard(similarity, genuine, np.zeros_like(quality), fmr=fmr, **options)
        assert set(result.fnmr) == {result.fnmr0}
        if result.fnmr0 > 0:
            assert result.pauc(0.3) == pytest.approx(1)


@pytest.mark.parametrize("options", [{}, {"unit": "image"}, {"protocol": "edc"}], ids=str)
@given(comparisons(), FMR)
@settings(max_examples=30, deadline=None)
def test_swapping_the_sides_changes_nothing(options, data, fmr):
    similarity, genuine, quality, images = data
    swap = np.random.default_rng(0).random(len(images)) < 0.5
    expected = error_discard(similarity, genuine, quality, fmr=fmr, images=images, **options)
    quality, images = (np.where(swap[:, None], sides[:, ::-1], sides) for sides in (quality, images))
    other = error_discard(similarity, genuine, quality, fmr=fmr, images=images, **options)
    np.testing.assert_array_equal(other.fnmr, expected.fnmr)


@given(comparisons(), FMR)
@settings(max_examples=30, deadline=None)
def test_quality_per_image_or_per_side_is_the_same(data, fmr):
    similarity, genuine, quality, images = data
    per_image = np.zeros(images.max() + 1)
    per_image[images] = quality
    a = error_discard(similarity, genuine, quality, fmr=fmr)
    b = error_discard(similarity, genuine, per_image, fmr=fmr, images=images)
    np.testing.assert_array_equal(a.fnmr, b.fnmr)


@pytest.mark.parametrize("fmr_rule", ["lt", "nearest", "quantile"])
@pytest.mark.parametrize("trap", ["", "high impostors leave first", "ties"])
def test_few_scores_chosen_of_many_give_the_same_thresholds(monkeypatch, trap, fmr_rule):
    """Beyond some size only the highest impostor scores are looked at."""
    rng = np.random.default_rng(0)
    n = 20_000
    genuine, similarity, quality = rng.random(n) < 0.2, rng.normal(size=n), rng.normal(size=n)
    similarity += 2 * genuine
    if trap == "ties":
        similarity, quality = similarity.round(1), quality.round(1)
    elif trap:
        quality = -similarity
    every = error_discard(similarity, genuine, quality, fmr=0.01, fmr_rule=fmr_rule)
    monkeypatch.setattr("difiqa_hf.metrics.impostors.ALL_SCORES", 100)
    few = error_discard(similarity, genuine, quality, fmr=0.01, fmr_rule=fmr_rule)
    np.testing.assert_array_equal(few.threshold, every.threshold)
    np.testing.assert_array_equal(few.fnmr, every.fnmr)


def test_a_perfect_quality_reaches_the_best_area():
    similarity = np.r_[np.linspace(0.4, 0.9, 100), np.linspace(-0.5, 0.5, 100)]
    genuine = np.arange(200) < 100
    result = error_discard(similarity, genuine, similarity, fmr=0.1, protocol="edc")
    assert 0 < result.fnmr0 < 0.2
    # The best area is that of a line; a staircase of 100 pairs lies above it by at most half a pair's width.
    assert 0 <= result.pauc(0.2, "minus_best") <= 0.01 * result.fnmr0


def test_inputs_may_lie_on_disk(tmp_path):
    rng = np.random.default_rng(0)
    arrays = rng.normal(size=500), np.arange(500) % 2 == 0, rng.normal(size=500)
    on_disk = []
    for i, values in enumerate(arrays):
        np.save(tmp_path / f"{i}.npy", values)
        on_disk.append(np.load(tmp_path / f"{i}.npy", mmap_mode="r"))
    np.testing.assert_array_equal(error_discard(*on_disk, fmr=0.1).fnmr, error_discard(*arrays, fmr=0.1).fnmr)


def test_the_target_rate_is_the_decimal_that_was_typed():
    similarity, genuine = np.r_[np.zeros(10), np.arange(100) / 100], np.arange(110) < 10
    assert 0.29 * 100 != 29, "doubles: floor would give 28"
    assert error_discard(similarity, genuine, similarity, fmr=0.29, fmr_rule="le").k[0] == 29
    assert error_discard(similarity, genuine, similarity, fmr=0.29, fmr_rule="lt").k[0] == 28
