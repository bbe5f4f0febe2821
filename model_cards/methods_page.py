"""The page of all quality methods: what each declares, how it was trained here, what batching is worth."""

import json

from difiqa_hf.methods.registry import describe_methods
from tables import RESULTS

COLUMNS = {
    "method": "name",
    "kind": "kind",
    "what it is": "summary",
    "paper": "paper",
    "licence of the code": "code_license",
    "of the weights": "weights_license",
    "parity": "parity",
}
PAGE = """# Quality methods

Rendered by `model_cards/render.py` from what the classes declare; `difiqa methods` prints the same. A higher score is
a better image, always. To add one: a class in a file of its own and a line in `registry.py`; `tests/methods` tests it.

{declared}

[RESULTS.md](../../../model_cards/RESULTS.md) has the figures of all on real benchmarks. Those that need training were
trained once at a small scale, all on the same images, by the commands in [training](../../../training/README.md). All
start from the same backbone, the shipped recogniser (an iResNet of 1.2 M parameters), but FaceQgen and LightQNet, which
are networks of their own; where a recogniser makes the labels, it is mobilefacenet_webface600k, one of the four that
compare in RESULTS.md. Their weights are not shipped; recipes and hashes
([training.json](../../../model_cards/results/training.json); CPU min: of the steps, without what frozen networks say of
the images, 4 minutes once for all):

{trained}

What they cost stands in [SPEED.md](../../../model_cards/SPEED.md).

FaceQAN and GraFIQs score batches; the authors' scripts one image at a time (`make bench-batching`):

{batching}
"""


def methods_page() -> str:
    return PAGE.format(
        declared=table(COLUMNS, ([row[field].rstrip(".") for field in COLUMNS.values()] for row in describe_methods())),
        trained=trained_section(json.loads((RESULTS / "training.json").read_text())["trained"]),
        batching=batching_section(json.loads((RESULTS / "bench-batching.json").read_text())),
    )


def table(head, rows) -> str:
    """Markdown."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows)])


def trained_section(runs: list[dict]) -> str:
    """Recipe, cost and weights of each method that was trained."""
    head = ("method", "images / people", "steps", "batch", "learning rate", "options", "loss", "CPU min", "weights")
    return table(head, map(trained_row, runs))


def trained_row(run: dict) -> tuple[str, ...]:
    recipe, (first, last) = run["recipe"], run["log"]
    batch = f"{recipe['people']} x {recipe['images']}" if recipe["images"] > 1 else f"{recipe['people']}"
    options = ", ".join(f"{key} {value}" for key, value in recipe["options"].items()) or "-"
    rate = f"{'Adam' if recipe['adam'] else 'SGD'} {recipe['lr']:g}"
    return (
        run["method"], f"{run['num_images']:,} / {run['num_people']}", f"{run['steps']:,}", batch, rate, options,
        f"{first['loss']:.3g} to {last['loss']:.3g}", f"{last['cpu_seconds'] / 60:.1f}",
        f"`{run['revisions']['network']}`",
    )  # fmt: skip


def machine(bench: dict) -> str:
    """Where and how it was measured."""
    hardware = bench["hardware"]
    where = f"{hardware['processor']}, threads: {bench['threads']}"
    if "accelerator" in hardware:
        return f"{hardware['accelerator']}, {where}, torch {bench['versions']['torch']}: wall clock."
    return f"{where}, load {hardware['load_average_at_start']:g}, torch {bench['versions']['torch']}: CPU time."


def batching_section(bench: dict) -> str:
    """CPU milliseconds an image, both ways, and whether the scores are the same."""
    lines = [
        "| method | one at a time, ms an image | batched | factor | largest difference of scores |",
        "|---|---|---|---|---|",
    ]
    for row in bench["results"]:
        factor = row["one_at_a_time_ms"] / row["batched_ms"]
        lines.append(
            f"| {row['method']} | {row['one_at_a_time_ms']:g} | {row['batched_ms']:g} | {factor:.2f} | "
            f"{row['largest_difference']:.1e} (largest score {row['largest_score']:.3g}) |"
        )
    first = bench["results"][0]
    where = f"{first['images']} images, batches of {first['batch_size']}, {bench['recognizer']}, {machine(bench)}"
    return "\n".join([*lines, "", where])
