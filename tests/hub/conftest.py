"""A Hub for the tests, and fresh processes that use it.

DIFIQA_TEST_HUB=https://huggingface.co with HF_TOKEN and DIFIQA_TEST_NAMESPACE runs the same tests on a real Hub, in
private repositories whose names begin with "difiqa-test-", deleted afterwards; without those that need it to misbehave.
"""

import json
import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from loopback_hub import PREFIX, TOKEN, LoopbackHub

HERE = Path(__file__).parent
REAL = os.environ.get("DIFIQA_TEST_HUB")


@dataclass
class RealHub:
    """The same attributes as `LoopbackHub` has for those tests that need no access to its inside."""

    endpoint: str = REAL
    token: str = field(default=os.environ.get("HF_TOKEN", ""), repr=False)
    namespace: str = os.environ.get("DIFIQA_TEST_NAMESPACE", "")


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    if not REAL:
        with LoopbackHub() as server:
            yield server
        return
    real = RealHub()
    yield real
    code = (
        "import sys; from huggingface_hub import HfApi; api = HfApi()\n"
        "for kind in ('model', 'dataset', 'space'):\n"
        "    for repo in getattr(api, f'list_{kind}s')(author=sys.argv[1]):\n"
        "        if repo.id.split('/')[1].startswith(sys.argv[2]): api.delete_repo(repo.id, repo_type=kind)"
    )
    environment = clean_environment(real, tmp_path_factory.mktemp("cleanup"))
    subprocess.run([sys.executable, "-c", code, real.namespace, PREFIX], env=environment, check=True)


@pytest.fixture(scope="module")
def loopback(hub):
    if REAL:
        pytest.skip("needs a Hub that can be made to misbehave")
    return hub


def clean_environment(hub, home: Path, **changes: str) -> dict[str, str]:
    """What a user's process finds: his token, a cache of his own, none of the settings of this process."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_"))}
    own = {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": hub.token, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
    quiet = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "PYTHONWARNINGS": "ignore"}
    return kept | own | quiet | {"OMP_NUM_THREADS": "1", "HF_DEBUG": ""} | changes


@pytest.fixture(scope="module")
def run(hub):
    """run(script, arguments, home, installed=True, **environment) -> what the script's functions returned, by name."""

    def run(script: str, arguments: dict, home: Path, installed: bool = True, **changes: str) -> dict:
        command = [sys.executable, str(HERE / script)]
        if not installed:  # no site: neither .pth files nor PYTHONPATH lead to the package; a wheel is refused
            command = [sys.executable, "-I", "-S", "-c", WITHOUT, sysconfig.get_path("purelib"), str(HERE / script)]
        environment = clean_environment(hub, home, **changes)
        done = subprocess.run(
            command, input=json.dumps(arguments), capture_output=True, text=True, env=environment, timeout=600
        )
        output = done.stdout + done.stderr
        assert TOKEN not in output and hub.token not in output, "the token was printed"
        assert done.returncode == 0, output[-6000:]
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.fixture(scope="module")
def difiqa(hub):
    """difiqa(home, *arguments, code=0) -> output of the command line."""

    def difiqa(home: Path, *arguments: str, code: int = 0) -> str:
        command = [sys.executable, "-c", "import sys; from difiqa_hf.cli import main; sys.exit(main())", *arguments]
        environment = clean_environment(hub, home)
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
        output = done.stdout + done.stderr
        assert hub.token not in output, "the token was printed"
        assert done.returncode == code, output[-6000:]
        return output

    return difiqa


WITHOUT = """
import runpy, sys
sys.path[1:1] = [sys.argv[1]]
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "difiqa_hf":
            raise ModuleNotFoundError("No module named 'difiqa_hf'", name="difiqa_hf")
sys.meta_path.insert(0, Refuse())
try:
    import difiqa_hf
except ModuleNotFoundError:
    runpy.run_path(sys.argv[2], run_name="__main__")
else:
    sys.exit("difiqa_hf is installed")
"""
