"""Common to all tests: no network, and the place of the real images, weights and golden numbers."""

import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is imported, so before everything else
os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is; tests compare processes to the last bit, and start several

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real images, weights and golden numbers, which is no part of the repository; skips without it."""
    folder = Path(os.environ.get("DIFIQA_SHARED") or Path(__file__).parents[2] / "shared").resolve()
    if not folder.is_dir():
        pytest.skip(f"no {folder}; DIFIQA_SHARED names the folder of real images, weights and golden numbers")
    return folder
