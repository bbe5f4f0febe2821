"""What the recogniser inside a method is worth, from the same files as every other table; nothing is typed."""

from statistics import mean

from methods_page import table
from tables import BENCHMARKS, costs, label, short_title

METHODS = ("norm", "mirror", "difiqa", "faceqan", "ser-fiq", "grafiqs", "prefiqs", "froq")
SHIPPED = "the shipped one"
INSIDE = """## Another recogniser inside

Methods that ask a recogniser and learn nothing, by the one they ask ([inside.json](experiments/inside.json)). LFW /
CFP-FP, pAUC(.3), the mean over the recognisers that compare; the tables by benchmark have intervals, and milliseconds,
which were measured on another day (`bench-inside.json`, `bench-inside-faceqan.json`) than those of the other methods.

{table}

DifFIQA is preset `fast` here, with the shipped one inside one repeat of the whole procedure; it and the mirror cosine
were run on all four benchmarks ([inside-difiqa.json](experiments/inside-difiqa.json)), DifFIQA's scores mostly computed
on an H200, where they differ from a CPU's by less than 1e-6. GraFIQs needs BatchNorm: edgeface_xs has none, and that of
mobilefacenet_webface600k is folded but for the last one (`batch_norm="1d"`). FaceQAN, which costs {least} to {most} s
an image with these inside, was run with them on CFP-FP ([inside-faceqan.json](experiments/inside-faceqan.json)) and
with the cheapest on LFW ([inside-faceqan-lfw.json](experiments/inside-faceqan-lfw.json)).

### Same model and cross model

As the paper splits its experiments: the recogniser inside compares too, or another one does. Same / cross, the mean
over those of the four that stand inside and over the ordered pairs of them (GraFIQs: three).

{split}

In {fewer} of these {cells} the same one has fewer errors.
"""


def inside(rows: list[dict]) -> str:
    """Markdown: a line per method, a column per recogniser inside."""
    found: dict[tuple[str, str, str], list[float]] = {}
    for row in rows:
        if row["method"] in METHODS:
            found.setdefault((row["method"], asked_inside(row), row["benchmark"]), []).append(row["pauc"]["0.3"])
    asked = list(dict.fromkeys([SHIPPED, *(recognizer for _, recognizer, _ in found)]))
    cells = {key: f"{mean(values):.3f}" for key, values in found.items()}
    both = parts(rows).values()
    seconds = [ms / 1000 for method, ms in costs().items() if method.startswith("faceqan, ")]
    return INSIDE.format(
        least=f"{min(seconds):.1f}",
        most=f"{max(seconds):.1f}",
        table=table(
            ("inside", *asked),
            (
                (method, *(" / ".join(cells.get((method, name, b), "-") for b in ("lfw", "cfp-fp")) for name in asked))
                for method in METHODS
            ),
        ),
        split=same_and_cross(rows),
        fewer=sum(same < cross for same, cross in both),
        cells=len(both),
    )


def same_and_cross(rows: list[dict]) -> str:
    """Markdown: a line per method; by benchmark the mean pAUC(.3) where its recogniser compares, and where not."""
    found, lines = parts(rows), []
    for method in METHODS:
        own = [found.get((method, benchmark)) for benchmark in BENCHMARKS]
        lines.append((method, *(f"{cell[0]:.3f} / {cell[1]:.3f}" if cell else "-" for cell in own)))
    return table(("method", *map(short_title, BENCHMARKS)), lines)


def parts(rows: list[dict]) -> dict[tuple[str, str], tuple[float, float]]:
    """(method, benchmark) -> mean pAUC(.3) of the same model and across models, of recognisers that were asked."""
    found: dict[tuple[str, str], dict[tuple[str, str], float]] = {}
    for row in rows:
        if row["method"] in METHODS and asked_inside(row) != SHIPPED:
            pairs = found.setdefault((row["method"], row["benchmark"]), {})
            pairs[asked_inside(row), row["recognizer"]] = row["pauc"]["0.3"]
    result = {}
    for key, pairs in found.items():
        asked = {own for own, _ in pairs}  # who compares but was never asked has no part of the first kind
        same = [value for (own, judge), value in pairs.items() if own == judge]
        cross = [value for (own, judge), value in pairs.items() if own != judge and judge in asked]
        if cross:
            result[key] = mean(same), mean(cross)
    return result


def asked_inside(row: dict) -> str:
    """The recogniser that a method asks, by its label."""
    _, _, asked = label(row).partition(", ")
    return asked.removesuffix(" inside") if asked.endswith(" inside") else SHIPPED


def spread(rows: list[dict], benchmark: str) -> tuple[float, float]:
    """How far the errors lie apart when another recogniser compares than stands inside, of methods that had every one.

    Returns:
        The largest less the smallest: between the recognisers inside, the mean over the methods; between the methods,
        the mean over the recognisers inside.
    """
    errors: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        asked = asked_inside(row)
        if row["method"] in METHODS and row["benchmark"] == benchmark and asked not in (SHIPPED, row["recognizer"]):
            errors.setdefault((row["method"], asked), []).append(row["pauc"]["0.3"])
    recognizers = dict.fromkeys(asked for _, asked in errors)
    methods = [m for m in METHODS if all((m, asked) in errors for asked in recognizers)]
    found = [[mean(errors[method, asked]) for asked in recognizers] for method in methods]
    return tuple(mean(max(line) - min(line) for line in lines) for lines in (found, zip(*found, strict=True)))
