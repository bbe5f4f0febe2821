"""The page: one HTML file, pictures inside, no script, nothing loaded from elsewhere."""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined
from PIL import Image

from difiqa_hf.metrics import ThresholdCard
from difiqa_hf.pictures import data_uri
from difiqa_hf.report.summary import SHOWN, Entry, Summary
from difiqa_hf.scoring.rows import path_text

STATUSES = {
    "ok": "one face, scored",
    "several_faces": "more than one face, each scored",
    "no_face": "no face was found",
    "too_small": "the face or the image is too small to use",
    "unreadable": "not an image, broken, too large or not allowed to be read",
}
DISCARDS = (0, 0.01, 0.05, 0.1, 0.2, 0.3)
BARS = 20


def render_report(
    summary: Summary,
    title: str,
    pictures: Mapping[tuple[Path, int], Image.Image] | None = None,
    card: ThresholdCard | None = None,
) -> str:
    """The whole page.

    Args:
        summary: of `summarise`.
        title: what was scored.
        pictures: (path, face) -> picture, of the ends of the ranking; what is missing is shown without one.
        card: of the method, for what a threshold does to a recogniser.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["path"] = path_text
    template = environment.from_string(files("difiqa_hf.report").joinpath("page.html.jinja").read_text("utf-8"))
    shown = {"best": summary.best[:SHOWN], "worst": summary.worst[:SHOWN]}
    pictures = {key: data_uri(picture, "JPEG", quality=85) for key, picture in (pictures or {}).items()}
    return template.render(
        title=title,
        summary=summary,
        statuses=STATUSES,
        count=sum(summary.files.values()),
        scored=len(summary.qualities),
        shown=shown,
        pictures=pictures,
        bars=_bars(summary),
        discards=_discards(summary, card),
        card=card,
        errors=card.errors[0] if card is not None and card.errors else None,
    )


def _bars(summary: Summary) -> list[dict[str, Any]]:
    """The histogram, over the percentile where there is one: begin, end, count, height in [0, 1]."""
    by_percentile = summary.percentiles is not None
    values = summary.percentiles if by_percentile else summary.qualities
    if not len(values):
        return []
    counts, edges = np.histogram(values, BARS, (0, 100) if by_percentile else None)
    return [
        {"begin": f"{a:.3g}", "end": f"{b:.3g}", "count": int(n), "height": n / counts.max()}
        for a, b, n in zip(edges[:-1], edges[1:], counts, strict=True)
    ]


def _discards(summary: Summary, card: ThresholdCard | None) -> list[dict[str, Any]]:
    """For shares of these faces: the threshold that discards them, and what the card says of it."""
    if not len(summary.qualities):
        return []
    ordered, rows = np.sort(summary.qualities), []
    for share in DISCARDS:
        score = float(ordered[int(share * len(ordered))])
        row = {"share": 100 * share, "faces": int(np.searchsorted(ordered, score)), "score": score}
        row |= {"percentile": None if card is None else card.percentile(score), "fnmr": None}
        if card is not None and card.errors:
            errors, point = card.errors[0], card.point(score)
            row["fnmr"] = errors.percent_at(point)
        rows.append(row)
    return rows


def wanted(summary: Summary) -> list[Entry]:
    """The entries whose pictures the page shows."""
    return [*summary.best[:SHOWN], *summary.worst[:SHOWN]]
