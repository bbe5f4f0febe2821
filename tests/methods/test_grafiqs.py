"""GraFIQs against a restatement of the released loop: one image, batch statistics, one backward pass."""

import pytest
import torch
from torch import nn

from difiqa_hf.methods import create_method
from difiqa_hf.models.modeling_iresnet import IResNetConfig, IResNetRecognizer
from difiqa_hf.models.modeling_mobilefacenet import MobileFaceNetConfig, MobileFaceNetRecognizer
from toys import toy_faces, toy_recognizer


def iresnet():
    torch.manual_seed(0)
    config = IResNetConfig(layers=[1, 1], widths=[8, 8], stem_width=8, stem_stride=4, embedding_size=8)
    return IResNetRecognizer(config).eval()


def one_image(recognizer, image, layer):
    """The sum of absolute gradients, of one image (1, 3, 112, 112), from losses over the batch dimension too."""
    losses, outputs, handles = [], {}, []

    def compare(module, inputs):
        mean, variance = inputs[0].mean((0, 2, 3)), inputs[0].var((0, 2, 3), unbiased=False)
        losses.append(nn.functional.mse_loss(mean, module.running_mean))
        losses[-1] = losses[-1] + nn.functional.mse_loss(variance, module.running_var)

    for name, module in recognizer.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            handles.append(module.register_forward_pre_hook(compare))
        if name == layer:
            handles.append(
                module.register_forward_hook(lambda m, i, output: (output.retain_grad(), outputs.update(x=output))[0])
            )
    image = image.clone().requires_grad_()
    recognizer(image)
    torch.stack(losses).mean().backward()
    for handle in handles:
        handle.remove()
    return (image if layer == "image" else outputs["x"]).grad.abs().sum()


@pytest.mark.parametrize(
    ("make", "layer"),
    [(toy_recognizer, "image"), (toy_recognizer, "blocks.0"), (iresnet, "image"), (iresnet, "layer1")],
)
def test_batched_is_one_at_a_time(make, layer):
    recognizer, x = make(), toy_faces(5)
    quality = create_method("grafiqs", recognizer=recognizer, layer=layer, batch_size=3)(x)
    expected = torch.stack([one_image(recognizer, image[None], layer) for image in x])
    torch.testing.assert_close(quality, -expected, rtol=1e-4, atol=0)


def test_a_folded_network_is_refused_or_read_where_it_can_be():
    torch.manual_seed(0)
    config = MobileFaceNetConfig(stem_width=8, stages=[(2, 8, 1, 4)], last_width=8, embedding_size=8, batch_norm=False)
    recognizer = MobileFaceNetRecognizer(config).eval()
    with pytest.raises(ValueError, match=r"folded into convolutions.*but 1 BatchNorm1d; batch_norm='1d' uses what"):
        create_method("grafiqs", recognizer=recognizer)
    method, x = create_method("grafiqs", recognizer=recognizer, batch_norm="1d"), toy_faces(3)
    features = method.recognizer.forward_features(leaf := x.clone().requires_grad_())
    ((recognizer.fc(features) - recognizer.norm.running_mean) ** 2).mean(1).sum().backward()
    torch.testing.assert_close(method(x), -leaf.grad.abs().sum((1, 2, 3)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"recognizer": lambda x: x.flatten(1)}, "function has no such layer"),
        ({"layer": "layer9"}, "no module 'layer9' in MobileFaceNetRecognizer; there are"),
        ({"batch_norm": "3d"}, "'2d' or '1d', found '3d'"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        create_method("grafiqs", **{"recognizer": toy_recognizer()} | options)


def test_a_layer_behind_every_batch_norm_is_refused():
    with pytest.raises(ValueError, match="no BatchNorm comes after 'norm'"):
        create_method("grafiqs", recognizer=toy_recognizer(), layer="norm")(toy_faces(1))


class Contained(nn.Module):
    """Its layers stand in a container that is never called."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Conv2d(3, 4, 3, 4), nn.BatchNorm2d(4)])

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x.mean((2, 3))


def test_a_layer_that_returns_nothing_is_refused():
    with pytest.raises(ValueError, match="'layers' returns no tensor when an image is embedded"):
        create_method("grafiqs", recognizer=Contained().eval(), layer="layers")(toy_faces(1))
    for layer in ("", "nothing"):
        with pytest.raises(ValueError, match=f"no module '{layer}' in"):
            create_method("grafiqs", recognizer=toy_recognizer(), layer=layer)
