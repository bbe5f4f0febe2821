"""Where to run, and what not to show while loading."""

import torch


def pick_device(name: str) -> str:
    """A device that is there; "auto" is the GPU, or the CPU.

    Raises:
        ValueError: for a name that torch does not know, a GPU that it does not see, or a device that cannot compute.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.device(name)
    except (RuntimeError, TypeError):
        raise ValueError(
            f"no device {name!r} here (names are cpu, cuda, cuda:1, mps); auto takes what there is"
        ) from None
    try:
        torch.zeros(1, device=name).cpu()  # "meta" would take numbers and give none back
    except Exception as error:  # as the backend likes, from AssertionError to NotImplementedError
        reason = f"{error}".partition("\n")[0].partition(". ")[0] or type(error).__name__  # some list all backends
        raise ValueError(f"no device {name!r} here ({reason}); auto takes what there is") from error
    return str(name)


def hide_loading_bars() -> None:
    """Keep the libraries' progress bars for loading weights off the screen."""
    import diffusers.utils.logging
    import transformers.utils.logging

    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
