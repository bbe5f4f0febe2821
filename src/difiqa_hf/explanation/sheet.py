"""The explanation on one sheet (extra `plots`)."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from difiqa_hf.explanation.explain import Explanation
from difiqa_hf.plots import COLOURS, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LONG_SIDE = 600  # pixels of the photograph on the sheet

NOTE = "Measurements bear the names of ISO/IEC 29794-5 components, do not conform to it, and are no part of the score."
CAUSES = {
    "noise": "a little noise changes the embedding (blur, few pixels, darkness)",
    "restoration": "the denoiser makes another face of it (degradation, cover)",
    "mirror": "the mirrored face looks like another one (pose, light or cover on one side)",
}


@styled
def draw_sheet(explanation: Explanation) -> "Figure":
    """Photograph, crop, maps, the shortfall of Eq. 7 by cause, and the measurements."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.3, 6.4), layout="constrained")
    figure.suptitle(headline(explanation), fontsize=11)
    pictures, bars, table = figure.subfigures(3, 1, height_ratios=(2.1, 1.1, 2.8))  # each with margins of its own
    found = explanation.restoration
    panels = ["photo"] * (explanation.face is not None) + ["crop", "occlusion"]
    panels += ["restored", "residual"] * (found is not None)
    for name, axes in zip(panels, pictures.subplots(1, len(panels)), strict=True):
        _PANELS[name](explanation, axes)
        axes.set_axis_off()
    if found is not None:
        _draw_shortfall(bars.subplots(), explanation)
    table.supxlabel(NOTE, fontsize=7)
    _draw_table(table.subplots(), explanation)
    return figure


def headline(explanation: Explanation) -> str:
    """The score in words."""
    text = f"{explanation.method} {explanation.quality:.3f}"
    if explanation.percentile is None:
        return text
    return f"{text}: better than {explanation.percentile:.0f} % of the reference images"


def unusual(explanation: Explanation, name: str) -> str:
    """How unusual a part of the shortfall is, in words; "" where that is not known."""
    percentile = explanation.part_percentile(name)
    mark = ", the most unusual" if explanation.shortfall.most_unusual(explanation.card) == name else ""
    return "" if percentile is None else f" (more than in {percentile:.0f} %{mark})"


def words(explanation: Explanation) -> list[str]:
    """The sheet without its pictures, a line for every number."""
    lines, found = [headline(explanation)], explanation.restoration
    if found is not None:
        lines.append(f"DifFIQA {found.quality:.4f} lacks {1 - found.quality:.4f} to 1, by cause:")
        parts = asdict(explanation.shortfall).items()
        lines += [f"  {value:8.4f}{unusual(explanation, name)}  {name}: {CAUSES[name]}" for name, value in parts]
        if explanation.part_percentile("noise") is None:
            lines.append("  which of them is unusual is not known: the card of these weights has no parts")
    lines += [f"{m.name:24} {m.value:9.3g} {m.unit:8} {m.meaning}".rstrip() for m in explanation.measurements]
    return lines


def _draw_photo(explanation: Explanation, axes: "Axes") -> None:
    from matplotlib.patches import Rectangle

    scale = min(1, LONG_SIDE / max(explanation.image.size))
    size = [max(1, round(side * scale)) for side in explanation.image.size]
    axes.imshow(explanation.image.resize(size, Image.Resampling.BILINEAR))
    left, top, width, height = (scale * value for value in explanation.face.box)
    axes.add_patch(Rectangle((left, top), width, height, fill=False, edgecolor=COLOURS[4], linewidth=1.2))
    axes.plot(*(scale * explanation.face.points).T, ".", color=COLOURS[4], markersize=3)
    axes.set_title("photograph")


def _draw_crop(explanation: Explanation, axes: "Axes") -> None:
    axes.imshow(explanation.crop)
    axes.set_title("aligned face")


def _draw_restored(explanation: Explanation, axes: "Axes") -> None:
    restored = (explanation.restoration.restored + 1) / 2
    axes.imshow(restored.clamp(0, 1).permute(1, 2, 0).numpy())
    axes.set_title("restored by DifFIQA")


def _draw_residual(explanation: Explanation, axes: "Axes") -> None:
    image = axes.imshow(100 * explanation.restoration.residual, cmap="magma", vmin=0)
    axes.figure.colorbar(image, ax=axes, shrink=0.8, label="% of the range")
    axes.set_title("change by restoring")


def _draw_occlusion(explanation: Explanation, axes: "Axes") -> None:
    limit = max(1e-6, np.abs(explanation.occlusion).max())
    axes.imshow(explanation.crop.convert("L"), cmap="gray")
    image = axes.imshow(explanation.occlusion, cmap="RdBu_r", vmin=-limit, vmax=limit, alpha=0.65)
    axes.figure.colorbar(image, ax=axes, shrink=0.8, label="fall of the score")
    axes.set_title("if this were covered")


_PANELS = {
    "photo": _draw_photo,
    "crop": _draw_crop,
    "occlusion": _draw_occlusion,
    "restored": _draw_restored,
    "residual": _draw_residual,
}


def _draw_shortfall(axes: "Axes", explanation: Explanation) -> None:
    parts = asdict(explanation.shortfall)
    places = range(len(parts))[::-1]
    axes.barh(places, parts.values(), color=COLOURS[: len(parts)], height=0.7)
    axes.set_yticks(places, [f"{name}: {CAUSES[name]}" for name in parts])
    for place, (name, value) in zip(places, parts.items(), strict=True):
        axes.annotate(f" {value:.4f}{unusual(explanation, name)}", (max(value, 0), place), va="center")
    axes.margins(x=0.9)  # the longest label fits behind the longest bar
    axes.locator_params(axis="x", nbins=5)
    axes.axvline(0, color="#000000", linewidth=0.6)
    axes.set_title(f"what DifFIQA's score {explanation.restoration.quality:.3f} lacks to 1, by cause")


def _draw_table(axes: "Axes", explanation: Explanation) -> None:
    axes.set_axis_off()
    rows = [[m.name, f"{m.value:.3g} {m.unit}".rstrip(), m.meaning] for m in explanation.measurements]
    table = axes.table(rows, cellLoc="left", colWidths=(0.2, 0.14, 0.66), loc="center", edges="horizontal")
    table.auto_set_font_size(False)
    table.set_fontsize(7)
    table.scale(1, 0.85)
    for cell in table.get_celld().values():
        cell.set_linewidth(0.3)
