"""Results as text."""

from collections.abc import Mapping
from typing import Any

HEADER = ("method", "recogniser", "FNMR(0)", "pAUC(.2)", "pAUC(.3)", "95 % interval")
SHOWN_NAMES = 5


def format_results(results: Mapping[str, Any]) -> str:
    """The result of `evaluate_benchmark` as a table, with the protocol above and what was left out below."""
    benchmark, protocol = results["benchmark"], results["protocol"]
    rows = [HEADER, *map(_row, results["results"])]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    lines = [
        f"{benchmark['name']}: {benchmark['n_genuine']} genuine and {benchmark['n_impostor']} impostor comparisons of "
        f"{benchmark['n_images']} images; protocol {protocol['name']}, FMR {protocol['fmr']:g}",
        *("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows),
    ]
    lines += sorted({row["undefined"] for row in results["results"] if row["undefined"]})
    return "\n".join(lines + _skipped(benchmark["skipped"]))


def _row(result: Mapping[str, Any]) -> tuple[str, ...]:
    interval = result["interval"]
    ends = (_figure(interval[end]) for end in ("low", "high"))
    return (
        result["method"],
        result["recognizer"],
        f"{100 * result['fnmr0']:.2f} %",
        *(_figure(result["pauc"][limit]) for limit in ("0.2", "0.3")),
        f"[{', '.join(ends)}]",
    )


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _skipped(skipped: Mapping[str, Any]) -> list[str]:
    if not skipped["n_comparisons"]:
        return []
    problems = list(skipped["images"].values())
    more = f" and {len(problems) - SHOWN_NAMES} more" if len(problems) > SHOWN_NAMES else ""
    return [f"{skipped['n_comparisons']} comparisons not scored: {'; '.join(problems[:SHOWN_NAMES])}{more}"]
