"""The metric as an `evaluate` module, loaded from its folder without a network, and its app."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np
import pytest

import difiqa_hf.metrics
from difiqa_hf.metrics import error_discard

FOLDER = Path(difiqa_hf.metrics.__file__).parent / "edc_pauc"
CODE = """
import json, sys, evaluate
metric = evaluate.load(sys.argv[1])
data = json.load(sys.stdin)
no_error = metric.compute(predictions=[.9, .8, .1, .2], references=[1, 1, 0, 0], quality=[1, 2, 3, 4], fmr=.5)
edc = metric.compute(**data, fmr=.1, protocol="edc", limits=[.3])
print(json.dumps([metric.compute(**data, fmr=.1), edc, no_error]))
"""


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    genuine, quality = np.arange(600) % 3 == 0, rng.normal(size=(600, 2))
    return rng.normal(size=600) + genuine * (1 + quality.min(1)), genuine, quality


def test_loads_offline_and_gives_the_figures_of_error_discard(data, tmp_path):
    names = ("predictions", "references", "quality")
    inputs = json.dumps({name: values.tolist() for name, values in zip(names, data, strict=True)})
    environment = os.environ | {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "HF_EVALUATE_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CODE, str(FOLDER)],
        input=inputs, capture_output=True, text=True, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    paper, edc, no_error = json.loads(done.stdout)
    expected = error_discard(*data, fmr=0.1)
    assert paper["pauc_0.3"] == expected.pauc(0.3) and paper["fnmr_0"] == expected.fnmr0 and paper["k"] == 39
    assert paper["options"] == expected.options and (paper["n_genuine"], paper["n_impostor"]) == (200, 400)
    assert edc["pauc_0.3"] == error_discard(*data, fmr=0.1, protocol="edc").pauc(0.3) and "pauc_0.2" not in edc
    assert no_error["pauc_0.3"] is None and "FNMR(0) is 0" in no_error["undefined"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("similarity,genuine\n.1,1\n", "missing: quality"),
        ("", "missing: similarity, genuine, quality"),
        ("similarity,genuine,quality\n", "no comparisons"),
        ("similarity,genuine,quality\n.1,1,.5\n.2,0\n", "line 3: could not convert string to float"),
        ("similarity,genuine,quality\n.1,0,.5\n.2,1,nan\n", "NaN or infinite"),
    ],
)
def test_the_app_explains_a_wrong_table(table, message):
    app = runpy.run_path(str(FOLDER / "app.py"))
    with pytest.raises(ValueError, match=message):
        app["figures"](table, 0.5, "paper")


@pytest.mark.filterwarnings("ignore")  # of gradio about pandas
def test_the_app_serves_figures_and_reasons(monkeypatch):
    pytest.importorskip("gradio")
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
    app = runpy.run_path(str(FOLDER / "app.py"))
    page = app["build"]()
    _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1")
    try:

        def ask(table: str) -> str:
            body = json.dumps({"data": [table, 0.5, "paper"]}).encode()
            address, header = f"{url}gradio_api/call/show", {"Content-Type": "application/json"}
            with urlopen(Request(address, body, header)) as reply:
                event = json.load(reply)["event_id"]
            with urlopen(f"{address}/{event}") as reply:
                return reply.read().decode()

        kind, found = ask(app["EXAMPLE"].replace(",", " , ")).strip().split("\n", 1)
        figures = json.loads(found.removeprefix("data: "))[0]
        assert kind == "event: complete" and figures["pAUC(0.3)"] == pytest.approx(2 / 3)
        assert "FNMR(0) is 0" in ask("similarity,genuine,quality\n.9,1,1\n.2,0,1\n.1,0,2")
    finally:
        page.close()
