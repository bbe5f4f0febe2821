"""What everything costs, from the benchmarks in `results/`; nothing is typed."""

import json

from gpu_page import gpu_section
from methods_page import machine, table
from procedures import cost, curves_section, procedures_section
from tables import RESULTS, change, label

PAGE = """# Speed

Rendered by `model_cards/render.py` from `results/bench-*.json` and `results/presets.json`; `make bench`, `make
bench-presets` and, with a GPU, `make bench-gpu` measure it again. Times are CPU milliseconds on one thread unless a
column says otherwise: compare lines, not machines (presets were measured on another one than the rest).

## Every method (Table 3 of the paper)

{methods}

## DifFIQA by procedure

"As released" is the authors' procedure with our network: six calls of the denoiser a copy, one of them redundant, every
embedding anew for every repeat, a fifth term. "Released, by this package" is `variant="released"`, the same scores
without the redundant work. "paper" is the paper's procedure, the default, in channels-last order and batches of 8
copies; the lines below it say what they change of it, the presets what stands under Presets. The difference of scores,
of the first four faces, is to "as released" in the second line and to "paper" in float32 in the others; approximations
have none.

{procedures}

{limits}

## Presets

{presets}

{presets_pauc}

## On a GPU

{gpu}

## How the cost of DifFIQA grows

{growth}

## Where the time goes

{profile}

## From a folder to a file

{folder}

Before the network, for a photograph with one face (`--detect`), by its size:

{detection}

## Exported to ONNX

{exported}

## Error-versus-discard curves

{edc}

## Degradation in training

{degradation}

## Planning

{planning}
"""
JOBS = (1_000_000, 100_000_000, 1_000_000_000)
CORES = 64
PLAN = f"""Time on {CORES} cores, each with a process (`accelerate launch --module difiqa_hf score`, or `BatchScorer` on
Ray): one core's time divided by {CORES}, if storage and memory keep up and cores are like this one."""
ADVICE = """A row of CSV takes some 90 bytes: a billion images make a file of 90 GB. Write Parquet, and a file for each
part of the set. Memory does not grow with the images, but for the list of their names, some 300 bytes each in every
process: give each run ten million files at most, or a list of zips."""
BY = {"timestep": "t (one repeat)", "num_repeats": "n", "images": "images in a call (one repeat)"}


def speed_page() -> str:
    """The whole page."""
    difiqa, folder, detection = (read(f"bench-{name}") for name in ("difiqa", "folder", "detection"))
    return PAGE.format(
        methods=cost_section(read("bench-methods")),
        procedures=procedures_section(difiqa),
        limits=limits_section(difiqa),
        presets=presets_section(read("presets"), difiqa),
        presets_pauc=presets_pauc_section(),
        gpu=gpu_section(read("bench-methods-gpu"), read("bench-difiqa-gpu")),
        growth=growth_section(difiqa),
        profile=profile_section(difiqa),
        folder=folder_section(folder),
        detection=detection_section(detection),
        edc=curves_section(read("bench-edc")),
        exported=exported_section(read("bench-export")),
        degradation=degradation_section(read("bench-degradation")),
        planning=planning_section(difiqa, folder, detection, read("bench-difiqa-gpu")),
    )


def read(name: str) -> dict:
    return json.loads((RESULTS / f"{name}.json").read_text())


def cost_section(bench: dict) -> str:
    """Time, memory and operations of each method, the cheapest first."""
    head = ("method", "CPU ms an image", "images a second", "peak memory of the process, GB", "GFLOP", "share of peak")
    rows = [
        (*cost(row), f"{row['peak_gb']:g}", f"{row['gflop']:.3g}", f"{100 * row['share_of_matrix_product']:.0f} %")
        for row in sorted(bench["results"], key=lambda row: row["ms"])
    ]
    peak = f"The peak: a matrix product, {bench['matrix_product_gflops']:,.0f} GFLOP a second."
    return f"{table(head, rows)}\n\nA batch of {bench['batch_size']} aligned faces, {machine(bench)} {peak}"


def limits_section(bench: dict) -> str:
    """How far the exact procedure can be from the machine's limit."""
    middle = next(row for row in bench["denoiser"] if row["side"] == 112)
    share = f"{100 * middle['share_of_matrix_product']:.0f} %"
    released = [bench["cases"]["as released"]["ms"], *(row["released_ms"] for row in bench["interleaved"])]
    compiled = min(released) / bench["cases"]["paper, bfloat16, compiled, batches of 32"]["ms"]
    return (
        f"A call of the denoiser is {middle['gflop']:.2f} GFLOP in {middle['ms']:.1f} ms: {share} of the speed at "
        "which the same core multiplies large matrices in float32: what is exact cannot become much quicker in that "
        "precision. 2.5 times the released speed with scores equal to 1e-4 was the aim: missed in float32; with "
        '`unet_dtype="bfloat16"`, which is not the default, in batches of 32, on a processor with instructions for it, '
        f"as this one, {spread(bench['interleaved'])}, and {compiled:.2f} times at least if compiled."
    )


def spread(rows: list[dict]) -> str:
    """How many times as fast, over pairs of runs in turn."""
    factors = [row["released_ms"] / row["ms"] for row in rows]
    return f"{min(factors):.2f} to {max(factors):.2f} times in {len(rows)} pairs of runs"


def presets_section(bench: dict, difiqa: dict) -> str:
    """What each approximation costs in rank."""
    labels = list(dict.fromkeys(row["approximation"] for row in bench["results"]))
    sets = [entry["faces"] for entry in bench["reference"]]
    cells = {(row["approximation"], row["faces"]): row for row in bench["results"]}
    rows = []
    for approximation in labels:
        first = cells[approximation, sets[0]]
        ranks = [f"{cells[approximation, name]['spearman']:.3f}" for name in sets]
        calls = " / ".join(dict.fromkeys(f"{cells[approximation, name]['denoiser_calls']:g}" for name in sets))
        rows.append((approximation, calls, *ranks, f"{first['deviation']:.4f}", f"{first['shift']:+.4f}"))
    references = "; ".join(
        f"{entry['faces']}: {entry['images']} images, {entry['repeats']} repeats, whose halves agree to "
        f"{entry['spearman_of_halves']:.4f}, scores spread by {entry['spread']:.4f}, one repeat deviates by "
        f"{entry['deviation_of_a_repeat']:.4f}"
        for entry in bench["reference"]
    )
    head = ("approximation", "calls of the denoiser", *(f"Spearman, {name}" for name in sets), "deviation", "shift")
    return f"{table(head, rows)}\n\nAgainst the mean of many repeats ({references})."


def presets_pauc_section() -> str:
    """pAUC(.3) with the difference to one repeat, from `experiments/presets.json`."""
    rows = []
    for path in sorted((RESULTS / "presets").glob("*.json")):
        result = json.loads(path.read_text())
        for row in result["results"]:
            found = change(row.get("against_baseline")) or "-"
            cells = result["benchmark"]["name"], label(row), f"{row['pauc']['0.3']:.3f}", found
            rows.append(cells)
    text = "In errors: pAUC(.3), compared by mobilefacenet_webface600k; differences with their 95 % interval."
    return f"{text}\n\n{table(('benchmark', 'quality', 'pAUC(.3)', 'difference to one repeat'), rows)}"


def growth_section(bench: dict) -> str:
    """Milliseconds by t, n, images in a call, and side of the image."""
    lines = []
    for name, rows in bench["growth"].items():
        lines.append((BY[name], ", ".join(f"{row.get(name)}: {row['ms']:,.0f}" for row in rows)))
    sides = ", ".join(f"{row['side']}: {row['ms']:.1f}" for row in bench["denoiser"])
    lines.append(("side of the image, one call of the denoiser", sides))
    return table(("by", "ms an image"), lines)


def profile_section(bench: dict) -> str:
    """The largest shares of the operations, before and after."""
    columns = bench["profile"]
    rows = [
        tuple(f"{row['operation']} {100 * row['share']:.0f} % ({row['calls']} calls)" for row in line)
        for line in zip(*columns.values(), strict=True)
    ]
    return table(tuple(columns), rows)


def folder_section(bench: dict) -> str:
    """End to end against the network alone."""
    rows = [
        (
            f"{run['folder']}, {run['images']:,} files" + "".join(f", {option}" for option in run["options"]),
            run["workers"],
            f"{run['images_a_second']:,.0f}",
            f"{100 * run['share_of_network']:.0f} %",
            run["cpu_ms"],
            f"{run['peak_gb_first_quarter']:.2f}, {run['peak_gb_last_quarter']:.2f}",
        )
        for run in bench["runs"]
    ]
    head = (
        "folder", "reading processes", "images a second", "of the network alone", "CPU ms",
        "GB, first and last quarter",
    )  # fmt: skip
    reading = ", ".join(
        f"{row['folder']} with {row['workers']}: {row['images_a_second']:,.0f}" for row in bench["reading"]
    )
    return (
        f"DifFIQA(R), `difiqa score FOLDER -o scores.csv`; crops are 112 pixels wide, large ones 1,024.\n\n"
        f"{table(head, rows)}\n\nThe network alone: {bench['network_images_a_second']:,.0f} images a second; reading "
        f"and cutting alone, by folder and processes: {reading}. {machine(bench)}\n\n{folder_profile(bench)}"
    )


def folder_profile(bench: dict) -> str:
    """Where the time of an aligned crop went in a plain loop, and where it goes."""
    before, run = bench["before"], bench["runs"][0]  # crops, read by the process that scores
    stages = ", ".join(f"{stage} {ms:.2f}" for stage, ms in before["cpu_ms"].items())
    network = 1000 / bench["network_images_a_second"]
    reading = 1000 / next(row["images_a_second"] for row in bench["reading"] if row["folder"] == run["folder"])
    return (
        f"A naive loop, one file at a time through everything: {before['images_a_second']:,.0f} images a second, CPU "
        f"ms an image: {stages}. `difiqa score` in one process: {1000 / run['images_a_second']:.2f} ms in all, of "
        f"which the network alone takes {network:.2f} and reading and cutting alone {reading:.2f}, each measured by "
        "itself: what is left is the network's. 90 % of the network's own speed was the aim; the network itself "
        "differs by some 10 % from run to run on these machines."
    )


def detection_section(bench: dict) -> str:
    stages = ("decode", "detect", "align", "to pixel values")
    columns = ("side", "jpeg_mb", *stages, "peak_gb")
    rows = [[row[name] for name in columns] for row in bench["results"]]
    return table(("side, pixels", "JPEG, MB", *(f"{stage}, ms" for stage in stages), "peak memory, GB"), rows)


def exported_section(bench: dict) -> str:
    """onnxruntime against torch."""
    columns = ("what", "precision", "megabytes", "torch_ms", "onnxruntime_ms", "largest_difference")
    head = ("what", "precision", "MB", "torch, ms an image", "onnxruntime, ms", "largest difference")
    eight = next(row for row in bench["results"] if row["precision"] == "int8")
    return (
        f"{table(head, ([row[name] for name in columns] for row in bench['results']))}\n\n8 bits, calibrated on "
        f"{eight['calibrated_on']} faces of LFW: Spearman {eight['spearman']:.4f} with float32 on {eight['ranked']:,} "
        f"others, whose float32 scores spread by {eight['spread']:.3f}. The row of difiqa is one repeat. "
        f"{machine(bench)}"
    )


def degradation_section(bench: dict) -> str:
    found, hardware = bench["cpu"], bench["hardware"]
    return (
        f"d(x) of Eq. 6: {found['images_a_second']:g} images a second on one core, {found['times_faster']:g} times as "
        f"many as a version that goes image by image through OpenCV, {found['times_faster_than_released']:g} times as "
        f"many as the released code at .2 s an image. {hardware['processor']}, load "
        f"{hardware['load_average_at_start']:g}."
    )


def planning_section(difiqa: dict, folder: dict, detection: dict, gpu: dict) -> str:
    """Core hours for a million images and more, from what was measured above."""
    crops = max(folder["runs"], key=lambda run: run["images"])["cpu_ms"]  # where the start weighs least
    reading = max(0, crops - 1000 / folder["network_images_a_second"])
    photo = next(row for row in detection["results"] if row["side"] == 4096)
    finding = sum(photo[stage] for stage in ("decode", "detect", "align"))
    jobs = {
        "DifFIQA(R), aligned crops to a file": crops,
        "DifFIQA(R), photographs of 17 megapixels with `--detect`": crops + finding,
        "DifFIQA, preset fastest": reading + difiqa["cases"]["fastest"]["ms"],
        "DifFIQA, preset fast": reading + difiqa["cases"]["fast"]["ms"],
        "DifFIQA, as in the paper": reading + difiqa["cases"]["paper"]["ms"],
    }
    rows = [(name, f"{ms:,.1f}", *(duration(ms * count) for count in JOBS)) for name, ms in jobs.items()]
    head = ("job", "CPU ms an image", *(f"{count:,} images" for count in JOBS))
    one = ", ".join(
        f"{name} {duration(CORES * gpu['cases'][name]['ms'] * JOBS[1])}" for name in ("fastest", "fast", "paper")
    )
    beside = f"One {gpu['hardware']['accelerator']}, without reading, takes for {JOBS[1]:,} images by DifFIQA: {one}."
    return f"{PLAN}\n\n{table(head, rows)}\n\n{beside}\n\n{ADVICE}"


def duration(milliseconds: float) -> str:
    hours = milliseconds / 3.6e6 / CORES
    if hours < 1:
        return f"{60 * hours:.0f} minutes"
    return f"{hours:.1f} hours" if hours < 48 else f"{hours / 24:,.0f} days"
