"""Where to run, and what not to show while loading."""

import torch


def pick_device(name: str) -> str:
    """A device that is there; "auto" is the GPU, or the CPU.

    Raises:
        ValueError: for a name that torch does not know, or a GPU that it does not see.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (AssertionError, ImportError, RuntimeError) as error:  # as the backend likes
        reason = str(error).splitlines()[0]
        raise ValueError(f"no device {name!r} here ({reason}); auto takes what there is") from error
    return name


def hide_loading_bars() -> None:
    """Keep the libraries' progress bars for loading weights off the screen."""
    import diffusers.utils.logging
    import transformers.utils.logging

    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
