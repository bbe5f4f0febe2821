"""SER-FIQ against the whole network run again for every repeat, and its three outputs."""

import itertools

import pytest
import torch
import torch.nn.functional as F

from difiqa_hf.diffusion import image_digests, stable_seed
from difiqa_hf.methods import create_method
from difiqa_hf.methods.ser_fiq import ser_fiq_quality
from difiqa_hf.models.modeling_iresnet import IResNetConfig, IResNetRecognizer
from toys import toy_faces, toy_recognizer


def iresnet():
    torch.manual_seed(0)
    config = IResNetConfig(layers=[1, 1], widths=[8, 8], stem_width=8, stem_stride=4, embedding_size=8, dropout=0.4)
    return IResNetRecognizer(config).eval()


@pytest.mark.parametrize("make", [toy_recognizer, iresnet])
def test_only_the_tail_is_repeated_and_nothing_else_changes(make):
    """The dropout of torch, run through the whole network with the same mask, gives the same score."""
    recognizer, x, m = make(), toy_faces(2), 6
    quality = create_method("ser-fiq", recognizer=recognizer, num_repeats=m)(x)
    layer = recognizer.fc
    for image, digest, found in zip(x, image_digests(x), quality, strict=True):
        generator = torch.Generator().manual_seed(stable_seed("ser-fiq", 0, digest))
        kept = torch.rand(m, layer.in_features, generator=generator) >= 0.4
        handle = layer.register_forward_pre_hook(lambda module, inputs, kept=kept: (inputs[0] * kept / 0.6,))
        with torch.no_grad():
            embeddings = F.normalize(recognizer(image.expand(m, -1, -1, -1)).embeddings)
        handle.remove()
        distances = [(a - b).norm() for a, b in itertools.combinations(embeddings, 2)]
        torch.testing.assert_close(found, 2 / (1 + torch.stack(distances).mean().exp()), atol=1e-5, rtol=0)


def test_three_outputs_of_the_same_distance():
    distance, m = torch.tensor([0.2, 0.3]), 100
    raw = 2 / (1 + distance.exp())
    torch.testing.assert_close(ser_fiq_quality(distance, m), raw)
    torch.testing.assert_close(ser_fiq_quality(distance, m, "normalised"), 1 / (1 + (-130 * (raw - 0.88)).exp()))
    matrix_mean = distance * (m * (m - 1) / 2) / m**2  # zeros on and below the diagonal counted in
    torch.testing.assert_close(ser_fiq_quality(distance, m, "port"), 2 / (1 + (8 * matrix_mean).exp()))


@pytest.mark.parametrize("output", ["raw", "normalised", "port"])
def test_order_is_the_same_in_all_outputs(output):
    x = toy_faces(6)
    raw = create_method("ser-fiq", recognizer=toy_recognizer(), num_repeats=30)(x)
    other = create_method("ser-fiq", recognizer=toy_recognizer(), num_repeats=30, output=output)(x)
    assert (other[raw.argsort()].diff() >= 0).all()  # "normalised" saturates far from .88


def test_what_cannot_be_opened_is_refused():
    with pytest.raises(ValueError, match="function has no forward_features and no forward_head; use one of"):
        create_method("ser-fiq", recognizer=lambda x: x.flatten(1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output": "percent"}, "output must be one of raw, normalised, port, found 'percent'"),
        ({"num_repeats": 1}, "at least 2 and dropout between 0 and 1, found 1, 0.4"),
        ({"dropout": 0}, "found 100, 0"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        create_method("ser-fiq", recognizer=toy_recognizer(), **options)


def test_dropout_that_leaves_nothing_is_refused():
    with pytest.raises(ValueError, match="leaves a copy none of its"):
        create_method("ser-fiq", recognizer=toy_recognizer(), dropout=0.999999)(toy_faces(1))
