"""The card beside a checkpoint: found, checked against the weights, passed on."""

import numpy as np
import pytest

from difiqa_hf import create_method
from difiqa_hf.metrics import ErrorsAbove, ThresholdCard


@pytest.mark.parametrize("name", ["difiqa", "difiqa-r"])
def test_shipped_cards_belong_to_the_shipped_weights(name):
    """With or without a thresholds.json; a stale one is an error here, before it is one for users."""
    method = create_method(name)
    card = method.threshold_card()
    assert (card.method, card.revision) == (name, method.revision)
    for score in np.linspace(card.scores[0], card.scores[-1], 7):
        assert card.percentile(score) == pytest.approx(method.percentile(score), abs=0.01)


def test_a_card_travels_with_its_weights(tmp_path):
    method = create_method("difiqa-r")
    method.model.save_pretrained(tmp_path / "plain")  # the network alone
    bare = create_method("difiqa-r", checkpoint=tmp_path / "plain")
    bare.save_pretrained(tmp_path / "bare")
    assert not (tmp_path / "bare" / "thresholds.json").exists(), "quantiles alone stand in the configuration"
    columns = [np.full(101, value) for value in (0.01, 0.005, 0.02, 900)]
    entry = ErrorsAbove("pairs", "toy", "", 0.001, 0.3, 1000, 1000, *columns, 0.95, "identity", 10)
    method.quantile_card("pictures").with_errors(entry).save(tmp_path / "plain" / "thresholds.json")
    copy = create_method("difiqa-r", checkpoint=tmp_path / "plain")
    assert copy.threshold_card().reference == "pictures"
    copy.save_pretrained(tmp_path / "copy")
    assert ThresholdCard.load(tmp_path / "copy" / "thresholds.json").errors[0].recognizer == "toy"


def test_a_stale_card_is_refused(tmp_path):
    method = create_method("difiqa-r")
    method.save_pretrained(tmp_path)
    ThresholdCard("difiqa-r", "old", "x", np.array([0, 1])).save(tmp_path / "thresholds.json")
    with pytest.raises(ValueError, match="the threshold card is for revision old"):
        create_method("difiqa-r", checkpoint=tmp_path).threshold_card()


def test_methods_without_a_reference_have_no_card():
    assert create_method("random").threshold_card() is None
