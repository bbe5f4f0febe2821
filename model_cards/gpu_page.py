"""What SPEED.md says of a GPU, from `results/bench-*-gpu.json`; nothing is typed."""

from collections.abc import Sequence

from methods_page import table
from procedures import cost, procedures_section

GPU = """A batch of {batch} aligned faces in memory, {accelerator}, by the wall clock, in float32. The last columns: how
far the scores of eight faces are from the CPU's, in float32 and in TF32, which PyTorch takes for convolutions unless
`torch.backends.cudnn.allow_tf32 = False`, and how far these scores spread. {note}

{methods}

DifFIQA by procedure, {images} images, in batches of 256 copies where nothing else is said ("as released" of 60);
differences to the scores in float32 on the CPU. {difiqa_note}

{procedures}

The noise of every copy comes from a generator of its own on the CPU, so that scores are the same on any device: with
one thread it would cost more than the network there, so all idle cores draw (16 here). A call of the denoiser takes
{call} ms a copy in float32, {share} of the speed of large matrix products, and {half} ms in bfloat16: 100 calls are
{floor:.1f} and {half_floor:.1f} ms.{whole}"""


def gpu_section(methods: dict, difiqa: dict) -> str:
    """Every method and DifFIQA's procedures on a GPU."""
    head = ("method", "ms an image", "images a second", "share of peak", "float32", "TF32", "spread")
    rows = []
    for row in sorted(methods["results"], key=lambda row: row["ms"]):
        differences = row["largest_difference_from_cpu"]
        shown = (f"{value:.1g}" for value in (differences["float32"], differences["tf32"], row["cpu_spread"]))
        rows.append((*cost(row), f"{100 * row['share_of_matrix_product']:.0f} %", *shown))
    single, half = (
        next(row for row in difiqa["denoiser"] if (row["side"], row["precision"]) == (112, precision))
        for precision in ("float32", "bfloat16")
    )
    return GPU.format(
        batch=methods["batch_size"],
        accelerator=methods["hardware"]["accelerator"],
        note=sentence(methods.get("note", "")),
        difiqa_note=sentence(difiqa.get("note", "")),
        methods=table(head, rows),
        images=difiqa["cases"]["paper"]["images"],
        procedures=procedures_section(difiqa),
        call=f"{single['ms']:.3f}",
        share=f"{100 * single['share_of_matrix_product']:.0f} %",
        half=f"{half['ms']:.3f}",
        floor=100 * single["ms"],
        half_floor=100 * half["ms"],
        whole=whole_benchmarks(difiqa.get("against_cpu", ())),
    )


def sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def whole_benchmarks(rows: Sequence[dict]) -> str:
    """How far a GPU's scores of whole benchmarks were from those on file; nothing, where that was not compared."""
    if not rows:
        return ""
    found = ", ".join(
        f"{row['images']:,} images of {row['benchmark']} differ by {row['largest_difference']:.1g} at most, scores "
        f"spread by {row['spread']:.3f}"
        for row in rows
    )
    return f" On whole benchmarks, preset fast in float32 there against the scores on file, from a CPU: {found}."
