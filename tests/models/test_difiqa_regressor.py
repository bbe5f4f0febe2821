"""DifFIQA(R): built on a recogniser, trained, saved, loaded."""

import pytest
import torch
from transformers import AutoModel

from difiqa_hf.models.modeling_difiqa_regressor import DifFIQARegressor, DifFIQARegressorConfig
from toys import toy_faces, toy_recognizer


def test_from_embedder_copies_the_backbone():
    recognizer = toy_recognizer()
    model = DifFIQARegressor.from_embedder(recognizer, label_minimum=0.4).eval()
    x = toy_faces(2)
    with torch.no_grad():
        output = model(x)
        assert torch.equal(output.embeddings, recognizer(x).embeddings)
    assert output.quality.shape == (2,) and model.config.label_minimum == 0.4
    with torch.no_grad():
        model.backbone.fc.weight.zero_()
    assert recognizer.fc.weight.abs().sum() > 0  # a copy, not the same tensors


def test_loss_is_l1_and_training_lowers_it():
    torch.manual_seed(0)
    model, x, labels = DifFIQARegressor.from_embedder(toy_recognizer()), toy_faces(8), torch.linspace(0, 1, 8)
    output = model.eval()(x, labels=labels)
    assert torch.allclose(output.loss, (output.quality - labels).abs().mean())
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    model.train()
    for _ in range(30):
        optimizer.zero_grad()
        loss = model(x, labels=labels).loss
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.5 * output.loss.item()


@pytest.mark.parametrize("options", [{}, {"head_width": 4, "output_mapping": "sigmoid"}])
def test_save_and_load(options, tmp_path):
    model = DifFIQARegressor.from_embedder(toy_recognizer(), reference_quantiles=[0.0, 0.5, 1.0], **options).eval()
    model.save_pretrained(tmp_path)
    x = toy_faces(2)
    for loaded in (DifFIQARegressor.from_pretrained(tmp_path), AutoModel.from_pretrained(tmp_path)):
        with torch.no_grad():
            assert torch.equal(loaded.eval()(x).quality, model(x).quality)
        assert loaded.config.reference_quantiles == [0.0, 0.5, 1.0]
    if options:
        assert 0 <= model(x).quality.min() <= model(x).quality.max() <= 1


def test_wrong_configurations_are_refused():
    with pytest.raises(ValueError, match="from_embedder"):
        DifFIQARegressor(DifFIQARegressorConfig())
    with pytest.raises(Exception, match="softmax"):
        DifFIQARegressorConfig(output_mapping="softmax")
