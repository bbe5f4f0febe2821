"""Exported networks in onnxruntime against torch: scores and time, in float32 and in 8 bits: `make bench-export`.

CPU time on faces in memory, one thread; the quickest of several runs counts. 8 bits are calibrated on one half of some
faces, and their order is compared with float32's on all others of the benchmark.
"""

import argparse
import json
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from machine import fastest, hardware, read_faces, versions
from torch import Tensor

from difiqa_hf.export import export_int8, export_onnx
from difiqa_hf.methods import create_method
from difiqa_hf.methods.froq import spearman
from difiqa_hf.methods.onnx import OnnxMethod
from difiqa_hf.onnx_graphs import OnnxGraph
from difiqa_hf.recognizers import load_recognizer

BATCH = 32
Scores = Callable[[Tensor], Tensor]


def milliseconds(score: Scores, faces: Tensor, repeats: int) -> float:
    """CPU milliseconds an image, in batches."""
    score(faces[:BATCH])
    _, cpu, _ = fastest(lambda: [score(part) for part in faces.split(BATCH)], repeats)
    return round(1000 * cpu / len(faces), 3)


@torch.no_grad()
def compared(original: Scores, exported: Scores, faces: Tensor, repeats: int) -> dict:
    """Both ways to the scores of the same faces."""
    found, expected = (torch.cat([score(part) for part in faces.split(BATCH)]) for score in (exported, original))
    return {
        "torch_ms": milliseconds(original, faces, repeats),
        "onnxruntime_ms": milliseconds(exported, faces, repeats),
        "images": len(faces),
        "largest_difference": float(f"{(found - expected).abs().max():.2g}"),
    }


def float32(faces: Tensor, folder: Path, repeats: int) -> Iterator[dict]:
    """The shipped recogniser, DifFIQA(R), and DifFIQA with one repeat."""
    recognizer, path = load_recognizer(), folder / "recognizer.onnx"
    row = {"what": "recogniser", "precision": "float32"}
    row |= {"megabytes": round(export_onnx(recognizer, path).megabytes, 2)}
    graph = OnnxGraph(path)
    yield row | compared(lambda x: recognizer(x).embeddings, lambda x: graph(pixel_values=x), faces, repeats)
    for name, options, count in (("difiqa-r", {}, len(faces)), ("difiqa", {"num_repeats": 1}, 8)):
        method, path = create_method(name, **options), folder / f"{name}.onnx"
        row = {"what": name, "precision": "float32", "megabytes": round(export_onnx(method, path).megabytes, 2)}
        yield row | compared(method, OnnxMethod(type(method), path, **options), faces[:count], repeats)


def eight_bits(source: Path, calibrated: int, folder: Path, repeats: int) -> dict:
    """DifFIQA(R) in 8 bits: its order on every image of the zip that did not calibrate it."""
    method, path, images = create_method("difiqa-r"), folder / "int8.onnx", folder / "calibration"
    images.mkdir()
    with zipfile.ZipFile(source) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
        chosen = np.unique(np.linspace(0, len(names) - 1, calibrated).astype(int))
        for index in chosen:
            (images / f"{index}.jpg").write_bytes(archive.read(names[index]))
    about = export_int8(method, path, [images])
    exported, faces = OnnxMethod(type(method), path), read_faces(source, len(names))
    others = faces[np.setdiff1d(np.arange(len(names)), chosen)]
    found, expected = (torch.cat([m(part) for part in others.split(BATCH)]) for m in (exported, method))
    row = {"what": "difiqa-r", "precision": "int8", "megabytes": round(about.megabytes, 2)}
    row |= compared(method, exported, others[:256], repeats)
    return row | {
        "calibrated_on": about.calibrated,
        "ranked": len(others),
        "spearman": round(spearman(found[:, None], expected).item(), 5),
        "largest_difference": float(f"{(found - expected).abs().max():.2g}"),
        "spread": round(expected.std().item(), 4),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=Path, required=True, help="zip of aligned 112 x 112 faces")
    parser.add_argument("--calibrate", type=int, default=400, help="faces of which every second one sets the ranges")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each; the quickest counts")
    parser.add_argument("-o", "--output", type=Path, required=True, help="result file")
    args = parser.parse_args()
    machine, faces = hardware(), read_faces(args.faces, 256)
    with tempfile.TemporaryDirectory() as folder:
        results = [*float32(faces, Path(folder), args.repeats)]
        results.append(eight_bits(args.faces, args.calibrate, Path(folder), args.repeats))
    for row in results:
        print(row, file=sys.stderr)
    result = {
        "what": __doc__.split("\n")[0],
        "batch_size": BATCH,
        "hardware": machine,
        "threads": torch.get_num_threads(),
        "versions": versions("torch", "onnx", "onnxruntime"),
        "results": results,
    }
    args.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
