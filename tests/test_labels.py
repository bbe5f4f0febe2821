"""Labels against the plain loops that they replace, and scipy."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from difiqa_hf import labels


def people(count: int = 40, dim: int = 8, seed: int = 0):
    """Embeddings (count, dim) scattered around one centre a person, and identities in no order."""
    generator = torch.Generator().manual_seed(seed)
    identities = torch.arange(count) % 6 * 7 + 3
    identities = identities[torch.randperm(count, generator=generator)]
    centres = torch.randn(50, dim, generator=generator)
    return centres[identities] + torch.randn(count, dim, generator=generator), identities


def cosine(embeddings):
    return F.cosine_similarity(embeddings[:, None], embeddings[None], dim=-1)


def test_mated_pairs_are_all_pairs():
    _, identities = people()
    expected = {(i, j) for j in range(40) for i in range(j) if identities[i] == identities[j]}
    found = labels.mated_pairs(identities)
    assert {tuple(pair) for pair in found.tolist()} == expected and len(found) == len(expected)
    assert labels.mated_pairs(torch.arange(3)).shape == (0, 2)


def test_mated_similarity_is_the_mean_over_the_others():
    embeddings, identities = people()
    identities[5] = 99  # an only one
    found, matrix = labels.mated_similarity(embeddings, identities), cosine(embeddings)
    for i in range(40):
        others = (identities == identities[i]) & (torch.arange(40) != i)
        expected = matrix[i, others].mean() if others.any() else torch.tensor(torch.nan)
        torch.testing.assert_close(found[i], expected, equal_nan=True)


def test_reference_similarity():
    embeddings, identities = people()
    is_reference = torch.zeros(40, dtype=torch.bool)
    for person in identities.unique():
        is_reference[(identities == person).nonzero()[:2, 0]] = True
    found, matrix = labels.reference_similarity(embeddings, identities, is_reference), cosine(embeddings)
    for i in range(40):
        torch.testing.assert_close(found[i], matrix[i, is_reference & (identities == identities[i])].mean())
    with pytest.raises(ValueError, match="1 of 6 people have no reference image, the first is 10"):
        labels.reference_similarity(embeddings, identities, is_reference & (identities != 10))


def test_wasserstein_is_scipys():
    stats = pytest.importorskip("scipy.stats")
    first, second = np.random.default_rng(0).normal(size=(2, 20, 24)) * np.array([1, 3])[:, None, None]
    ours = labels.wasserstein(torch.from_numpy(first), torch.from_numpy(second))
    theirs = [stats.wasserstein_distance(a, b) for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_rounds_approach_the_distance_of_the_whole_distributions():
    """With all genuine similarities and many draws of the impostor ones, scipy on the full samples is the limit."""
    stats = pytest.importorskip("scipy.stats")
    embeddings, identities = people(60, seed=1)
    matrix = cosine(embeddings)
    found = labels.wasserstein_distances(embeddings, identities, num_pairs=400, num_rounds=30).mean(0)
    for i in range(60):
        same = identities == identities[i]
        genuine, impostor = matrix[i, same & (torch.arange(60) != i)], matrix[i, ~same]
        assert abs(found[i] - stats.wasserstein_distance(genuine, impostor)) < 0.04


def test_draws_come_from_the_right_people_and_never_from_the_image_itself():
    size = torch.tensor([2, 2, 9, 9, 9])
    first, rows = torch.tensor([0, 0, 2, 2, 2]), torch.tensor([0, 1, 2, 6, 10])
    genuine = labels._draw_genuine(rows, first, size, 8, torch.Generator().manual_seed(0))
    impostor = labels._draw_impostor(first, size, 11, 500, torch.Generator().manual_seed(0))
    assert genuine[0].unique().tolist() == [1] and genuine[1].unique().tolist() == [0]
    for row, found in zip((2, 6, 10), genuine[2:], strict=True):  # all eight others, each once
        assert sorted(found.tolist()) == [i for i in range(2, 11) if i != row]
    assert impostor[0].unique().tolist() == list(range(2, 11)) and impostor[3].unique().tolist() == [0, 1]


def test_labels_are_reproducible_and_do_not_touch_the_global_generator():
    embeddings, identities = people()
    state = torch.random.get_rng_state()
    first = labels.wasserstein_labels(embeddings, identities, seed=3)
    assert torch.equal(first, labels.wasserstein_labels(embeddings, identities, seed=3))
    assert not torch.equal(first, labels.wasserstein_labels(embeddings, identities, seed=4))
    assert torch.equal(state, torch.random.get_rng_state())
    assert first.min() >= 0 and first.max() <= 100 and first.shape == (40,)


def test_better_images_get_higher_labels():
    """The noisier an embedding, the nearer its genuine similarities to the impostor ones."""
    generator = torch.Generator().manual_seed(0)
    identities = torch.arange(300) % 10
    noise = torch.linspace(0.1, 3, 300)[torch.randperm(300, generator=generator)]
    embeddings = torch.randn(10, 64, generator=generator)[identities]
    embeddings = embeddings + noise[:, None] * torch.randn(300, 64, generator=generator)
    for found in (
        labels.wasserstein_labels(embeddings, identities),
        labels.mated_similarity(embeddings, identities),
    ):
        assert torch.corrcoef(torch.stack([found, -noise]))[0, 1] > 0.8


@pytest.mark.parametrize(
    ("identities", "message"),
    [([0, 0, 1], "2 people, 1 of them with one image"), ([0, 0, 0], "1 people, 0 of them")],
)
def test_impossible_sets_are_refused(identities, message):
    with pytest.raises(ValueError, match=message):
        labels.wasserstein_distances(torch.eye(3), torch.tensor(identities))


def test_classifiability():
    embeddings, centres = torch.tensor([[3.0, 4.0]]), torch.tensor([[2.0, 0], [0, 1], [-1, 0]])
    own = torch.tensor([1])
    torch.testing.assert_close(labels.classifiability(embeddings, centres, own), torch.tensor([0.8 / 0.6]))
    torch.testing.assert_close(labels.classifiability(embeddings, centres, own, "paper"), torch.tensor([0.8 / 1.6]))
    with pytest.raises(ValueError, match="'code' or 'paper', found 'text'"):
        labels.classifiability(embeddings, centres, own, "text")


def test_identification_target():
    similarity = torch.tensor([0.4, 0.5, 0.39])
    torch.testing.assert_close(labels.identification_target(similarity)[:2], torch.tensor([0.5, 0.832018]))
    assert labels.identification_target(similarity, hard=True).tolist() == [0, 1, 0]


def test_equal_values_cannot_be_scaled():
    torch.testing.assert_close(labels.scale_to_unit(torch.tensor([2.0, 4, 3])), torch.tensor([0, 1, 0.5]))
    with pytest.raises(ValueError, match="all 3 values are 2"):
        labels.scale_to_unit(torch.full((3,), 2.0))


def test_central_image_is_the_persons_best():
    embeddings, identities = people()
    found, mated = labels.central_image(embeddings, identities), labels.mated_similarity(embeddings, identities)
    for i in range(40):
        own = (identities == identities[i]).nonzero()[:, 0]
        assert found[i] == own[mated[own].argmax()]
