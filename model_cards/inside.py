"""What the recogniser inside a method is worth, from the same files as every other table; nothing is typed."""

from statistics import mean

from methods_page import table
from tables import costs, label

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
"""


def inside(rows: list[dict]) -> str:
    """Markdown: a line per method, a column per recogniser inside."""
    found: dict[tuple[str, str, str], list[float]] = {}
    for row in rows:
        if row["method"] in METHODS:
            found.setdefault((row["method"], asked_inside(row), row["benchmark"]), []).append(row["pauc"]["0.3"])
    asked = list(dict.fromkeys([SHIPPED, *(recognizer for _, recognizer, _ in found)]))
    cells = {key: f"{mean(values):.3f}" for key, values in found.items()}
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
    )


def asked_inside(row: dict) -> str:
    """The recogniser that a method asks, by its label."""
    _, _, asked = label(row).partition(", ")
    return asked.removesuffix(" inside") if asked.endswith(" inside") else SHIPPED
