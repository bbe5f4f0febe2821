"""What a score means on reference comparisons."""

import numpy as np
import pytest

from difiqa_hf.metrics import Calibration, error_discard

pytestmark = pytest.mark.filterwarnings("ignore:.*too few for FMR:UserWarning")


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    n = 4000
    quality, images = rng.normal(size=3000).round(2), rng.integers(0, 2900, (n, 2))
    genuine = np.arange(n) % 2 == 0
    similarity = np.where(genuine, 0.4 + 0.1 * quality[images].min(1), 0) + 0.1 * rng.normal(size=n)
    return similarity, genuine, quality, images


@pytest.fixture(scope="module")
def calibration(data):
    return Calibration.from_comparisons(*data[:3], images=data[3], fmr=0.01)


def test_percentiles_count_every_compared_image_once(data, calibration):
    used = data[2][np.unique(data[3])]
    assert len(calibration.quality) == len(used)
    for score in (-9, -1, 0.5, 0.505, 9):
        expected = 100 * (np.mean(used < score) + np.mean(used == score) / 2)
        assert calibration.percentile(score) == pytest.approx(expected)
        assert calibration.discarded(score) == pytest.approx(np.mean(used < score))
    assert calibration.percentile([[0.0, 1.0]]).shape == (1, 2)


def test_expected_fnmr_is_that_of_what_is_left(data, calibration):
    similarity, genuine, quality, images = data
    threshold = np.sort(similarity[~genuine])[::-1][19]
    assert calibration.curve.threshold[0] == threshold
    worse = quality[images].min(1)
    for score in (-9, -1.5, -0.333, 0.5, 1):
        left = similarity[genuine & (worse >= score)]
        assert calibration.expected_fnmr(score) == pytest.approx(np.mean(left <= threshold))
    assert np.isnan(calibration.expected_fnmr(9))


@pytest.mark.parametrize("rate", [0, 0.05, 0.3, 0.999])
def test_threshold_for_a_discard_rate_discards_at_most_that(calibration, rate):
    threshold = calibration.threshold_for_discard(rate)
    assert rate - 0.01 < calibration.discarded(threshold) <= rate
    assert calibration.discarded(np.nextafter(threshold, 9)) > rate


def test_threshold_for_an_fnmr_is_the_lowest_that_reaches_it(calibration):
    highest = 0.6 * calibration.curve.fnmr0
    threshold = calibration.threshold_for_fnmr(highest)
    assert calibration.expected_fnmr(threshold) <= highest
    lower = calibration.steps[calibration.steps < threshold]
    assert len(lower) and (calibration.expected_fnmr(lower) > highest).all()
    assert calibration.threshold_for_fnmr(1) == calibration.steps[0]


def test_refusals(calibration):
    with pytest.raises(ValueError, match=r"in \[0, 1\), found 5"):
        calibration.threshold_for_discard(5)
    with pytest.raises(ValueError, match=r"no quality threshold brings FNMR to -1 .* the lowest is 0"):
        calibration.threshold_for_fnmr(-1)
    with pytest.raises(ValueError, match="found 2000 genuine comparisons, fewer than min_genuine 5000"):
        calibration.threshold_for_fnmr(0.1, min_genuine=5000)


def test_qualities_per_side_count_as_often_as_they_are_given(data):
    similarity, genuine, quality, images = data
    sides = Calibration.from_comparisons(similarity, genuine, quality[images], fmr=0.01)
    assert len(sides.quality) == 2 * len(similarity)
    expected = error_discard(similarity, genuine, quality[images], fmr=0.01, protocol="edc")
    np.testing.assert_array_equal(sides.curve.fnmr, expected.fnmr)
