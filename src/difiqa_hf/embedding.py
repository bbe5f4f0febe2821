"""What a recogniser is asked for: embeddings, checked."""

from collections.abc import Callable

from torch import Tensor, nn


def embed(recognizer: Callable, pixel_values: Tensor) -> Tensor:
    """Un-normalised float32 embeddings (batch, dim) of `pixel_values` (batch, 3, 112, 112), RGB in [-1, 1].

    Args:
        recognizer: a model of ours, or any callable that returns a tensor or an object with `.embeddings`.

    Raises:
        ValueError: if the result is not a finite (batch, dim) tensor, or the recogniser is in training mode, in which
            dropout and BatchNorm would make an embedding depend on chance and on its neighbours.
    """
    check_evaluates(recognizer)
    output = recognizer(pixel_values)
    embeddings = output if isinstance(output, Tensor) else getattr(output, "embeddings", None)
    if not isinstance(embeddings, Tensor):
        raise ValueError(f"a recogniser returns a tensor or an object with .embeddings, found {type(output).__name__}")
    count = len(pixel_values)
    if embeddings.ndim != 2 or len(embeddings) != count:
        raise ValueError(f"embeddings of {count} images must be ({count}, dim), found {tuple(embeddings.shape)}")
    broken = (~embeddings.isfinite().all(dim=1)).nonzero().flatten().tolist()
    if broken:
        raise ValueError(
            f"{len(broken)} of {count} embeddings are not finite, the first at index {broken[0]}; "
            "check the range of pixel_values and the precision of the recogniser"
        )
    return embeddings.float()


def check_evaluates(recognizer: Callable) -> None:
    """Refuse a recogniser of which any part is in training mode.

    Raises:
        ValueError: naming the part.
    """
    for name, module in recognizer.named_modules() if isinstance(recognizer, nn.Module) else ():
        if module.training:
            part = f", in its part {name}," if name else ""
            raise ValueError(
                f"the recogniser {type(recognizer).__name__}{part} is in training mode; call its eval() first"
            )
