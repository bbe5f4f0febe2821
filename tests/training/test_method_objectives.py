"""The objectives that are more than a loss on a network: what learns, what stays, what a loss is made of."""

import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from difiqa_hf import labels, losses
from toys import toy_faces, toy_recognizer

sys.path.insert(0, str(Path(__file__).parents[2] / "training"))
from method_objectives import OBJECTIVES, Run, view
from people import People, features

NEAR = dict(rtol=1e-4, atol=1e-4)


@pytest.fixture
def run(tmp_path):
    images = ((toy_faces(8) + 1) * 127.5).round().to(torch.uint8)
    people = People(images, torch.tensor([0, 0, 0, 1, 1, 2, 2, 2]), ["a", "b", "c"])
    return Run(people, toy_recognizer(), toy_recognizer(seed=1), tmp_path, seed=0)


def batch(run, objective) -> dict:
    """All images, the odd ones mirrored."""
    mirrored = torch.arange(8) % 2 == 1
    pixels = run.people.images.float() / 127.5 - 1
    pixels[mirrored] = pixels[mirrored].flip(-1)
    return objective.columns | {"pixel_values": pixels, "mirrored": mirrored, "identities": run.people.identities}


def step(objective, batch, lr: float = 0.01, count: int = 1) -> list[float]:
    optimizer = torch.optim.Adam([p for p in objective.train().parameters() if p.requires_grad], lr)
    found = []
    for _ in range(count):
        loss = objective(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return found


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_loss_falls(name, run):
    torch.manual_seed(0)
    small = {"faceqgen": dict(widths=(4, 8), discriminator_widths=(4,)), "lightqnet": dict(width="dm025")}
    objective = OBJECTIVES[name](run, **small.get(name, {}))
    found = step(objective, batch(run, objective), lr=0.003, count=12)
    assert sum(found[-3:]) < sum(found[:3])


@pytest.mark.parametrize("name", ["pfe", "faceqnet"])
def test_frozen_backbones_stay_and_their_stored_outputs_are_the_networks(name, run):
    objective = OBJECTIVES[name](run)
    data = batch(run, objective)
    step(objective, data, count=3)
    before = toy_recognizer().state_dict()
    assert all(torch.equal(value, before[key]) for key, value in objective.network.backbone.state_dict().items())
    with torch.no_grad():
        backbone = objective.network.backbone.eval()
        if name == "pfe":
            expected, found = backbone.forward_features(data["pixel_values"]), data["features"]
        else:
            expected, found = backbone(data["pixel_values"]).embeddings, data["embeddings"]
    torch.testing.assert_close(view(found, data["mirrored"]), expected, rtol=1e-4, atol=1e-4)


def test_stored_features_belong_to_weights_and_images(run):
    first = features(run.backbone, run.people.images, run.cache_dir)
    assert torch.equal(features(run.backbone, run.people.images, run.cache_dir), first)
    assert not torch.equal(features(run.recognizer, run.people.images, run.cache_dir), first)
    assert not torch.equal(features(run.backbone, run.people.images.flip(-1), run.cache_dir), first)
    assert len(list(run.cache_dir.iterdir())) == 3


def test_lightqnet_teaches_its_network_by_a_branch_on_the_recogniser(run):
    torch.manual_seed(0)
    objective = OBJECTIVES["lightqnet"](run, width="dm025", hard=True, distillation=20.0).train()
    data = batch(run, objective)
    unit, identities = F.normalize(data["embeddings"]), run.people.identities
    torch.testing.assert_close(data["embeddings"], run.recognizer(run.people.images / 127.5 - 1).embeddings, **NEAR)
    target = labels.identification_target(unit @ unit.T, hard=True)
    taught = objective.teacher(data["features"])[:, 0]
    learnt = objective.network(data["pixel_values"]).quality.logit()
    branch = losses.identification_quality_loss(taught, target, identities)
    expected = branch + losses.identification_quality_loss(learnt, target, identities)
    expected = expected + 20 * losses.quality_divergence(learnt, taught)
    torch.testing.assert_close(objective(data), expected, rtol=1e-4, atol=1e-4)

    objective(data).backward()  # the branch learns from the pairs only
    weight = objective.teacher[0].weight
    torch.testing.assert_close(weight.grad, torch.autograd.grad(branch, weight)[0], **NEAR)


def test_faceqgen_restores_the_mirrored_reference_of_a_mirrored_face(run):
    objective = OBJECTIVES["faceqgen"](run, widths=(4, 8), discriminator_widths=(4,)).train()
    data = batch(run, objective)
    reference = labels.central_image(run.embeddings(), run.people.identities)
    ideal = run.people.images[reference].float() / 127.5 - 1
    ideal[1::2] = ideal[1::2].flip(-1)
    network = objective.network
    restored = network.generator(data["pixel_values"])
    answers = [F.softplus(-network.discriminator(restored)).mean(), F.softplus(-network.discriminator(ideal)).mean(),
               F.softplus(network.discriminator(restored.detach())).mean()]  # fmt: skip
    generator = 100 * (restored - ideal).abs().mean() + answers[0]
    discriminator = (answers[1] + answers[2]) / 2
    torch.testing.assert_close(objective(data), generator + discriminator, rtol=1e-4, atol=1e-4)

    objective(data).backward()  # each learns from its own part
    for part, loss in ((network.generator, generator), (network.discriminator, discriminator)):
        parameters = list(part.parameters())
        for parameter, gradient in zip(
            parameters, torch.autograd.grad(loss, parameters, retain_graph=True), strict=True
        ):
            torch.testing.assert_close(parameter.grad, gradient, rtol=1e-3, atol=1e-5)
