"""FaceQAN and GraFIQs batched against one image at a time: `make bench-batching`.

"One at a time" is what the authors' scripts do: FaceQAN attacks the copies of one image, GraFIQs differentiates for one
image. Both run in this process with the same network; that with the least CPU time of several runs counts.
"""

import argparse
import json
import sys
from pathlib import Path

import torch
from machine import fastest, hardware, read_faces, versions
from torch import Tensor

from difiqa_hf.methods import create_method
from difiqa_hf.methods.base import QualityMethod
from difiqa_hf.recognizers import load_recognizer, weights_revision

METHODS = ("faceqan", "grafiqs")


def one_at_a_time(method: QualityMethod, faces: Tensor) -> Tensor:
    return torch.cat([method(face[None]) for face in faces])


def measure(name: str, recognizer, faces: Tensor, batch_size: int, repeats: int) -> dict:
    """Milliseconds an image both ways, and the largest difference between the scores."""
    method = create_method(name, recognizer=recognizer, batch_size=batch_size)
    method(faces[:1])  # the first call allocates
    single, single_cpu, single_seconds = fastest(lambda: one_at_a_time(method, faces), repeats)
    batched, batched_cpu, batched_seconds = fastest(lambda: method(faces), repeats)
    return {
        "method": name,
        "images": len(faces),
        "batch_size": batch_size,
        "one_at_a_time_ms": round(1000 * single_cpu / len(faces), 2),
        "batched_ms": round(1000 * batched_cpu / len(faces), 2),
        "one_at_a_time_wall_ms": round(1000 * single_seconds / len(faces), 2),
        "batched_wall_ms": round(1000 * batched_seconds / len(faces), 2),
        "largest_difference": (single - batched).abs().max().item(),
        "largest_score": single.abs().max().item(),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=Path, required=True, help="zip of aligned 112 x 112 faces")
    parser.add_argument("--recognizer", help="file, folder or repository; the shipped one if left out")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--batch_size", type=int, default=32, help="forward and backward passes at once")
    parser.add_argument("--repeats", type=int, default=3, help="that with the least CPU time counts")
    parser.add_argument("-o", "--output", type=Path, help="result file")
    args = parser.parse_args()
    machine, faces = hardware(), read_faces(args.faces, args.images)
    recognizer = load_recognizer(args.recognizer)
    name = "shipped" if args.recognizer is None else Path(args.recognizer).stem
    result = {
        "what": __doc__.split("\n")[0],
        "recognizer": name,
        "revision": weights_revision(recognizer),
        "hardware": machine,
        "threads": torch.get_num_threads(),
        "versions": versions("torch"),
        "results": [measure(method, recognizer, faces, args.batch_size, args.repeats) for method in METHODS],
    }
    text = json.dumps(result, indent=1) + "\n"
    if args.output:
        args.output.write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
