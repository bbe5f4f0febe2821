"""The bootstrap interval of a pAUC."""

import numpy as np
import pytest

from difiqa_hf.metrics import bootstrap_pauc, error_discard


def lfw_like(seed=0, n=6000):
    rng = np.random.default_rng(seed)
    genuine, quality = np.arange(n) % 2 == 0, rng.normal(size=(n, 2))
    similarity = np.where(genuine, 0.5 + 0.08 * quality.min(1), 0) + 0.12 * rng.normal(size=n)
    return similarity, genuine, quality


@pytest.mark.parametrize("protocol", ["paper", "edc"])
def test_interval_is_seeded_and_covers_the_figure(protocol):
    data = lfw_like()
    first = bootstrap_pauc(*data, protocol=protocol, num_resamples=200, seed=1)
    again = bootstrap_pauc(*data, protocol=protocol, num_resamples=200, seed=1)
    np.testing.assert_array_equal(first.samples, again.samples)
    assert first.low < error_discard(*data, protocol=protocol).pauc(0.3) < first.high
    assert first.n_undefined == 0 and first.samples.shape == (200,)
    other = bootstrap_pauc(*data, protocol=protocol, num_resamples=200, seed=2)
    assert other.low != first.low


def test_resampling_is_the_naive_one():
    """A resample sorted in place equals `error_discard` of the drawn comparisons."""
    similarity, genuine, quality = lfw_like(n=400)  # no two qualities are equal
    order = np.argsort(quality.min(1), kind="stable")
    interval = bootstrap_pauc(similarity, genuine, quality, fmr=0.05, num_resamples=3, seed=5)
    rng = np.random.default_rng(5)
    for sample in interval.samples:
        drawn = []
        for kind in (True, False):
            members = order[genuine[order] == kind]
            drawn.append(members[rng.integers(len(members), size=len(members))])
        drawn = np.concatenate(drawn)
        resample = error_discard(similarity[drawn], genuine[drawn], quality[drawn], fmr=0.05)
        assert resample.pauc(0.3) == pytest.approx(sample)


def test_resamples_without_an_error_are_counted_not_zero():
    """One error in 50: about 36 % of the resamples miss it."""
    similarity = np.r_[-1.0, np.full(49, 0.9), np.zeros(50)]
    genuine = np.arange(100) < 50
    interval = bootstrap_pauc(similarity, genuine, np.arange(100.0), fmr=0.1, num_resamples=300)
    assert 60 < interval.n_undefined < 150
    assert np.nanmin(interval.samples) > 0


def test_refusals():
    with pytest.raises(ValueError, match="found 0 and"):
        bootstrap_pauc(*lfw_like(n=10), num_resamples=0)
    with pytest.raises(ValueError, match="confidence"):
        bootstrap_pauc(*lfw_like(n=10), confidence=95)
