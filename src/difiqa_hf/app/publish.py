"""A folder for a Hugging Face Space: the page, this package beside it, and what it needs from the index."""

import shutil
import sys
from importlib.metadata import PackageNotFoundError, distribution, version
from importlib.resources import files
from pathlib import Path

from difiqa_hf.methods.registry import method_class

EXTRAS = ("demo", "detect", "plots")
# on a Space without a GPU the usual packages of torch would bring gigabytes of CUDA
INDEX = "--extra-index-url https://download.pytorch.org/whl/cpu"


def write_space(folder: Path, method: str = "difiqa-r") -> None:
    """Write all that the Space needs; the package with its weights is copied, so no index has to have it.

    Raises:
        ValueError: for a folder that holds something already, a checkpoint that is not shipped, or a package that runs
            without being installed.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is there already and not an empty folder: name a new one, or delete it first")
    if "=" in method or (method_class(method).needs_training and method not in ("difiqa", "difiqa-r")):
        raise ValueError(f"a Space gets the weights that ship, those of difiqa and difiqa-r; found --method {method}")
    wanted, licence = _requirements(), _licence()
    shutil.copytree(str(files("difiqa_hf.app") / "space"), folder, dirs_exist_ok=True, ignore=_CACHES)
    shutil.copytree(str(files("difiqa_hf")), folder / "difiqa_hf", ignore=_CACHES)
    (folder / "requirements.txt").write_text("\n".join([INDEX, *wanted]) + "\n", encoding="utf-8")
    (folder / "LICENSE").write_text(licence, encoding="utf-8")
    for name, words in {"README.md": _versions(), "app.py": {'"difiqa-r"': f'"{method}"'}}.items():
        text = (folder / name).read_text(encoding="utf-8")
        for old, new in words.items():
            text = text.replace(old, new)
        (folder / name).write_text(text, encoding="utf-8")


_CACHES = shutil.ignore_patterns("__pycache__")


def _requirements() -> list[str]:
    """What the package and the extras of the page require, without the package itself."""
    from packaging.requirements import Requirement

    found = []
    for text in _installed().requires or []:
        requirement = Requirement(text)
        marker, requirement.marker = requirement.marker, None
        asked = marker is None or any(marker.evaluate({"extra": extra}) for extra in EXTRAS)
        if asked and requirement.name != "difiqa-hf":
            found.append(str(requirement))
    return sorted(set(found))


def _licence() -> str:
    found = [file for file in _installed().files or [] if file.name == "LICENSE"]
    return found[0].read_text() if found else "Apache-2.0: https://www.apache.org/licenses/LICENSE-2.0\n"


def _versions() -> dict[str, str]:
    """Python and Gradio as they are here, where the page is known to work."""
    return {"PYTHON": ".".join(map(str, sys.version_info[:2])), "GRADIO": version("gradio")}


def _installed():
    try:
        return distribution("difiqa-hf")
    except PackageNotFoundError:
        raise ValueError("difiqa-hf is not installed, so what it requires is not known: pip install it first") from None
