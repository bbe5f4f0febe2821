"""The bootstrap interval of a pAUC."""

import numpy as np
import pytest

from difiqa_hf.metrics import bootstrap_band, bootstrap_pauc, compare_pauc, error_discard


def lfw_like(seed=0, n=6000):
    rng = np.random.default_rng(seed)
    genuine, quality = np.arange(n) % 2 == 0, rng.normal(size=(n, 2))
    similarity = np.where(genuine, 0.5 + 0.08 * quality.min(1), 0) + 0.12 * rng.normal(size=n)
    return similarity, genuine, quality


@pytest.mark.parametrize("protocol", ["paper", "edc"])
def test_interval_is_seeded_and_covers_the_figure(protocol):
    data = lfw_like()
    first = bootstrap_pauc(*data, protocol=protocol, num_resamples=40, seed=1)
    again = bootstrap_pauc(*data, protocol=protocol, num_resamples=40, seed=1)
    np.testing.assert_array_equal(first.samples, again.samples)
    assert first.low < error_discard(*data, protocol=protocol).pauc(0.3) < first.high
    assert first.n_undefined == 0 and first.samples.shape == (40,)
    other = bootstrap_pauc(*data, protocol=protocol, num_resamples=40, seed=2)
    assert other.low != first.low


def test_resampling_is_the_naive_one():
    """A resample equals `error_discard` of the drawn comparisons."""
    similarity, genuine, quality = lfw_like(n=400)
    interval = bootstrap_pauc(similarity, genuine, quality, fmr=0.05, num_resamples=3, seed=5)
    rng = np.random.default_rng(5)
    for sample in interval.samples:
        drawn = []
        for kind in (True, False):
            members = np.flatnonzero(genuine == kind)
            drawn.append(members[rng.integers(len(members), size=len(members))])
        drawn = np.concatenate(drawn)
        resample = error_discard(similarity[drawn], genuine[drawn], quality[drawn], fmr=0.05)
        assert resample.pauc(0.3) == pytest.approx(sample)


def identities(genuine, n_persons=60, seed=0):
    rng = np.random.default_rng(seed)
    first = rng.integers(n_persons, size=len(genuine))
    return np.stack([first, np.where(genuine, first, (first + rng.integers(1, n_persons, len(first))) % n_persons)], 1)


def test_persons_bring_their_comparisons():
    """Copies of a person keep their own comparisons; a copy and another person are compared as often as both exist."""
    similarity, genuine, quality = lfw_like(n=400)
    persons = identities(genuine)
    interval = bootstrap_pauc(similarity, genuine, quality, fmr=0.05, persons=persons, num_resamples=3, seed=5)
    assert interval.resampled == "identity"
    rng = np.random.default_rng(5)
    for sample in interval.samples:
        chosen = rng.integers(60, size=60).tolist()
        drawn = []
        for i, (a, b) in enumerate(persons):
            copies = [(x, y) for x in range(60) for y in range(60) if chosen[x] == a and chosen[y] == b]
            drawn += [i for x, y in copies if not genuine[i] or x == y]
        resample = error_discard(similarity[drawn], genuine[drawn], quality[drawn], fmr=0.05)
        assert resample.pauc(0.3) == pytest.approx(sample)


def test_persons_widen_the_interval_where_they_matter():
    """Every comparison ten times over: by comparison that looks like ten times the evidence, by person it does not."""
    similarity, genuine, quality = lfw_like(n=600)
    persons = np.where(genuine, np.arange(600), np.arange(600))[:, None] * 2 + [[0, 1]] * ~genuine[:, None]
    repeated = [np.repeat(values, 10, axis=0) for values in (similarity, genuine, quality)]
    options = {"fmr": 0.05, "num_resamples": 100}
    once = bootstrap_pauc(similarity, genuine, quality, **options)
    many = bootstrap_pauc(*repeated, **options)
    by_person = bootstrap_pauc(*repeated, persons=np.repeat(persons, 10, axis=0), **options)
    width = {name: i.high - i.low for name, i in {"once": once, "many": many, "by_person": by_person}.items()}
    assert width["many"] < 0.6 * width["once"] < 0.8 * width["by_person"]


@pytest.mark.parametrize("by", ["comparison", "identity"])
def test_paired_comparison_sees_what_single_intervals_do_not(by):
    similarity, genuine, quality = lfw_like()
    worse = quality + np.random.default_rng(1).normal(size=quality.shape)
    persons = identities(genuine, 500) if by == "identity" else None
    options = {"num_resamples": 50, "persons": persons, "fmr": 0.02}
    paired = compare_pauc(similarity, genuine, quality, worse, **options)
    a, b = (bootstrap_pauc(similarity, genuine, q, **options) for q in (quality, worse))
    np.testing.assert_allclose(paired.samples, a.samples - b.samples)
    expected = [error_discard(similarity, genuine, q, fmr=0.02).pauc(0.3) for q in (quality, worse)]
    assert (
        paired.difference == pytest.approx(expected[0] - expected[1]) and paired.low < paired.difference < paired.high
    )
    assert paired.difference < 0 and paired.p_value < 0.1
    same = compare_pauc(similarity, genuine, quality, -np.exp(-quality), **options)
    assert (same.difference, same.low, same.high, same.p_value) == (0, 0, 0, 1)
    turned = compare_pauc(similarity, genuine, quality, -worse, higher_is_better=(True, False), **options)
    np.testing.assert_array_equal(turned.samples, paired.samples)


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
    with pytest.raises(ValueError, match="found 0 and"):
        bootstrap_band(*lfw_like(n=10), num_resamples=0)
    with pytest.raises(ValueError, match=r"discard must be in \[0, 1\), found -0\.5 to 0\.5"):
        bootstrap_band(*lfw_like(n=10), discard=[-0.5, 0.5])
    with pytest.raises(ValueError, match=r"limit must be in \(0, 1\], found 30"):
        bootstrap_pauc(*lfw_like(n=10), limit=30)
    similarity, genuine, quality = lfw_like(n=10)
    with pytest.raises(ValueError, match=r"persons must be \(10, 2\)"):
        bootstrap_pauc(similarity, genuine, quality, persons=np.zeros(10))
    with pytest.raises(ValueError, match="comparison 1 is impostor but its persons are 0 and 0"):
        bootstrap_pauc(similarity, genuine, quality, persons=np.zeros((10, 2), int))
