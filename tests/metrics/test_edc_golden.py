"""Every published check case that the options can express, to 1e-10."""

import json

import numpy as np
import pytest

from difiqa_hf.metrics import error_discard

CASES = [("lfw_like_6k", "0.001"), ("lfw_like_6k", "0.0001"), ("heavy_ties_6k", "0.001")]
GRID_PROTOCOLS = {
    "paper_grid_lt": {},
    "paper_grid_le": {"fmr_rule": "le"},
    "paper_grid_lt_tieskip": {"ties": "skip"},
    "grid_fixed_threshold_lt": {"threshold_update": "fixed"},
    "grid_fixed_threshold_le": {"threshold_update": "fixed", "fmr_rule": "le"},
}
EXACT_PROTOCOLS = {
    "mated_exact_lt": {"fmr_rule": "lt"},
    "mated_exact_le": {"fmr_rule": "le"},
    "fiqat_0.0.13_lt": {"fmr_rule": "lt"},
    "fiqat_0.0.13_le": {"fmr_rule": "le"},
}
# k = 0 at FMR 1e-4: three thousand impostors cannot say anything about one in ten thousand
pytestmark = pytest.mark.filterwarnings("ignore:.*k = 0:UserWarning")


@pytest.fixture(params=CASES, ids="-".join)
def case(request, shared):
    name, fmr = request.param
    folder = shared / "golden" / "edc"
    data = np.load(folder / f"{name}.npz")
    quality = np.stack([data["quality"][data["img1"]], data["quality"][data["img2"]]], axis=1)
    expected = json.loads((folder / "expected.json").read_text())[name]["by_fmr"][fmr]
    return (data["similarity"], data["genuine"], quality), float(fmr), expected


def close(value):
    return pytest.approx(value, rel=0, abs=1e-10)


@pytest.mark.parametrize("protocol", GRID_PROTOCOLS)
def test_grid_protocol(case, protocol):
    inputs, fmr, expected = case
    expected = expected[protocol]
    result = error_discard(*inputs, fmr=fmr, **GRID_PROTOCOLS[protocol])
    assert result.fnmr.tolist() == close(expected["grid"])
    assert result.remaining_genuine.tolist() == expected["n_gen"]
    assert result.remaining_impostor.tolist() == expected["n_imp"]
    assert np.rint(result.fnmr * result.remaining_genuine).tolist() == expected["errors"]
    for limit, value in expected["pauc"].items():
        assert result.pauc(float(limit)) == close(value)
        assert result.pauc(float(limit), "area") == close(expected["pauc_area"][limit])
    for discard, value in expected["edc"].items():
        assert result.fnmr_at(float(discard)) == close(value)


@pytest.mark.parametrize("protocol", EXACT_PROTOCOLS)
def test_exact_protocol(case, protocol):
    inputs, fmr, expected = case
    expected = expected[protocol]
    result = error_discard(*inputs, fmr=fmr, protocol="edc", **EXACT_PROTOCOLS[protocol])
    for limit in (0.2, 0.3):
        for figure, value in expected[f"pauc_{limit}"].items():
            assert result.pauc(limit, figure) == close(value), figure
    for discard, value in expected["edc"].items():
        assert result.fnmr_at(float(discard)) == close(value)


@pytest.mark.parametrize("protocol", ["paper", "edc"])
@pytest.mark.parametrize("rule", ["lt", "le"])
def test_threshold(case, rule, protocol):
    inputs, fmr, expected = case
    expected = expected["thresholds"][rule]
    result = error_discard(*inputs, fmr=fmr, protocol=protocol, fmr_rule=rule)
    assert result.threshold[0] == close(expected["v"])
    assert result.k[0] == expected["k"]
    assert result.fnmr0 == close(expected["fnmr0"])
