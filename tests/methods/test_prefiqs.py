"""PreFIQs: which weights go, and what is left of the embedding."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import prune as torch_prune

from difiqa_hf.methods import create_method
from difiqa_hf.methods.prefiqs import prune
from toys import toy_faceqgen, toy_faces, toy_recognizer


def weights(model):
    return [module for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)]


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_prunes_like_torch(scope):
    model = toy_recognizer()
    expected = copy.deepcopy(model)
    modules = [(module, "weight") for module in weights(expected)]
    if scope == "global":
        count = int(0.4 * sum(module.weight.numel() for module, _ in modules))
        torch_prune.global_unstructured(modules, torch_prune.L1Unstructured, amount=count)
    else:
        for module, name in modules:
            torch_prune.l1_unstructured(module, name, amount=int(0.4 * module.weight.numel()))
    for found, (module, _) in zip(weights(prune(model, 0.4, scope)), modules, strict=True):
        assert torch.equal(found.weight, module.weight)


def test_of_equal_weights_the_first_go():
    model = nn.Linear(5, 1, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[2.0, 1, -1, 1, 3]]))
    assert prune(model, 0.4).weight.tolist() == [[2, 0, 0, 1, 3]]
    assert prune(model, 0.2).weight.tolist() == [[2, 0, -1, 1, 3]]
    assert model.weight.tolist() == [[2, 1, -1, 1, 3]]


def test_everything_else_stays():
    model, pruned = toy_recognizer(), prune(toy_recognizer(), 0.7)
    names = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)}
    changed = {key for key, value in pruned.state_dict().items() if not torch.equal(value, model.state_dict()[key])}
    assert changed == names


def test_score():
    model, x = toy_recognizer(), toy_faces(3)
    assert torch.equal(create_method("prefiqs", recognizer=model, sparsity=0)(x), torch.ones(3))
    with torch.no_grad():
        cosine = F.cosine_similarity(model(x).embeddings, prune(model, 0.4)(x).embeddings)
    torch.testing.assert_close(create_method("prefiqs", recognizer=model)(x), 1 - (2 - 2 * cosine).sqrt() / 2)


def test_impossible_options_are_refused():
    with pytest.raises(ValueError, match="prunes weights, and a function shows none"):
        create_method("prefiqs", recognizer=lambda x: x.flatten(1))
    with pytest.raises(ValueError, match="found 1 and 'global'"):
        create_method("prefiqs", recognizer=toy_recognizer(), sparsity=1)


def test_other_options_are_another_revision():
    """A threshold card of one pruning does not fit another; repeats only change the error."""
    recognizer = toy_recognizer()
    usual = create_method("prefiqs", recognizer=recognizer)
    others = [create_method("prefiqs", recognizer=recognizer, **o) for o in ({"sparsity": 0.1}, {"scope": "layer"})]
    assert len({usual.revision, *(other.revision for other in others)}) == 3
    assert create_method("prefiqs", recognizer=recognizer, sparsity=0.4).revision == usual.revision
    more = create_method("ser-fiq", recognizer=recognizer, num_repeats=7)
    assert more.revision == usual.revision


def test_percentiles_are_those_of_the_usual_options():
    network = toy_faceqgen()
    network.config.reference_quantiles = [0.0, 0.5, 1.0]
    usual, other = (create_method("faceqgen", checkpoint=network, measure=m) for m in ("ssim", "mse"))
    assert usual.percentile(0.5) == 50 and other.percentile(0.5) is None and other.quantile_card() is None
    assert usual.revision != other.revision
