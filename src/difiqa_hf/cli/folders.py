"""Folders that commands write into."""

import os
from pathlib import Path


def check_folder(path: Path) -> Path:
    """The folder itself, if it is one or can be made; nothing is made yet. For before the work, not after it.

    Raises:
        ValueError: if a file stands in its place, or its parent cannot be written to.
    """
    nearest = next(place for place in (path, *path.absolute().parents) if place.exists())
    if not nearest.is_dir():
        raise ValueError(f"{nearest} is a file, so it cannot be written into: name a folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise ValueError(f"{nearest} may not be written to: name another folder")
    return path
