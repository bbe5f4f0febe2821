"""The ranking as one HTML file: pictures inside, no script, nothing loaded from elsewhere."""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from string import Template

from difiqa_hf.demo.ranking import check_expectations, rank
from difiqa_hf.demo.versions import Version
from difiqa_hf.pictures import data_uri

_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Face image quality: one portrait, $count versions</title>
<style>
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.5rem; line-height: 1.2; }
h2 { font-size: 1.1rem; margin-top: 2rem; }
.grid { display: flex; flex-wrap: wrap; gap: 1.2rem 1rem; padding: 0; list-style: none; }
.grid li { width: 10rem; }
figure { margin: 0; }
img { width: 100%; display: block; border-radius: 4px; }
.original img { outline: 3px solid #2a7de1; }
figcaption { font-size: .85rem; line-height: 1.35; margin-top: .3rem; }
figcaption b { display: block; }
.score { display: flex; justify-content: space-between; font-variant-numeric: tabular-nums; }
footer { font-size: .85rem; opacity: .8; margin-top: 2rem; }
</style>
</head>
<body>
<h1>One portrait, $count versions, ranked by face image quality</h1>
<p>Best first, by <b>$first</b>. A quality says how well a face recogniser can use the image, not how pleasing it is.
The numbers of two methods have different scales; what counts is the order, and where there is a percentage, the
share of the method's reference photographs that score lower.</p>
<ol class="grid">
$cards
</ol>
<h2>What should hold, and where it does not</h2>
$expectations
<footer>Photograph: Eileen Collins, NASA, public domain, from scikit-image.
Made by <code>difiqa demo</code>; $note.</footer>
</body>
</html>
""")


def render_sheet(
    versions: Sequence[Version],
    qualities: Mapping[str, Sequence[float]],
    note: str = "",
    percentiles: Mapping[str, Callable[[float], float | None]] | None = None,
) -> str:
    """The whole page.

    Args:
        versions: the original first.
        qualities: one list per method, in the order of `versions`; the first method ranks.
        note: for the foot of the page: revisions, say.
        percentiles: by method: of a score, as `QualityMethod.percentile`; shown behind it where there is one.
    """
    first = next(iter(qualities))
    order = rank(qualities[first])
    places = percentiles or {}
    texts = {name: [_score(x, places.get(name)) for x in values] for name, values in qualities.items()}
    cards = [
        _card(place, versions[i], {name: column[i] for name, column in texts.items()})
        for place, i in enumerate(order, 1)
    ]
    lists = [_expectations(name, check_expectations(versions, values)) for name, values in qualities.items()]
    parts = {"first": escape(first), "cards": "\n".join(cards), "expectations": "\n".join(lists), "note": escape(note)}
    return _PAGE.substitute(parts, count=len(versions))


def _score(quality: float, percentile: Callable[[float], float | None] | None) -> str:
    place = None if percentile is None else percentile(quality)
    return f"{quality:.3f}" if place is None else f"{quality:.3f} · {place:.0f} %"


def _card(place: int, version: Version, scores: Mapping[str, str]) -> str:
    scores = "".join(
        f'<span class="score"><span>{escape(name)}</span><span>{score}</span></span>' for name, score in scores.items()
    )
    name = escape(version.name)
    return (
        f'<li class="{"original" if version.step == 0 else "degraded"}"><figure>'
        f'<img src="{data_uri(version.image)}" width="{version.image.width}" alt="{name}">'
        f"<figcaption><b>{place}. {name}</b>{scores}</figcaption></figure></li>"
    )


def _expectations(method: str, expectations: Sequence) -> str:
    paragraphs = []
    for expectation in expectations:
        exceptions = "".join(f"<li>{escape(exception)}</li>" for exception in expectation.exceptions)
        paragraphs.append(f"<p>{escape(str(expectation))}</p>" + (f"<ul>{exceptions}</ul>" if exceptions else ""))
    return f"<h3>{escape(method)}</h3>" + "".join(paragraphs)
