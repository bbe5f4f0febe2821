"""Face recognisers: load one, ask it for embeddings, name its weights."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedModel

from difiqa_hf.conversion.recognizers import convert_recognizer
from difiqa_hf.embedding import check_evaluates, embed  # noqa: F401  asked for here
from difiqa_hf.hub.fetch import fetch, variant_of, weights_in

SHIPPED = Path(__file__).parent / "checkpoints" / "difiqa" / "recognizer"


def load_recognizer(source: str | Path | None = None, device: str | torch.device = "cpu", **options) -> PreTrainedModel:
    """Load a recogniser for inference: eval mode, gradients off.

    Args:
        source: None or "shipped" for the shipped one; a file in a layout that `conversion.recognizers` reads (others:
            `difiqa convert` first); a folder written by `save_pretrained`; or a Hub repository of one of our networks
            (never remote code).
        device: where to run.
        options: of `load_strictly`.

    Raises:
        FileNotFoundError: for a path that does not exist.
        ValueError: for weights that do not fit their network.
    """
    source = None if source == "shipped" else source
    path = Path(SHIPPED if source is None else source).expanduser()
    if path.suffix == ".safetensors" or path.is_file():
        if not path.is_file():
            raise FileNotFoundError(f"no recogniser at {source}")
        model = convert_recognizer(path)
    elif path.is_dir():
        model = load_strictly(path, **options)
    elif source is None:
        raise FileNotFoundError(f"no shipped recogniser at {SHIPPED}; name one: a folder, a file or a repository")
    elif isinstance(source, Path) or source.startswith((".", "/", "~")) or source.count("/") > 1:
        raise FileNotFoundError(f"no recogniser at {source}")
    else:
        model = load_strictly(source, **options)
    # channels-last: up to a third quicker on a CPU
    return model.requires_grad_(False).eval().to(device, memory_format=torch.channels_last)


def load_strictly(source: str | Path, variant: str | None = None, subfolder: str = "", **hub) -> PreTrainedModel:
    """AutoModel in float32 whatever the storage; missing weights are an error, where transformers would draw them.

    Args:
        source: folder or repository; no code of it is run, and no pickle loaded.
        variant: of the weight files, where there are such.
        subfolder: of the network.
        hub: revision, cache_dir, token, local_files_only, force_download, as in huggingface_hub.

    Raises:
        OSError: for what cannot be found or reached.
        ValueError: for weights that do not fit, and as `difiqa_hf.hub.fetch`.
    """
    options = dict(trust_remote_code=False, dtype=torch.float32, output_loading_info=True, use_safetensors=True)
    try:
        folder = fetch(source, [subfolder], variant, **hub) / subfolder
        if variant is not None and any(variant_of(file.name) for file in weights_in(folder, variant)):
            options["variant"] = variant
        model, info = AutoModel.from_pretrained(folder, **options)
    except OSError as error:  # which does not always say what was asked for
        raise OSError(f"cannot load {source}: {error}") from error
    except (StrictDataclassError, RuntimeError, TypeError) as error:  # wrong types or shapes in a configuration
        raise ValueError(f"the configuration and the weights of {source} do not fit: {error}") from error
    problems = {kind: sorted(map(str, keys))[:3] for kind, keys in info.items() if keys}
    if problems:
        raise ValueError(f"the weights of {source} do not fit {type(model).__name__}: {problems}")
    return model


def resolve_recognizer(recognizer: Callable | str | Path | None, device: str | torch.device = "cpu") -> Callable:
    """A recogniser from what users pass: None and strings are loaded, modules moved to `device`, callables stay.

    Raises:
        ValueError: for anything else.
    """
    if recognizer is None or isinstance(recognizer, str | Path):
        return load_recognizer(recognizer, device=device)
    if not callable(recognizer):
        raise ValueError(f"a recogniser is a model, a callable or a path, found {recognizer!r}")
    return recognizer.to(device) if isinstance(recognizer, nn.Module) else recognizer


def weights_revision(model: Callable) -> str:
    """First 12 hex digits of the SHA-256 of the weights (names, dtypes, shapes, bytes), "" for a plain callable."""
    if not isinstance(model, nn.Module):
        return ""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        if name.endswith("num_batches_tracked"):  # a training counter, without effect on any output
            continue
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:12]


def recognizer_fingerprint(recognizer: Callable) -> str:
    """Weights and configuration, for cache keys: the same weights with another colour order are another recogniser.

    "" for a plain callable, of which nothing is known.
    """
    revision, config = weights_revision(recognizer), getattr(recognizer, "config", None)
    return revision and f"{revision}-{configuration_digest(config.to_dict() if hasattr(config, 'to_dict') else {})}"


def configuration_digest(config: Mapping) -> str:
    """12 hex digits (SHA-256) of what a network's configuration says of its work.

    Where it was loaded from, what wrote it, for which method it was trained, in which precision it was stored and what
    code lay beside change nothing; of a backbone inside, only the method changes nothing.
    """
    bookkeeping = ("architectures", "auto_map", "dtype", "quality_method", "transformers_version")
    kept = {key: value for key, value in config.items() if not key.startswith("_") and key not in bookkeeping}
    if backbone := kept.get("backbone_config"):
        kept["backbone_config"] = {key: value for key, value in backbone.items() if key != "quality_method"}
    return hashlib.sha256(json.dumps(kept, sort_keys=True, default=str).encode()).hexdigest()[:12]


def check_opens_before_head(recognizer: Callable, name: str) -> None:
    """Refuse a recogniser without the two halves of `forward`, which all of ours have.

    `forward_features(pixel_values)` returns what the last linear layer sees, (batch, features), before dropout;
    `forward_head(features)` makes the embeddings of it. Their composition is `forward`.

    Raises:
        ValueError: with what is missing; `name` is the method that asks.
    """
    missing = [half for half in ("forward_features", "forward_head") if not callable(getattr(recognizer, half, None))]
    if missing:
        raise ValueError(
            f"{name} repeats only the last layer of a recogniser, but {type(recognizer).__name__} has no "
            f"{' and no '.join(missing)}; use one of difiqa_hf.models, or give yours these two halves of its forward"
        )
    check_evaluates(recognizer)


@contextmanager
def recorded(
    modules: Mapping[str, nn.Module], inputs: bool = False, of: Callable[[Tensor], Tensor] = lambda value: value
) -> Iterator[dict[str, Tensor]]:
    """What goes through `modules` while the context lasts: name -> output, or first input, of the latest call.

    `of` is taken at once: what a module returned may be overwritten by the next one.
    """
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> Callable:
        if inputs:
            return lambda module, arguments: seen.__setitem__(name, of(arguments[0]))
        return lambda module, arguments, output: seen.__setitem__(name, of(output))

    handles = [
        module.register_forward_pre_hook(keep(name)) if inputs else module.register_forward_hook(keep(name))
        for name, module in modules.items()
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
