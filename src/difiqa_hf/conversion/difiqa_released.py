"""The released DifFIQA checkpoint (LSIbabnikz/DifFIQA, `model.pt`) -> denoiser and pipeline of variant "released"."""

from difiqa_hf.conversion.keymap import KeyMap

RESNET = [
    ("mlp.1", "time_projection"),
    ("block1.proj", "conv1"),
    ("block1.norm", "norm1"),
    ("block2.proj", "conv2"),
    ("block2.norm", "norm2"),
    ("res_conv", "shortcut"),
]
LINEAR_ATTENTION = [
    ("fn.norm.g", "norm.gain"),
    ("fn.fn.to_qkv", "to_qkv"),
    ("fn.fn.to_out.0", "to_out"),
    ("fn.fn.to_out.1.g", "norm_out.gain"),
]
ATTENTION = [("fn.norm.g", "norm.gain"), ("fn.fn.to_qkv", "to_qkv"), ("fn.fn.to_out", "to_out")]
STAGE = {"0": ("resnet1", RESNET), "1": ("resnet2", RESNET), "2": ("attention", LINEAR_ATTENTION)}


def _unet_names() -> list[tuple[str, str]]:
    """Every module of the network, published name first."""
    pairs = [
        ("init_conv", "conv_in"),
        ("time_mlp", "time_embedding"),
        ("downs.{i}.3", "down_blocks.{i}.resample"),
        ("ups.{i}.3", "up_blocks.{i}.resample"),
        ("final_conv", "conv_out"),
    ]
    modules = [("mid_block1", "mid_resnet1", RESNET), ("mid_attn", "mid_attention", ATTENTION)]
    modules += [("mid_block2", "mid_resnet2", RESNET), ("final_res_block", "resnet_out", RESNET)]
    for foreign, ours in (("downs", "down_blocks"), ("ups", "up_blocks")):
        modules += [(f"{foreign}.{{i}}.{j}", f"{ours}.{{i}}.{name}", parts) for j, (name, parts) in STAGE.items()]
    pairs += [(f"{module}.{part}", f"{ours}.{name}") for module, ours, parts in modules for part, name in parts]
    return pairs


UNET_KEYS = KeyMap(_unet_names(), "the released DifFIQA UNet")
