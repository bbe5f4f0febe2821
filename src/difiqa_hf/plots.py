"""Figures of an evaluation (extra `plots`): curves with bands, distributions, ranked strips, quality and similarity.

Made for a column of a paper, 3.5 inches wide; colours of Okabe and Ito, which colour-blind readers can tell apart, and
line styles that nobody needs colours for. Nothing is drawn on a screen, and no global state of matplotlib is touched.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from difiqa_hf.metrics import Band, ErrorDiscardResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 3.5  # inches: a column of a two-column paper
ROW = 0.14  # inches: of a legend
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe and Ito, without yellow
STYLES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))
STYLE = {
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.3,
    "legend.frameon": False,
    "legend.fontsize": 7,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "difiqa_hf",  # the same figure is the same file
}


def styled(draw: Callable[..., "Figure"]) -> Callable[..., "Figure"]:
    """Draw with `STYLE` and leave matplotlib as it was."""

    @wraps(draw)
    def styled(*args: Any, **kwargs: Any) -> "Figure":
        try:
            import matplotlib
        except ImportError as error:
            raise ImportError("plots need matplotlib: pip install 'difiqa-hf[plots]'") from error
        with matplotlib.rc_context(STYLE):
            return draw(*args, **kwargs)

    return styled


@styled
def plot_edc(
    results: Mapping[str, ErrorDiscardResult], bands: Mapping[str, Band] | None = None, *, limit: float = 0.95
) -> "Figure":
    """FNMR against the fraction discarded, a staircase per method, as in Figure 4.

    Args:
        results: name -> curve; all of one protocol.
        bands: name -> band, for some or all of them.
        limit: largest discard fraction shown.

    Raises:
        ValueError: for curves of different protocols or target rates.
    """
    protocol, fmr = _one_protocol(results.values())
    figure, axes = _axes()
    _draw_edc(axes, results, bands or {}, limit)
    axes.set(xlabel=f"discarded (%), protocol {protocol}", ylabel=f"FNMR (%) at FMR {fmr:g}")
    _legend(figure, len(results))
    return figure


@styled
def plot_edc_grid(
    panels: Mapping[tuple[str, str], Mapping[str, ErrorDiscardResult]], *, limit: float = 0.95
) -> "Figure":
    """All of Figure 4: a panel for each benchmark (row) and recogniser (column), a method has one look in all of them.

    Args:
        panels: (benchmark, recogniser) -> name -> curve; a pair without curves leaves its panel empty.
        limit: largest discard fraction shown.

    Raises:
        ValueError: for curves of different protocols or target rates in one row, a row without curves, or no panels.
    """
    if not panels:
        raise ValueError("no panels to draw: found no (benchmark, recogniser) with curves")
    rows, columns = (list(dict.fromkeys(names)) for names in zip(*panels, strict=True))
    methods = dict.fromkeys(name for results in panels.values() for name in results)
    order = {name: i for i, name in enumerate(methods)}
    figure, all_axes = _axes(len(rows), len(columns), width=2 * WIDTH, height=1.7 * len(rows) + 0.5)
    for axes_row, row in zip(np.reshape(all_axes, (len(rows), -1)), rows, strict=True):
        protocol, fmr = _one_protocol(
            r for (name, _), results in panels.items() if name == row for r in results.values()
        )
        for axes, column in zip(axes_row, columns, strict=True):
            if row == rows[0]:
                axes.set_title(column, fontsize=7)
            results = panels.get((row, column), {})
            if not results:
                axes.set_axis_off()
                continue
            _draw_edc(axes, results, {}, limit, order, linewidth=0.9)
            if column == columns[0]:
                axes.set_ylabel(f"{row}\nFNMR (%) at FMR {fmr:g}", fontsize=7)
            if row == rows[-1]:
                axes.set_xlabel(f"discarded (%), protocol {protocol}", fontsize=7)
            axes.tick_params(labelsize=6)
    lines = {line.get_label(): line for axes in np.ravel(all_axes) for line in axes.lines}
    _legend(figure, len(methods), [lines[name] for name in methods])
    return figure


def _one_protocol(results: Iterable[ErrorDiscardResult]) -> tuple[str, float]:
    protocols = {(result.protocol, result.fmr) for result in results}
    if not protocols:
        raise ValueError("no curves to draw")
    if len(protocols) != 1:
        raise ValueError(f"curves of different protocols do not belong in one figure: {sorted(protocols)}")
    ((protocol, fmr),) = protocols
    return protocol, fmr


def _draw_edc(axes, results, bands, limit: float, order: Mapping[str, int] | None = None, **line: float) -> None:
    """Staircases and bands; `order` gives a method the same look in several axes."""
    from matplotlib.colors import to_rgb

    for i, (name, result) in enumerate(results.items()):
        look = _look(order[name] if order else i)
        shown = result.discard < limit
        discard, fnmr = np.append(result.discard[shown], limit), result.fnmr[shown]  # the last step ends at the limit
        axes.step(100 * discard, 100 * np.append(fnmr, fnmr[-1]), where="post", label=name, **look, **line)
        band = bands.get(name)
        if band is not None:
            inside = band.discard < limit
            ends = (100 * np.append(end[inside], end[inside][-1]) for end in (band.low, band.high))
            place = 100 * np.append(band.discard[inside], limit)
            face, edge = (*to_rgb(look["color"]), 0.3 / (1 + len(bands))), (*to_rgb(look["color"]), 0.5)
            axes.fill_between(place, *ends, step="post", facecolor=face, edgecolor=edge, linewidth=0.4)
    axes.set_xlim(0, 100 * limit)
    axes.set_ylim(bottom=0)


@styled
def plot_distributions(qualities: Mapping[str, np.ndarray], *, bins: int = 50) -> "Figure":
    """Distribution of the scores of every benchmark or method, as in Figure 5.

    Args:
        qualities: name -> (N,) scores on one scale.
        bins: of the histograms, over the range of all scores.
    """
    every = np.concatenate([np.asarray(values, dtype=float) for values in qualities.values()])
    edges = np.histogram_bin_edges(every, bins)
    figure, axes = _axes()
    for i, (name, values) in enumerate(qualities.items()):
        look = _look(i)
        density, _ = np.histogram(values, edges, density=True)
        axes.stairs(density, edges, label=name, linewidth=1.3, **look)
        axes.stairs(density, edges, fill=True, alpha=0.12, color=look["color"])
    axes.set(xlabel="quality", ylabel="density", xlim=(edges[0], edges[-1]))
    axes.set_ylim(bottom=0)
    _legend(figure, len(qualities))
    return figure


@styled
def plot_strip(
    images: Sequence[Any], quality: np.ndarray, *, count: int = 10, below: np.ndarray | None = None
) -> "Figure":
    """Images from the lowest to the highest quality, evenly spread over the ranks, as in Figure 6.

    Args:
        images: PIL images or arrays (height, width, 3); only show people who agreed to it.
        quality: (N,) their scores, higher = better.
        count: images shown.
        below: (N,) scores by another method, written under the images; they do not change the order.
    """
    order = np.argsort(quality, kind="stable")
    chosen = order[np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)]
    height = 2 * WIDTH / len(chosen) + (0.45 if below is None else 0.6)
    figure, all_axes = _axes(1, len(chosen), height=height, width=2 * WIDTH)
    for axes, index in zip(np.atleast_1d(all_axes), chosen, strict=True):
        axes.imshow(np.asarray(images[index]))
        axes.set_title(f"{quality[index]:.3g}", fontsize=8)
        axes.set_axis_off()
        if below is not None:
            axes.text(0.5, -0.06, f"{below[index]:.3g}", transform=axes.transAxes, fontsize=8, ha="center", va="top")
    figure.suptitle("lower quality  →  higher quality", fontsize=8, y=0.02, va="bottom")
    return figure


@styled
def plot_quality_similarity(
    similarity: np.ndarray, genuine: np.ndarray, quality: np.ndarray, *, threshold: float | None = None
) -> "Figure":
    """Does a low quality go with a low similarity? Medians and central 90 % of both kinds over the quality.

    Args:
        similarity: (N,) scores of the comparisons.
        genuine: (N,) true where both sides show the same person.
        quality: (N,) of the worse sides.
        threshold: of the comparison, drawn as a line.
    """
    genuine = np.asarray(genuine, dtype=bool)
    figure, axes = _axes()
    for i, (name, kind) in enumerate((("genuine", genuine), ("impostor", ~genuine))):
        order = np.argsort(np.asarray(quality)[kind], kind="stable")
        parts = np.array_split(order, min(20, len(order)))
        place = [np.median(np.asarray(quality)[kind][part]) for part in parts]
        low, middle, high = np.array(
            [np.quantile(np.asarray(similarity)[kind][part], [0.05, 0.5, 0.95]) for part in parts]
        ).T
        axes.fill_between(place, low, high, color=COLOURS[i], alpha=0.2, linewidth=0)
        axes.plot(place, middle, color=COLOURS[i], linestyle=STYLES[i], marker="os"[i], markersize=3, label=name)
    if threshold is not None:
        axes.axhline(threshold, color="#000000", linewidth=0.7, linestyle=":", label="threshold")
    axes.set(xlabel="quality of the comparison", ylabel="similarity")
    _legend(figure, 3)
    return figure


@styled
def save(figure: "Figure", path: str | Path) -> None:
    """Write a .png (300 dots per inch) or .svg; the same figure gives the same file.

    Raises:
        ValueError: for another kind of file.
    """
    kind = Path(path).suffix
    if kind not in (".png", ".svg"):
        raise ValueError(f"figures are written as .png or .svg, found {str(path)!r}")
    figure.savefig(path, dpi=300, metadata={"Date": None} if kind == ".svg" else {"Software": None})


def _axes(rows: int = 1, columns: int = 1, *, width: float = WIDTH, height: float = 2.6):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns)


def _look(index: int) -> dict[str, Any]:
    """Colour and line style; no two of the first 49 are alike, no two neighbours share either."""
    return {"color": COLOURS[index % len(COLOURS)], "linestyle": STYLES[(index + index // len(COLOURS)) % len(STYLES)]}


def _legend(figure: "Figure", count: int, lines: list | None = None) -> None:
    """Above the axes, where it hides nothing, in as many columns as fit; from three rows on the figure grows."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    renderer = FigureCanvasAgg(figure).get_renderer()
    for columns in range(min(count, 4), 0, -1):
        legend = figure.legend(
            handles=lines, loc="outside upper center", ncols=columns, handlelength=2.4, columnspacing=1
        )
        if columns == 1 or legend.get_window_extent(renderer).width <= figure.bbox.width:
            break
        legend.remove()
    figure.set_figheight(figure.get_figheight() + ROW * max(0, -(-count // columns) - 2))
