"""Made-up benchmarks as a folder and as a zip, with and without a top folder."""

import pytest

from made_up_benchmarks import lfw_files, write, zipped


@pytest.fixture(params=["folder", "folder in folder", "zip", "folder in zip"])
def layout(request, tmp_path):
    """Files -> root, in each of the forms in which a benchmark may be given."""

    def build(files):
        inside = write(tmp_path / "root" / ("top" if "in" in request.param else "."), files)
        root = inside.parent if "in" in request.param else inside
        return zipped(root, tmp_path / "root.zip") if "zip" in request.param else root

    return build


@pytest.fixture
def lfw_root(tmp_path):
    return write(tmp_path / "made-up-lfw", lfw_files())
