"""A real browser."""

from pathlib import Path

import pytest

# Chromium's own camera, a green picture with a moving pie and a timer, without asking
CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]


@pytest.fixture
def browser():
    """A real Chromium, the system's."""
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = next((p for p in map(Path, ("/usr/bin/chromium", "/usr/bin/google-chrome")) if p.exists()), None)
    if chromium is None:
        pytest.skip("no Chromium here")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(chromium), args=["--no-sandbox", *CAMERA])
        yield browser
        browser.close()
