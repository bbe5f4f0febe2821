"""The published layouts, stated anew: names and shapes by rule, and the forward pass in plain functions.

Independent of difiqa_hf on purpose. Sizes are toys; the layer order is the official one.
"""

import torch.nn.functional as F
from torch import Tensor

LAYERS, WIDTHS, STEM, EMBEDDING = (1, 2, 1, 1), (6, 8, 10, 12), 6, 8
FEATURES = WIDTHS[-1] * 7 * 7


def norm_shapes(name: str, width: int, affine: bool = True) -> dict:
    shapes = {"running_mean": (width,), "running_var": (width,), "num_batches_tracked": ()}
    shapes |= {"weight": (width,), "bias": (width,)} if affine else {}
    return {f"{name}.{key}": shape for key, shape in shapes.items()}


def iresnet_shapes(layers=LAYERS, widths=WIDTHS, stem=STEM, embedding=EMBEDDING) -> dict:
    """insightface's iResNet."""
    shapes = {"conv1.weight": (stem, 3, 3, 3), **norm_shapes("bn1", stem), "prelu.weight": (stem,)}
    before = stem
    for s, (blocks, width) in enumerate(zip(layers, widths, strict=True), 1):
        for i in range(blocks):
            name = f"layer{s}.{i}"
            shapes |= norm_shapes(f"{name}.bn1", before) | {f"{name}.conv1.weight": (width, before, 3, 3)}
            shapes |= norm_shapes(f"{name}.bn2", width) | {f"{name}.prelu.weight": (width,)}
            shapes |= {f"{name}.conv2.weight": (width, width, 3, 3)} | norm_shapes(f"{name}.bn3", width)
            if i == 0:
                shapes |= {f"{name}.downsample.0.weight": (width, before, 1, 1)}
                shapes |= norm_shapes(f"{name}.downsample.1", width)
            before = width
    shapes |= norm_shapes("bn2", before) | {"fc.weight": (embedding, before * 49), "fc.bias": (embedding,)}
    return shapes | norm_shapes("features", embedding)


def ir_shapes(middle: bool, layers=LAYERS, widths=WIDTHS, stem=STEM) -> dict:
    """face.evoLVe's IR: stem and body; the first stage has the width of the stem, so no weights in its shortcut."""
    shapes = {"input_layer.0.weight": (stem, 3, 3, 3), **norm_shapes("input_layer.1", stem)}
    shapes |= {"input_layer.2.weight": (stem,)}
    unit, before = 0, stem
    for blocks, width in zip(layers, widths, strict=True):
        for _ in range(blocks):
            name = f"body.{unit}.res_layer"
            shapes |= norm_shapes(f"{name}.0", before) | {f"{name}.1.weight": (width, before, 3, 3)}
            shapes |= norm_shapes(f"{name}.2", width) if middle else {}
            last = 3 if middle else 2
            shapes |= {f"{name}.{last}.weight": (width,), f"{name}.{last + 1}.weight": (width, width, 3, 3)}
            shapes |= norm_shapes(f"{name}.{last + 2}", width)
            if before != width:
                shapes |= {f"body.{unit}.shortcut_layer.0.weight": (width, before, 1, 1)}
                shapes |= norm_shapes(f"body.{unit}.shortcut_layer.1", width)
            unit, before = unit + 1, width
    return shapes


def embedding_shapes(features=FEATURES, width=WIDTHS[-1], embedding=EMBEDDING) -> dict:
    """`output_layer` of AdaFace and CurricularFace."""
    shapes = norm_shapes("output_layer.0", width)
    shapes |= {"output_layer.3.weight": (embedding, features), "output_layer.3.bias": (embedding,)}
    return shapes | norm_shapes("output_layer.4", embedding, affine=False)


def quality_shapes(features=FEATURES) -> dict:
    """`quality` of SDD-FIQA."""
    return {"quality.1.weight": (features,), "quality.3.weight": (1, features), "quality.3.bias": (1,)}


def mobilefacenet_shapes(embedding=512) -> dict:
    """eDifFIQA's MobileFaceNet."""
    shapes = {}

    def layer(name, out, inputs, kernel, activation=True):
        shapes[f"{name}.conv.weight"] = (out, inputs, kernel, kernel)
        shapes.update(norm_shapes(f"{name}.bn", out))
        if activation:
            shapes[f"{name}.prelu.weight"] = (out,)

    def depth_wise(name, before, out, groups):
        layer(f"{name}.conv", groups, before, 1)
        layer(f"{name}.conv_dw", groups, 1, 3)
        layer(f"{name}.project", out, groups, 1, activation=False)

    layer("conv1", 64, 3, 3)
    layer("conv2_dw", 64, 1, 3)
    for stage, repeats, before, out, groups in (
        ("conv_23", 0, 64, 64, 128),
        ("conv_3", 4, 64, 64, 128),
        ("conv_34", 0, 64, 128, 256),
        ("conv_4", 6, 128, 128, 256),
        ("conv_45", 0, 128, 128, 512),
        ("conv_5", 2, 128, 128, 256),
    ):
        for name in [f"{stage}.model.{i}" for i in range(repeats)] or [stage]:
            depth_wise(name, before, out, groups)
    layer("conv_6_sep", 512, 128, 1)
    layer("conv_6_dw", 512, 1, 7, activation=False)
    return shapes | {"linear.weight": (embedding, 512)} | norm_shapes("bn", embedding)


def norm(state: dict, name: str, x: Tensor, eps: float = 1e-5) -> Tensor:
    mean, variance = state[f"{name}.running_mean"], state[f"{name}.running_var"]
    return F.batch_norm(x, mean, variance, state.get(f"{name}.weight"), state.get(f"{name}.bias"), eps=eps)


def iresnet(state: dict, x: Tensor, eps: float = 1e-5) -> Tensor:
    """Embedding: norm, convolution, norm, PReLU, strided convolution, norm; plus shortcut."""
    x = F.prelu(norm(state, "bn1", F.conv2d(x, state["conv1.weight"], padding=1), eps), state["prelu.weight"])
    for s in range(1, 5):
        i = 0
        while f"layer{s}.{i}.conv1.weight" in state:
            name = f"layer{s}.{i}"
            stride = 2 if i == 0 else 1
            out = F.conv2d(norm(state, f"{name}.bn1", x, eps), state[f"{name}.conv1.weight"], padding=1)
            out = F.prelu(norm(state, f"{name}.bn2", out, eps), state[f"{name}.prelu.weight"])
            out = norm(state, f"{name}.bn3", F.conv2d(out, state[f"{name}.conv2.weight"], None, stride, 1), eps)
            if i == 0:
                x = F.conv2d(x, state[f"{name}.downsample.0.weight"], None, 2)
                x = norm(state, f"{name}.downsample.1", x, eps)
            x = out + x
            i += 1
    x = norm(state, "bn2", x, eps).flatten(1)
    return norm(state, "features", F.linear(x, state["fc.weight"], state["fc.bias"]), eps)


def ir_map(state: dict, x: Tensor, middle: bool, layers=LAYERS) -> Tensor:
    """Last map; the first unit of every stage has stride 2."""
    x = F.conv2d(x, state["input_layer.0.weight"], padding=1)
    x = F.prelu(norm(state, "input_layer.1", x), state["input_layer.2.weight"])
    strides = [stride for blocks in layers for stride in (2, *[1] * (blocks - 1))]
    for unit, stride in enumerate(strides):
        name, short = f"body.{unit}.res_layer", f"body.{unit}.shortcut_layer"
        out = F.conv2d(norm(state, f"{name}.0", x), state[f"{name}.1.weight"], padding=1)
        i = 2
        if middle:
            out, i = norm(state, f"{name}.2", out), 3
        out = F.prelu(out, state[f"{name}.{i}.weight"])
        out = norm(state, f"{name}.{i + 2}", F.conv2d(out, state[f"{name}.{i + 1}.weight"], None, stride, 1))
        if f"{short}.0.weight" in state:
            x = norm(state, f"{short}.1", F.conv2d(x, state[f"{short}.0.weight"], None, stride))
        else:
            x = x[:, :, ::stride, ::stride]  # max-pooling over one pixel
        x = out + x
    return x


def ir_embedding(state: dict, x: Tensor, middle: bool) -> Tensor:
    x = norm(state, "output_layer.0", ir_map(state, x, middle)).flatten(1)
    return norm(state, "output_layer.4", F.linear(x, state["output_layer.3.weight"], state["output_layer.3.bias"]))


def ir_quality(state: dict, x: Tensor) -> Tensor:
    x = F.prelu(ir_map(state, x, middle=False).flatten(1), state["quality.1.weight"])
    return F.linear(x, state["quality.3.weight"], state["quality.3.bias"]).squeeze(1)


def mobilefacenet(state: dict, x: Tensor) -> Tensor:
    """Embedding of unit length."""

    def layer(name, x, stride=1, padding=0, groups=1):
        x = norm(state, f"{name}.bn", F.conv2d(x, state[f"{name}.conv.weight"], None, stride, padding, 1, groups))
        return F.prelu(x, state[f"{name}.prelu.weight"]) if f"{name}.prelu.weight" in state else x

    def depth_wise(name, x, stride):
        out = layer(f"{name}.conv", x)
        return layer(f"{name}.project", layer(f"{name}.conv_dw", out, stride, 1, out.shape[1]))

    x = layer("conv2_dw", layer("conv1", x, 2, 1), 1, 1, 64)
    for single, several, repeats in (("conv_23", "conv_3", 4), ("conv_34", "conv_4", 6), ("conv_45", "conv_5", 2)):
        x = depth_wise(single, x, 2)
        for i in range(repeats):
            x = x + depth_wise(f"{several}.model.{i}", x, 1)
    x = layer("conv_6_dw", layer("conv_6_sep", x), groups=512).flatten(1)
    return F.normalize(norm(state, "bn", F.linear(x, state["linear.weight"])), dim=1)


def two_layers(state: dict, x: Tensor) -> Tensor:
    """eDifFIQA's head."""
    x = F.gelu(F.linear(x, state["mlp.l1.weight"], state["mlp.l1.bias"]))
    return F.linear(x, state["mlp.l2.weight"], state["mlp.l2.bias"]).squeeze(1)
