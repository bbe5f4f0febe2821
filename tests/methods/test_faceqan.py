"""FaceQAN against a restatement of the released loop: one image at a time, its k copies as the batch."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from difiqa_hf.diffusion import image_digests, stable_seed
from difiqa_hf.methods import create_method
from difiqa_hf.methods.faceqan import faceqan_quality
from difiqa_hf.recognizers import embed
from toys import toy_faces, toy_recognizer


def one_image(recognizer, image, k=10, l=5, epsilon=0.001, p=5):  # noqa: E741  the paper's letter
    """The released code on one image (3, 112, 112), except for where its random numbers come from."""
    digest = image_digests(image[None])[0]
    seeds = [stable_seed("faceqan", 0, digest, r) for r in range(k)]
    uniform = torch.stack([torch.rand(3, 112, 112, generator=torch.Generator().manual_seed(s)) for s in seeds])
    x = (image + 1) / 2
    with torch.no_grad():
        e_x = embed(recognizer, image[None])
        sf = F.cosine_similarity(e_x, embed(recognizer, image[None].flip(-1))).item()
    adversarial = (x + (2 * uniform - 1) * epsilon).clamp(-1, 1)
    similarities = []
    for _ in range(l):
        adversarial = adversarial.detach().requires_grad_()
        embedding = embed(recognizer, adversarial * 2 - 1)
        loss = F.cosine_embedding_loss(embedding, e_x.expand(k, -1), torch.ones(k))
        loss.backward()
        similarities += F.cosine_similarity(embedding, e_x).tolist()
        adversarial = (adversarial + epsilon * adversarial.grad.sign()).clamp(-1, 1)
    return ((1 + np.mean(similarities)) / 2 * np.clip(1 - np.std(similarities), 0, 1) * sf) ** p


def test_batched_is_one_at_a_time():
    recognizer, x = toy_recognizer().requires_grad_(False), toy_faces(3)
    quality = create_method("faceqan", recognizer=recognizer, batch_size=7)(x)
    expected = torch.tensor([one_image(recognizer, image) for image in x], dtype=torch.float32)
    torch.testing.assert_close(quality, expected, atol=1e-5, rtol=1e-5)


def test_the_attack_moves_the_embedding_away():
    method = create_method("faceqan", recognizer=toy_recognizer(), epsilon=0.01, num_iterations=4)
    x = toy_faces(3)
    with torch.no_grad():
        cosines = method._attack(x, embed(method.recognizer, x), torch.full_like(x, 0.5))
    assert torch.allclose(cosines[:, 0], torch.ones(3), atol=1e-5)  # nothing was added yet
    assert (cosines.diff(dim=1) < 0).all()


def test_quality_in_closed_form():
    cosines = torch.tensor([[1.0, 1, 1, 1], [1, 0, 1, 0], [1, 1, 1, 1]])
    quality = faceqan_quality(cosines, torch.tensor([1.0, 0.5, -0.5]))
    torch.testing.assert_close(quality, torch.tensor([1, (0.75 * 0.5 * 0.5) ** 5, -(0.5**5)]))
    assert faceqan_quality(cosines, torch.tensor([1.0, 0.5, -0.5]), power=2)[2] == -0.25


def test_impossible_options_are_refused():
    with pytest.raises(ValueError, match="at least 1, found 0, 5 and 32"):
        create_method("faceqan", recognizer=toy_recognizer(), num_repeats=0)


@pytest.mark.parametrize("wrong", [{"power": float("nan")}, {"power": -1}, {"epsilon": 0}])
def test_options_that_leave_the_range_are_refused(wrong):
    with pytest.raises(ValueError, match=r"epsilon and power must be above 0|takes a number as power, found nan"):
        create_method("faceqan", recognizer=toy_recognizer(), **wrong)


def test_recognisers_without_gradients_are_refused():
    with pytest.raises(ValueError, match="returns embeddings without gradients"):
        create_method("faceqan", recognizer=lambda x: x.detach().flatten(1)[:, :64])(toy_faces(1))
