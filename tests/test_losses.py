"""Losses against closed forms and plain loops."""

import math

import pytest
import torch
import torch.nn.functional as F

from difiqa_hf import losses

IDENTITIES = torch.tensor([0, 1, 0, 2, 1, 0])
PAIRS = [(0, 2), (0, 5), (2, 5), (1, 4)]


def batch(seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    mean = F.normalize(torch.randn(6, 4, generator=generator, dtype=torch.float64))
    return mean, torch.randn(6, 4, generator=generator, dtype=torch.float64)


def test_mutual_likelihood_is_the_gaussian_log_density_of_the_difference():
    mean, log_variance = batch()
    score = losses.mutual_likelihood_score(mean[:, None], log_variance[:, None], mean[None], log_variance[None])
    assert score.shape == (6, 6)
    for i in range(6):
        for j in range(6):
            deviation = (log_variance[i].exp() + log_variance[j].exp()).sqrt()
            density = torch.distributions.Normal(mean[j], deviation).log_prob(mean[i]).sum()
            torch.testing.assert_close(score[i, j], density)


def test_mutual_likelihood_loss_has_no_constant():
    mean, log_variance = batch()
    terms = []
    for i, j in PAIRS:
        variance = log_variance[i].exp() + log_variance[j].exp()
        terms.append(((mean[i] - mean[j]) ** 2 / variance + variance.log()).sum())
    torch.testing.assert_close(losses.mutual_likelihood_loss(mean, log_variance, IDENTITIES), torch.stack(terms).mean())


def test_predictive_confidence():
    mean, quality = batch()[0], torch.linspace(0, 1, 6, dtype=torch.float64)
    expected = [(F.cosine_similarity(mean[i], mean[j], dim=0) - min(quality[i], quality[j])) ** 2 for i, j in PAIRS]
    found = losses.predictive_confidence_loss(quality, mean, IDENTITIES)
    torch.testing.assert_close(found, torch.stack(expected).mean())


def test_identification_quality():
    logits, target = torch.linspace(-2, 2, 6), torch.rand(6, 6, generator=torch.Generator().manual_seed(0))
    expected = [F.binary_cross_entropy(min(logits[i], logits[j]).sigmoid(), target[i, j]) for i, j in PAIRS]
    found = losses.identification_quality_loss(logits, target, IDENTITIES)
    torch.testing.assert_close(found, torch.stack(expected).mean())


def test_classifiability_is_smooth_l1():
    found = losses.classifiability_loss(torch.tensor([0.0, 2.0]), torch.tensor([0.2, 0.0]))
    assert found.item() == pytest.approx((0.2**2 / 2 / 0.5 + 2 - 0.25) / 2)


def test_magface():
    length = torch.tensor([5.0, 10, 60, 110, 200])
    torch.testing.assert_close(losses.magface_margin(length), torch.tensor([0.45, 0.45, 0.625, 0.8, 0.8]))
    found = losses.magface_regulariser(length)
    assert found[1].item() == pytest.approx(10 / 110**2 + 0.1) and found.argmin() == 3
    assert math.isclose(found[3], 2 / 110, rel_tol=1e-6)


@pytest.mark.parametrize("loss", [losses.mutual_likelihood_loss, losses.predictive_confidence_loss])
def test_batches_without_pairs_are_refused(loss):
    with pytest.raises(ValueError, match="no two of the 3 images show the same person"):
        loss(
            torch.zeros(3, 4) if loss is losses.mutual_likelihood_loss else torch.zeros(3),
            torch.zeros(3, 4),
            torch.arange(3),
        )


def test_divergence_is_that_of_two_coins_and_teaches_nobody_but_the_student():
    student = torch.tensor([0.3, -2.0, 5.0], requires_grad=True)
    teacher = torch.tensor([0.3, 1.0, -1.0], requires_grad=True)
    found = losses.quality_divergence(student, teacher)
    p, q = (torch.distributions.Bernoulli(logits=logits) for logits in (teacher, student))
    torch.testing.assert_close(found, torch.distributions.kl_divergence(p, q).mean())
    found.backward()
    assert teacher.grad is None and student.grad[0].abs() < 1e-6 < student.grad[1:].abs().min()
