"""FROQ: ranks, the greedy choice, and a calibration that belongs to one recogniser."""

import pytest
import torch
from torch import nn

from difiqa_hf.cli import main
from difiqa_hf.methods import create_method
from difiqa_hf.methods.froq import choose_layers, spearman
from toys import toy_faces, toy_recognizer


def test_spearman_is_scipys():
    stats = pytest.importorskip("scipy.stats")
    columns = torch.randint(0, 6, (30, 3), generator=torch.Generator().manual_seed(0)).float()  # many ties
    labels = torch.rand(30, generator=torch.Generator().manual_seed(1))
    expected = [stats.spearmanr(column, labels).statistic for column in columns.T.numpy()]
    torch.testing.assert_close(spearman(columns, labels), torch.tensor(expected, dtype=torch.float64))
    assert spearman(torch.ones(30, 1), labels).item() == 0


def test_layers_are_chosen_while_they_help():
    """Two halves of the label in two columns; a third that follows one of them; noise; an opposite."""
    generator = torch.Generator().manual_seed(0)
    a, b, noise = torch.randn(3, 200, generator=generator)
    columns = torch.stack([noise, a + 0.1 * noise, -a, b, torch.ones(200)], dim=1)
    chosen, correlations = choose_layers(columns, 1.5 * a + b)
    assert chosen[:2] == [1, 3] and 2 not in chosen and 4 not in chosen
    assert correlations == sorted(correlations) and correlations[1] > 0.95
    assert choose_layers(columns, 1.5 * a + b, max_layers=1)[0] == [1]
    assert choose_layers(-a[:, None], a) == ([], [])


def test_score_is_the_mean_norm_of_the_chosen_layers():
    recognizer, x = toy_recognizer(), toy_faces(4)
    method = create_method("froq", recognizer=recognizer).calibrate(toy_faces(20, seed=1), max_layers=3)
    assert 1 <= len(method.calibration.layers) <= 3 and method.calibration.num_images == 20
    outputs = {}
    for name in method.calibration.layers:
        recognizer.get_submodule(name).register_forward_hook(lambda m, i, o, name=name: outputs.update({name: o}))
    with torch.no_grad():
        recognizer(x)
    norms = torch.stack([output.flatten(1).norm(dim=1) for output in outputs.values()])
    torch.testing.assert_close(method(x), norms.mean(0))


def test_calibration_does_not_depend_on_the_batch_size():
    x = toy_faces(20)
    first, second = (create_method("froq", recognizer=toy_recognizer()).calibrate(x, batch_size=n) for n in (3, 20))
    assert first.calibration.layers == second.calibration.layers


def test_not_calibrated_too_few_images_another_recogniser(tmp_path):
    method = create_method("froq", recognizer=toy_recognizer())
    assert method.fingerprint == ""  # nothing to cache
    with pytest.raises(ValueError, match=r"not calibrated: call calibrate\(pixel_values\)"):
        method(toy_faces(1))
    with pytest.raises(ValueError, match="nothing to save"):
        method.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="at least 10 images, better hundreds, found 9"):
        method.calibrate(toy_faces(9))
    method.calibrate(toy_faces(12)).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=rf"belongs to the recogniser {method.revision}, this one is \w+; calibrate"):
        create_method("froq", recognizer=toy_recognizer(seed=1), checkpoint=tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no froq_calibration\.json"):
        create_method("froq", recognizer=toy_recognizer(), checkpoint=tmp_path / "elsewhere")
    written = (tmp_path / "froq_calibration.json").read_text()
    (tmp_path / "froq_calibration.json").write_text(written.replace(method.calibration.layers[0], "nowhere", 1))
    with pytest.raises(ValueError, match="MobileFaceNetRecognizer has no layer nowhere; calibrate again"):
        create_method("froq", recognizer=toy_recognizer(), checkpoint=tmp_path)
    (tmp_path / "froq_calibration.json").write_text(written.replace(method.calibration.layers[0], "stem", 1))
    with pytest.raises(ValueError, match="has no layer stem; calibrate again"):  # which has layers inside
        create_method("froq", recognizer=toy_recognizer(), checkpoint=tmp_path)
    (tmp_path / "froq_calibration.json").write_text('{"layers": ["fc"]}')
    with pytest.raises(ValueError, match=r"froq_calibration\.json is not a calibration of FROQ: .*revision"):
        create_method("froq", recognizer=toy_recognizer(), checkpoint=tmp_path)
    with pytest.raises(ValueError, match="a function shows none"):
        create_method("froq", recognizer=lambda x: x.flatten(1))


def test_maps_that_the_next_layer_overwrites_count_as_they_were():
    """ReLU in place, as in many released networks, against out of place."""
    x, networks = toy_faces(12), []
    for inplace in (False, True):
        torch.manual_seed(0)
        layers = [nn.Conv2d(3, 4, 3, 4), nn.ReLU(inplace), nn.Conv2d(4, 8, 3, 4), nn.ReLU(inplace), nn.Flatten()]
        networks.append(nn.Sequential(*layers).eval())
    apart, overwritten = (create_method("froq", recognizer=network) for network in networks)
    norms = [method._norms(x, {"0": method.recognizer[0]}) for method in (apart, overwritten)]
    torch.testing.assert_close(*norms)


def test_the_command_line_says_so_before_it_writes(tmp_path, capsys):
    assert main(["score", str(tmp_path), "--method", "froq", "-o", str(tmp_path / "scores.csv")]) == 1
    assert "FROQ is not calibrated" in capsys.readouterr().err and not [*tmp_path.iterdir()]
    with pytest.raises(ValueError, match="at least 1, found 0 and 32"):
        create_method("froq", recognizer=toy_recognizer()).calibrate(toy_faces(12), max_layers=0)


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"layers": []}', '{"layers": "fc"}', '{"layers": [1]}', '{"layers": ["fc", "fc"]}']
)
def test_damaged_calibrations_are_named(tmp_path, text):
    (tmp_path / "froq_calibration.json").write_text(text)
    with pytest.raises(ValueError, match=r"froq_calibration\.json is not a calibration of FROQ"):
        create_method("froq", checkpoint=tmp_path, recognizer=toy_recognizer())
