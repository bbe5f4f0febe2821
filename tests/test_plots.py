"""The figures: what is drawn is what was computed, and files come out the same."""

import numpy as np
import pytest

from difiqa_hf.metrics import bootstrap_band, error_discard

pytest.importorskip("matplotlib")

from difiqa_hf.plots import (
    plot_distributions,
    plot_edc,
    plot_edc_grid,
    plot_quality_similarity,
    plot_strip,
    save,
)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    genuine, quality = np.arange(2000) % 2 == 0, rng.normal(size=2000)
    return rng.normal(size=2000) / 4 + genuine * (0.8 + quality / 5), genuine, quality


@pytest.mark.parametrize("protocol", ["paper", "edc"])
def test_curves_are_the_staircases_of_the_results(data, protocol):
    result = error_discard(*data, fmr=0.01, protocol=protocol)
    band = bootstrap_band(*data, fmr=0.01, protocol=protocol, num_resamples=10)
    (axes,) = plot_edc({"ours": result}, {"ours": band}).axes
    (line,) = axes.lines
    shown = result.discard < 0.95
    np.testing.assert_allclose(line.get_xdata()[:-1], 100 * result.discard[shown])
    np.testing.assert_allclose(line.get_ydata()[:-1], 100 * result.fnmr[shown])
    assert line.get_xdata()[-1] == 95 and line.get_ydata()[-1] == line.get_ydata()[-2]
    assert line.get_drawstyle() == "steps-post" and len(axes.collections) == 1
    assert axes.get_ylabel() == "FNMR (%) at FMR 0.01" and axes.get_xlabel() == f"discarded (%), protocol {protocol}"


def test_bands_hold_the_curve(data):
    result = error_discard(*data, fmr=0.01)
    band = bootstrap_band(*data, fmr=0.01, num_resamples=40)
    inside = [low <= result.fnmr_at(d) <= high for d, low, high in zip(band.discard, band.low, band.high, strict=True)]
    assert np.mean(inside[:50]) > 0.9 and band.discard[-1] == 0.94


def test_methods_can_be_told_apart_without_colours(data):
    results = {f"{name} with a recogniser": error_discard(*data, fmr=0.01) for name in "abcdefghijklmn"}
    figure = plot_edc(results)
    dashes = [(line.get_linestyle(), str(line._dash_pattern)) for line in figure.axes[0].lines]
    colours = [line.get_color() for line in figure.axes[0].lines]
    assert len(set(dashes[:7])) == len(set(colours[:7])) == 7 and len(set(zip(dashes, colours, strict=True))) == 14
    figure.draw_without_rendering()
    (legend,) = figure.legends
    assert figure.bbox.x0 <= legend.get_window_extent().x0 and legend.get_window_extent().x1 <= figure.bbox.x1
    assert figure.axes[0].get_window_extent().height > figure.dpi  # an inch is left for the curves


def test_protocols_are_not_mixed(data):
    with pytest.raises(ValueError, match="different protocols"):
        plot_edc({"a": error_discard(*data, fmr=0.01), "b": error_discard(*data, fmr=0.01, protocol="edc")})


def test_a_grid_gives_a_method_one_look_and_one_line_of_the_legend(data):
    one, other = (error_discard(*data, fmr=rate) for rate in (0.01, 0.1))
    panels = {("lfw", "a"): {"x": one, "y": one}, ("lfw", "b"): {"y": one}, ("cfp-fp", "b"): {"z": other}}
    figure = plot_edc_grid(panels)
    first, second, empty, last = figure.axes
    assert [line.get_label() for axes in (first, second, last) for line in axes.lines] == ["x", "y", "y", "z"]
    assert first.lines[1].get_color() == second.lines[0].get_color() != first.lines[0].get_color()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["x", "y", "z"]
    assert not empty.axison and not empty.lines
    assert first.get_ylabel() == "lfw\nFNMR (%) at FMR 0.01" and (first.get_title(), second.get_title()) == ("a", "b")
    with pytest.raises(ValueError, match="different protocols"):
        plot_edc_grid({("lfw", "a"): {"x": one}, ("lfw", "b"): {"x": other}})
    with pytest.raises(ValueError, match="no panels"):
        plot_edc_grid({})
    with pytest.raises(ValueError, match="no curves"):
        plot_edc_grid({("lfw", "a"): {"x": one}, ("cfp-fp", "a"): {}})


def test_distributions_have_unit_area(data):
    (axes,) = plot_distributions({"a": data[2], "b": data[2] + 1}).axes
    for patch in axes.patches:
        assert np.sum(patch.get_data().values * np.diff(patch.get_data().edges)) == pytest.approx(1)


def test_strips_go_from_low_to_high():
    quality = np.array([3.0, 1.0, 2.0, 5.0, 4.0])
    images = [np.full((8, 8, 3), int(10 * q), np.uint8) for q in quality]
    axes = plot_strip(images, quality, count=3, below=-quality).axes
    assert [int(a.images[0].get_array()[0, 0, 0]) for a in axes] == [10, 30, 50]
    assert [a.get_title() for a in axes] == ["1", "3", "5"]
    assert [a.texts[0].get_text() for a in axes] == ["-1", "-3", "-5"]


def test_quality_and_similarity(data):
    figure = plot_quality_similarity(*data, threshold=0.6)
    (axes,) = figure.axes
    genuine = axes.lines[0]
    assert np.corrcoef(genuine.get_xdata(), genuine.get_ydata())[0, 1] > 0.9
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["genuine", "impostor", "threshold"]


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_the_same_figure_is_the_same_file(tmp_path, data, kind):
    result = error_discard(*data, fmr=0.01)
    for name in ("a", "b"):
        save(plot_edc({"ours": result}), tmp_path / f"{name}.{kind}")
    assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()
    with pytest.raises(ValueError, match=r"\.png or \.svg"):
        save(plot_edc({"ours": result}), tmp_path / "a.pdf")
