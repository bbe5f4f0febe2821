"""iResNet: insightface's keys, sizes and numbers."""

import zlib

import numpy as np
import pytest
import torch
from torch import nn

from difiqa_hf.models.modeling_iresnet import IResNetConfig, IResNetRecognizer
from toys import toy_faces

BATCH_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def on_meta(depth: int) -> IResNetRecognizer:
    with torch.device("meta"):
        return IResNetRecognizer(IResNetConfig.from_depth(depth))


def official_keys(layers) -> set[str]:
    """insightface's names by rule: every first block of a stage has a stride, so a shortcut with weights."""
    keys = {"conv1.weight", "prelu.weight", "fc.weight", "fc.bias"}
    norms = ["bn1", "bn2", "features"]
    for stage, blocks in enumerate(layers, start=1):
        for i in range(blocks):
            block = f"layer{stage}.{i}"
            keys |= {f"{block}.conv1.weight", f"{block}.prelu.weight", f"{block}.conv2.weight"}
            norms += [f"{block}.bn1", f"{block}.bn2", f"{block}.bn3"]
        keys.add(f"layer{stage}.0.downsample.0.weight")
        norms.append(f"layer{stage}.0.downsample.1")
    return keys | {f"{norm}.{name}" for norm in norms for name in BATCH_NORM}


@pytest.mark.parametrize("depth, layers", [(18, (2, 2, 2, 2)), (100, (3, 13, 30, 3)), (200, (6, 26, 60, 6))])
def test_keys_are_the_official_ones(depth, layers):
    assert set(on_meta(depth).state_dict()) == official_keys(layers)


@pytest.mark.parametrize("depth, millions", [(50, 43.59), (100, 65.15)])
def test_parameter_count(depth, millions):
    count = sum(value.numel() for value in on_meta(depth).parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.01)


def test_unknown_depth_is_refused():
    with pytest.raises(ValueError, match="18, 34, 50, 100, 200, found 101"):
        IResNetConfig.from_depth(101)


@pytest.fixture(scope="module")
def by_rule():
    """iResNet-18 with the rule-made weights of shared/golden/released/README.md."""
    model = IResNetRecognizer(IResNetConfig.from_depth(18))
    for key, value in model.state_dict().items():
        r = torch.randn(value.shape, generator=torch.Generator().manual_seed(zlib.crc32(key.encode())))
        if key.endswith("num_batches_tracked"):
            continue
        if key.endswith("running_var"):
            r = 1 + 0.1 * r.abs()
        elif value.ndim == 1:
            r = 1 + 0.1 * r if "weight" in key else 0.1 * r
        else:
            r = r / value[0].numel() ** 0.5
        value.copy_(r)
    return model.eval()


@pytest.mark.parametrize("case, seed", [("dim16_t5_n2", 0), ("dim16_t5_n10", 40)])
def test_output_is_that_of_the_released_network(shared, by_rule, case, seed):
    expected = torch.from_numpy(np.load(shared / "golden" / "released" / f"{case}.npz")["fr_out"])
    with torch.no_grad():
        found = by_rule(toy_faces(2, seed + 2)).embeddings
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def toy(**options) -> IResNetRecognizer:
    torch.manual_seed(0)
    config = dict(layers=[1, 1], widths=[8, 8], stem_width=8, stem_stride=4, embedding_size=8)
    return IResNetRecognizer(IResNetConfig(**config, **options))


def test_scale_of_the_embedding_is_fixed_also_after_loading(tmp_path):
    model = toy()
    model.save_pretrained(tmp_path)
    for network in (model, IResNetRecognizer.from_pretrained(tmp_path).train()):
        fixed = {name for name, value in network.named_parameters() if not value.requires_grad}
        assert fixed == {"features.weight"}
        assert torch.equal(network.features.weight, torch.ones(8))


def test_dropout_acts_only_in_training():
    model, faces = toy(dropout=0.5).eval(), toy_faces()
    with torch.no_grad():
        assert torch.equal(model(faces).embeddings, model(faces).embeddings)
        model.dropout.train()
        assert not torch.equal(model(faces).embeddings, model(faces).embeddings)


def test_depthwise_head_saves_parameters():
    full, small = toy(), toy(head="gdc", head_width=8)
    assert small.num_parameters() < full.num_parameters()
    with torch.no_grad():
        assert small.eval()(toy_faces()).embeddings.shape == (2, 8)


def test_batch_norm_constants_reach_every_layer():
    model = toy(batch_norm_eps=2e-5, batch_norm_momentum=0.9, head="gdc")
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(2e-5, 0.9)}
