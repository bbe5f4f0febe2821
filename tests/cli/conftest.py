"""What the tests of `difiqa score` share: a method without networks, and a folder of their own to work in."""

import pytest

import toys


class Brightness(toys.Brightness):
    """Notes the sizes of its batches."""

    def __init__(self, recognizer=None, seed=0, device="cpu"):
        self.calls = []

    def score(self, pixel_values):
        self.calls.append(len(pixel_values))
        return super().score(pixel_values)


@pytest.fixture
def brightness(monkeypatch):
    method = Brightness()
    monkeypatch.setattr("difiqa_hf.methods.create_method", lambda name, **options: method)
    return method


@pytest.fixture
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path
