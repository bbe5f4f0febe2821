"""Equality of results but for the last digits of sums, which on some processors depend on where in memory they lie."""

import pytest


def assert_alike(a, b, tolerance: float = 1e-6) -> None:
    """Nested lists and dictionaries: numbers to `tolerance`, everything else equal."""
    if isinstance(b, dict):
        assert a.keys() == b.keys()
        for key in b:
            assert_alike(a[key], b[key], tolerance)
    elif isinstance(b, list):
        assert len(a) == len(b)
        for one, other in zip(a, b, strict=True):
            assert_alike(one, other, tolerance)
    else:
        assert a == (pytest.approx(b, abs=tolerance) if isinstance(b, float) else b)
