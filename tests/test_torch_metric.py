"""The torchmetrics class: batches and processes change nothing."""

import pickle
import sys

import numpy as np
import pytest
import torch

from difiqa_hf.metrics import error_discard


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    genuine, quality = np.arange(600) % 3 == 0, rng.normal(size=(600, 2))
    return rng.normal(size=600) + genuine * (1 + quality.min(1)), genuine, quality


def metric(**options):
    pytest.importorskip("torchmetrics")
    from difiqa_hf.torch_metric import ErrorDiscard

    return ErrorDiscard(options={"fmr": 0.1} | options)


@pytest.mark.parametrize("protocol", ["paper", "edc"])
def test_batches_add_up(data, protocol):
    whole = metric(protocol=protocol)
    for start in range(0, 600, 70):
        whole.update(*(torch.from_numpy(values[start : start + 70]) for values in data))
    expected = error_discard(*data, fmr=0.1, protocol=protocol)
    assert whole.compute().item() == expected.pauc(0.3)
    np.testing.assert_array_equal(whole.result().fnmr, expected.fnmr)
    assert pickle.loads(pickle.dumps(whole)).compute().item() == expected.pauc(0.3)
    whole.reset()
    assert whole.similarity == [] and not whole.higher_is_better


def test_processes_are_concatenated(data):
    """What torchmetrics does between processes: gather every state, then reduce with `cat`."""
    whole = metric()
    assert set(whole._reductions) == {"similarity", "genuine", "quality"}
    assert {function.__name__ for function in whole._reductions.values()} == {"dim_zero_cat"}
    whole.similarity, whole.genuine, whole.quality = (torch.from_numpy(values) for values in data)
    assert whole.result().fnmr0 == error_discard(*data, fmr=0.1).fnmr0


def test_without_torchmetrics_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchmetrics", None)
    from difiqa_hf import torch_metric

    torch_metric._metric_class.cache_clear()
    with pytest.raises(ImportError, match=r"difiqa-hf\[torchmetrics\]"):
        torch_metric.ErrorDiscard  # noqa: B018
