"""Score -> percentile -> FNMR, tabulated."""

import json
from dataclasses import replace

import numpy as np
import pytest

from difiqa_hf.metrics import Calibration, ErrorsAbove, ThresholdCard

pytestmark = pytest.mark.filterwarnings("ignore:.*too few for FMR:UserWarning")


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    n = 3000
    quality, images = rng.normal(size=1500), rng.integers(0, 1500, (n, 2))
    genuine = np.arange(n) % 2 == 0
    similarity = np.where(genuine, 0.4 + 0.1 * quality[images].min(1), 0) + 0.1 * rng.normal(size=n)
    return similarity, genuine, quality, images


@pytest.fixture(scope="module")
def card(data):
    similarity, genuine, quality, images = data
    card = ThresholdCard.from_scores(quality, reference="1500 made-up images", method="m", revision="r")
    names = {"comparisons": "made-up", "recognizer": "toy"}
    entry = ErrorsAbove.measure(
        similarity, genuine, quality, card.scores, **names, fmr=0.01, images=images, num_resamples=200
    )
    return card.with_errors(entry)


def test_percentiles_are_those_of_numpy(card, data):
    for percent in (0, 5, 12.5, 100):
        assert card.score_at(percent) == pytest.approx(np.percentile(data[2], percent), abs=0.02)
        assert card.percentile(card.score_at(percent)) == pytest.approx(percent)
    assert card.threshold_for_discard(0.05) == card.scores[5]
    assert (data[2] < card.threshold_for_discard(0.3)).mean() == pytest.approx(0.3, abs=0.001)


def test_errors_are_those_of_the_exact_calibration(card, data):
    similarity, genuine, quality, images = data
    exact, errors = Calibration.from_comparisons(similarity, genuine, quality, fmr=0.01, images=images), card.errors[0]
    np.testing.assert_array_equal(errors.fnmr, exact.expected_fnmr(card.scores))
    worse = quality[images].min(1)
    for point in (0, 10, 50):
        left = genuine & (worse >= card.scores[point])
        assert errors.remaining[point] == left.sum()
        assert errors.fnmr[point] == pytest.approx(np.mean(similarity[left] <= errors.similarity_threshold))
    assert errors.similarity_threshold == np.sort(similarity[~genuine])[::-1][14]
    assert (errors.n_genuine, errors.n_impostor, errors.resampled) == (1500, 1500, "comparison")


def test_intervals_hold_the_figure_and_widen_as_less_is_left(card):
    errors, seen = card.errors[0], card.errors[0].remaining >= 200
    assert (errors.low[seen] <= errors.fnmr[seen]).all() and (errors.fnmr[seen] <= errors.high[seen]).all()
    # a binomial share of the same size, with the threshold's own uncertainty on top
    share, n = errors.fnmr[0], errors.n_genuine
    assert errors.high[0] - errors.low[0] > 2 * 1.96 * np.sqrt(share * (1 - share) / n)


def test_the_lowest_threshold_that_does_it(card):
    errors = card.errors[0]
    highest = 0.5 * errors.fnmr[0]
    score = card.threshold_for_fnmr(highest, errors)
    point = card.point(score)
    assert errors.fnmr[point] <= highest and (errors.fnmr[:point] > highest).all()
    with pytest.raises(ValueError, match=r"no threshold brings FNMR to -1 on made-up with toy .* the lowest is"):
        card.threshold_for_fnmr(-1, errors)
    with pytest.raises(ValueError, match="found 1500 genuine comparisons, at least 9999 are needed"):
        card.threshold_for_fnmr(0.1, errors, min_genuine=9999)


def test_fnmr_that_rises_again(card):
    """The lowest score that does it, though some above do not: what is used is that score."""
    fnmr = np.array([0.3, 0.1, 0.2, 0.05, 0.4])
    errors = replace(card.errors[0], fnmr=fnmr, remaining=np.array([500, 400, 300, 200, 50]))
    five = ThresholdCard("m", "r", "x", np.arange(5.0), (errors,))
    assert [five.threshold_for_fnmr(highest, errors) for highest in (0.3, 0.2, 0.1, 0.05)] == [0, 1, 1, 3]


def test_what_is_saved_is_what_is_loaded(card, tmp_path):
    card.save(tmp_path / "card.json")
    loaded = ThresholdCard.load(tmp_path / "card.json")
    np.testing.assert_allclose(loaded.scores, card.scores, rtol=1e-5)
    np.testing.assert_allclose(loaded.errors[0].fnmr, card.errors[0].fnmr, rtol=1e-5)
    np.testing.assert_array_equal(np.isnan(loaded.errors[0].low), np.isnan(card.errors[0].low))
    assert (loaded.method, loaded.errors[0].recognizer) == ("m", "toy")
    loaded.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "card.json").read_bytes()


@pytest.mark.parametrize("change", [{"scores": [2, 1]}, {"scores": [1]}, {"scores": None}, {"more": 1}])
def test_other_files_are_refused(card, tmp_path, change):
    card.save(tmp_path / "card.json")
    content = json.loads((tmp_path / "card.json").read_text()) | change
    (tmp_path / "bad.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"bad.json is no threshold card"):
        ThresholdCard.load(tmp_path / "bad.json")
    (tmp_path / "bad.json").write_text("[]")
    with pytest.raises(ValueError, match=r"bad.json is no threshold card"):
        ThresholdCard.load(tmp_path / "bad.json")


def test_cards_are_for_their_method_and_weights(card):
    assert card.checked("m", "r") is card
    for method, revision in (("other", "r"), ("m", "other"), ("m", "")):
        with pytest.raises(ValueError, match="the threshold card is for"):
            card.checked(method, revision)
    assert ThresholdCard.from_scores([1, 2], reference="any").checked("m", "r")


def test_entries_by_name_and_in_place_of_their_like(card):
    assert card.errors_of("toy") is card.errors_of("made-up") is card.errors_of() is card.errors[0]
    with pytest.raises(ValueError, match="no comparisons of x, only toy on made-up"):
        card.errors_of("x")
    assert len(card.with_errors(card.errors[0]).errors) == 1
    with pytest.raises(ValueError, match="it knows no FNMR"):
        ThresholdCard.from_scores([1, 2], reference="any").errors_of()


@pytest.mark.parametrize("scores", [[], [np.nan, 1], [np.inf]])
def test_reference_scores_must_be_some(scores):
    with pytest.raises(ValueError, match="needs finite scores"):
        ThresholdCard.from_scores(scores, reference="any")
