"""Every published check case, to 1e-10."""

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
    "image_unit_recompute_lt": {"unit": "image"},
    "image_unit_fixed_lt": {"unit": "image", "threshold_update": "fixed"},
    "crfiqa_grid": {"fmr_rule": "nearest"},
}
POOLED = {"protocol": "paper", "threshold_update": "fixed", "grid_step": "exact"}
EXACT_PROTOCOLS = {
    "mated_exact_lt": {},
    "mated_exact_le": {"fmr_rule": "le"},
    "fiqat_0.0.13_lt": {},
    "fiqat_0.0.13_le": {"fmr_rule": "le"},
    "pooled_exact_fixed_lt": POOLED,
    "pooled_exact_fixed_le": POOLED | {"fmr_rule": "le"},
}
# name of the case's threshold -> fmr_rule
THRESHOLDS = {
    "lt": "lt", "le": "le",
    "bob_far_threshold": "far_threshold", "quantile_linear": "quantile", "nearest_pyeer": "pyeer",
}  # fmt: skip
# k = 0 at FMR 1e-4: three thousand impostors cannot say anything about one in ten thousand
pytestmark = pytest.mark.filterwarnings("ignore:.*too few for FMR:UserWarning")


@pytest.fixture(params=CASES, ids="-".join)
def case(request, shared):
    name, fmr = request.param
    folder = shared / "golden" / "edc"
    data = np.load(folder / f"{name}.npz")
    images = np.stack([data["img1"], data["img2"]], axis=1)
    expected = json.loads((folder / "expected.json").read_text())[name]["by_fmr"][fmr]
    return (data["similarity"], data["genuine"], data["quality"]), {"fmr": float(fmr), "images": images}, expected


def close(value):
    return pytest.approx(value, rel=0, abs=1e-10)


@pytest.mark.parametrize("protocol", GRID_PROTOCOLS)
def test_grid_protocol(case, protocol):
    inputs, common, expected = case
    expected = expected[protocol]
    result = error_discard(*inputs, **common, **GRID_PROTOCOLS[protocol])
    assert result.fnmr.tolist() == close(expected["grid"])
    if "n_gen" in expected:
        assert result.remaining_genuine.tolist() == expected["n_gen"]
        assert result.remaining_impostor.tolist() == expected["n_imp"]
        assert np.rint(result.fnmr * result.remaining_genuine).tolist() == expected["errors"]
    for limit, value in expected["pauc"].items():
        assert result.pauc(float(limit)) == close(value)
    for limit, value in expected.get("pauc_area", {}).items():
        assert result.pauc(float(limit), "area") == close(value)
    for discard, value in expected["edc"].items():
        assert result.fnmr_at(float(discard)) == close(value)


@pytest.mark.parametrize("protocol", EXACT_PROTOCOLS)
def test_exact_protocol(case, protocol):
    inputs, common, expected = case
    if protocol not in expected:
        pytest.skip("not in this case")
    expected = expected[protocol]
    result = error_discard(*inputs, **common, **{"protocol": "edc"} | EXACT_PROTOCOLS[protocol])
    for limit in (0.2, 0.3):
        for figure, value in expected[f"pauc_{limit}"].items():
            assert result.pauc(limit, figure) == close(value), figure
    for discard, value in expected["edc"].items():
        assert result.fnmr_at(float(discard)) == close(value)


@pytest.mark.parametrize("protocol", ["paper", "edc"])
@pytest.mark.parametrize("name", THRESHOLDS)
def test_threshold(case, name, protocol):
    inputs, common, expected = case
    expected = expected["thresholds"][name]
    result = error_discard(*inputs, **common, protocol=protocol, fmr_rule=THRESHOLDS[name])
    assert result.threshold[0] == close(expected.get("v", expected.get("t")))
    assert expected["match"].split()[1] == result.match
    assert result.k[0] == expected.get("k", result.k[0])
    assert result.fnmr0 == close(expected["fnmr0"])
