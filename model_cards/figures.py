"""Figures 4, 5 and 6 of the paper with our numbers, into `pictures/`: `python model_cards/figures.py`.

From the files in `results/`; Figure 6 shows the public-domain portrait of the demo and what was done to it, scored by
the shipped weights (half a minute).
"""

from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
from PIL import Image

from difiqa_hf import create_method
from difiqa_hf.benchmarks.curves import read_curve
from difiqa_hf.demo.versions import make_versions
from difiqa_hf.image_processing import FaceImageProcessor
from difiqa_hf.plots import plot_distributions, plot_edc, plot_edc_grid, plot_strip, save
from tables import BENCHMARKS, RESULTS, label, read_results

PICTURES = Path(__file__).parent / "pictures"
SHOWN = (
    "difiqa-r", "difiqa", "pcnet", "lightqnet, official dm100", "sdd-fiqa", "cr-fiqa", "magface", "faceqnet", "pfe",
    "ser-fiq", "faceqan", "norm", "random",
)  # fmt: skip
FEW = ("difiqa-r", "difiqa", "pcnet", "norm", "random")


def curves(rows: list[dict], methods: tuple[str, ...]) -> dict:
    """(benchmark, recogniser) -> method -> curve, in the order of `BENCHMARKS` and of `methods`."""
    found = {(row["benchmark"], row["recognizer"], label(row)): row for row in rows}
    recognizers = dict.fromkeys(row["recognizer"] for row in rows)
    return {
        (benchmark, recognizer): {
            method: read_curve(row, {"name": row["protocol"], "fmr": row["fmr"], "options": {}})[0]
            for method in methods
            if (row := found.get((benchmark, recognizer, method)))
        }
        for benchmark in BENCHMARKS
        for recognizer in recognizers
    }


def scores(row: dict) -> np.ndarray:
    """(images,) that the row of results was made from."""
    for path in sorted((RESULTS / "scores" / row["benchmark"]).glob(f"{row['method']}-*.parquet")):
        table = parquet.read_table(path)
        if table.schema.metadata[b"fingerprint"].decode() == row["method_fingerprint"]:
            values = table["score"].to_numpy()
            return values[np.isfinite(values)]
    raise FileNotFoundError(f"no scores of {label(row)} on {row['benchmark']} are on file; run `make table`")


def distributions(rows: list[dict], method: str) -> dict[str, np.ndarray]:
    """Benchmark -> scores, as the method gives them."""
    own = {row["benchmark"]: row for row in rows if label(row) == method}
    return {BENCHMARKS[name].split(":")[0]: scores(own[name]) for name in BENCHMARKS if name in own}


def main() -> None:
    rows = read_results()
    judge = next(row["recognizer"] for row in rows)
    save(plot_edc_grid(curves(rows, SHOWN)), PICTURES / "figure-4.svg")
    save(plot_edc(curves(rows, FEW)["cfp-fp", judge]), PICTURES / "cfp-fp.svg")
    for method in ("difiqa", "difiqa-r"):
        save(plot_distributions(distributions(rows, method)), PICTURES / f"figure-5-{method}.svg")
    images = [version.image for version in make_versions()]
    pixels = FaceImageProcessor()(images).pixel_values
    ranked, below = (create_method(name)(pixels).numpy() for name in ("difiqa", "difiqa-r"))
    strip = PICTURES / "figure-6.png"
    save(plot_strip(images, ranked, below=below), strip)
    Image.open(strip).convert("P", palette=Image.Palette.ADAPTIVE, colors=128).save(strip, optimize=True)


if __name__ == "__main__":
    main()
