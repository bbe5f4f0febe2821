"""Tables that several pages show: DifFIQA by procedure, and what curves cost."""

from methods_page import machine, table


def cost(row: dict) -> tuple[str, str, str]:
    """Method, milliseconds an image, images a second."""
    return row["method"], f"{row['ms']:.3g}", f"{1000 / row['ms']:,.3g}"


def procedures_section(bench: dict) -> str:
    """A line a case, with how much quicker it is than the released procedure."""
    released, rows = bench["cases"]["as released"], []
    for name, case in bench["cases"].items():
        if "failed" in case:
            rows.append((name, case["failed"], "", "", "", ""))
            continue
        factor, exact = released["ms"] / case["ms"], case.get("largest_difference")
        difference = "-" if exact is None else f"{exact:.1g}"
        ms = f"{case['ms']:,.0f}" if case["ms"] >= 50 else f"{case['ms']:.3g}"
        rows.append((name, ms, f"{factor:.2f}", difference, f"{case['peak_gb']:.2f}", case["first_call_s"]))
    head = (
        "procedure", "ms an image", "times as fast as released", "difference of scores", "peak memory, GB",
        "first call, s",
    )  # fmt: skip
    return f"{table(head, rows)}\n\n{machine(bench)}"


def curves_section(bench: dict) -> str:
    """CPU seconds and memory of the curves: one line per size, one column per task."""
    tasks = list(dict.fromkeys(row["task"] for row in bench["results"] if not row["task"].startswith("bootstrap")))
    sizes = list(dict.fromkeys(row["comparisons"] for row in bench["results"]))
    cells = {(row["comparisons"], row["task"]): speed_cell(row) for row in bench["results"]}
    lines = ["| comparisons | " + " | ".join(tasks) + " |", "|---:|" + "---|" * len(tasks)]
    lines += [f"| {size:,} | " + " | ".join(cells.get((size, task), "-") for task in tasks) + " |" for size in sizes]
    bootstraps = [
        f"{row['task']}, {row['comparisons']:,} comparisons: {row['cpu_seconds']:.2f} s"
        for row in bench["results"]
        if row["task"].startswith("bootstrap") and "seconds" in row
    ]
    hardware = bench["hardware"]
    machine = (
        f"{hardware['processor']}, {hardware['cores']} cores, {hardware['memory_gb']:g} GB, load "
        f"{hardware['load_average_at_start']:g}, numpy {bench['versions']['numpy']}, one thread: CPU time"
    )
    return "\n".join([*lines, "", "; ".join(bootstraps) + f" ({machine})."])


def speed_cell(row: dict) -> str:
    if "failed" in row:
        return row["failed"]
    return f"{row['cpu_seconds']:.2g} s, {row['peak_gb_above_inputs']:.2f} GB"
