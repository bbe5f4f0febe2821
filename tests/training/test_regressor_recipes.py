"""What the regressor's recipes make of labels and views, as functions."""

import pytest
import torch

from difiqa_hf.methods import create_method
from toys import toy_faces

import train_regressor  # isort: skip
from images import to_pixel_values  # isort: skip
from train_regressor import split_rows  # isort: skip
from regressor_labels import Faces, mated_margins, mix_in, places  # isort: skip
from regressor_recipes import RECIPES, identity_centres, misaligned, optimised_labels  # isort: skip


def test_centres_are_of_the_best_fifth_and_pull_labels_down():
    embeddings = torch.nn.functional.normalize(torch.randn(11, 4, generator=torch.Generator().manual_seed(0)))
    labels = torch.linspace(1, 0, 11)
    people = ["ann"] * 10 + ["bob"]
    assert identity_centres(embeddings, labels, [None] * 10 + ["bob"], least=1)[:10].abs().sum() == 0
    centres = identity_centres(embeddings, labels, people, least=10)
    torch.testing.assert_close(centres[:10], embeddings[:2].mean(0).expand(10, -1))
    assert centres[10].abs().sum() == 0
    lowered = optimised_labels(labels, embeddings, centres, weight=0.5)
    distance = 1 - torch.nn.functional.cosine_similarity(embeddings[3], centres[3], dim=0)
    assert lowered[3].item() == pytest.approx(max(0.0, 0.7 - 0.5 * distance.item()), abs=1e-6)
    assert lowered[10] == labels[10] and (lowered <= labels).all()


def test_margins_compare_a_view_with_the_other_originals_of_its_person_and_with_strangers():
    """Four images of two people, one more view of each; one by one, and with somebody who must stay unknown."""
    unit = torch.nn.functional.normalize(torch.randn(8, 5, generator=torch.Generator().manual_seed(1)))
    names = ["a/0", "a/0", "a/1", "a/1", "b/0", "b/0", "b/1", "c/0"]
    original = torch.tensor([True, False] * 3 + [True, True])
    people = ["a", "a", "a", "a", "b", "b", "b", None]
    faces = Faces(torch.empty(8), torch.empty(8), names, people, original, ~original)
    margins = mated_margins(3 * unit, faces)
    for row in range(7):
        usable = [j for j in range(7) if original[j]]
        genuine = [unit[row] @ unit[j] for j in usable if people[j] == people[row] and names[j] != names[row]]
        impostor = [unit[row] @ unit[j] for j in usable if people[j] != people[row]]
        assert margins[row].item() == pytest.approx(
            float(sum(genuine) / len(genuine) - sum(impostor) / len(impostor)), abs=1e-6
        )
    assert margins[7].isnan()


def test_mixed_labels_keep_their_distribution_and_what_is_not_known():
    labels, margins = torch.tensor([0.1, 0.9, 0.4, 0.6]), torch.tensor([3.0, -1.0, torch.nan, 0.0])
    assert mix_in(labels, margins, 1.0).tolist() == pytest.approx([0.9, 0.1, 0.4, 0.6])
    assert mix_in(labels, margins, 0.5).tolist() == pytest.approx([0.5, 0.5, 0.4, 0.6])


def test_places_spread_what_lies_close_together():
    """The usual case: whatever was degraded takes the range, and the photographs share the rest of it."""
    scores = torch.tensor([0.99, 0.0, 0.97, 0.98, 0.98])
    assert places(scores).tolist() == pytest.approx([1.0, 0.0, 0.25, 0.625, 0.625])


def test_other_methods_have_their_share_of_a_label():
    views = ((toy_faces(5) + 1) * 127.5).round().to(torch.uint8)
    faces = Faces(views, torch.rand(5), list("uvwxy"), [None] * 5, *torch.eye(2, 5).bool())
    labels = torch.tensor([0.0, 0.1, 0.2, 0.5, 1.0])
    scores = [create_method(name)(to_pixel_values(views)) for name in ("random", "norm")]
    opinions = [labels[score.argsort().argsort()] for score in scores]  # the highest score gets the highest label
    mixed = train_regressor.with_others(labels, faces, RECIPES["difiqa-r-consensus"], ["random", "norm"], "cpu")
    assert torch.allclose(mixed, 0.2 * labels + 0.8 * (opinions[0] + opinions[1]) / 2)
    assert not torch.allclose(opinions[0], opinions[1])


def test_misaligned_crops_are_the_same_face_a_little_off():
    view = ((toy_faces(1)[0] + 1) * 127.5).round().to(torch.uint8)
    still, moved = misaligned(view, 0.0, 1), misaligned(view, 3.0, 1)
    inside = (slice(None), slice(8, -8), slice(8, -8))
    assert (still.float() - view.float())[inside].abs().mean() < 1
    assert 1 < (moved.float() - view.float())[inside].abs().mean() < 40
    assert torch.equal(moved, misaligned(view, 3.0, 1)) and not torch.equal(moved, misaligned(view, 3.0, 2))


def test_rows_to_learn_from():
    labels = torch.arange(20.0)
    train, validation = split_rows(labels, labels >= 5)
    assert validation.tolist() == [5, 15] and len(train) == 13
    with pytest.raises(ValueError, match="1 of 20 labelled views are left to learn from, need at least 2"):
        split_rows(labels, labels >= 18)
