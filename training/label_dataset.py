"""DifFIQA scores as training labels for the regressor, launched with `accelerate launch` on any number of processes.

The work is cut into parts of fixed size; a part is computed by one process, written to a temporary file and renamed.
A run that was killed continues with the parts that are missing, and the parts do not depend on who computes them.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from tqdm import tqdm

from difiqa_hf.methods import create_method
from images import read_images, settle, to_pixel_values
from views import check_kinds, make_view


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--data", nargs="+", required=True, help="zips or folders of aligned 112x112 faces")
    parser.add_argument("--checkpoint", help="DifFIQA pipeline folder or Hub repository; the shipped one if left out")
    parser.add_argument("--recognizer", help="replaces the checkpoint's recogniser")
    parser.add_argument("--output_dir", required=True)
    parser.add_argument("--every", type=int, default=1, help="label every k-th image only")
    parser.add_argument(
        "--views", nargs="+", default=["original"],
        help="what to label of every image, see views.py: varied2 is another draw, varied-mirror the mirror of a draw",
    )  # fmt: skip
    parser.add_argument("--num_repeats", type=int, default=10, help="n of Eq. 7")
    parser.add_argument("--part_size", type=int, default=128, help="images in one part file")
    parser.add_argument("--unet_dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    check_kinds(args.views)
    accelerator = Accelerator()
    output = Path(args.output_dir)
    output.mkdir(parents=True, exist_ok=True)
    images, names = read_images(args.data)
    images, names = images[:: args.every], names[:: args.every]
    method = create_method(
        "difiqa",
        checkpoint=args.checkpoint,
        recognizer=args.recognizer,
        num_repeats=args.num_repeats,
        seed=args.seed,
        unet_dtype=args.unet_dtype,
        device=str(accelerator.device),
    )
    if accelerator.is_main_process:
        settings = vars(args) | {"output_dir": "", "fingerprint": method.fingerprint, "images": len(names)}
        settle(output / "labels_config.json", settings)
    accelerator.wait_for_everyone()

    items = [(i, view) for view in args.views for i in range(len(names))]
    parts = [items[start : start + args.part_size] for start in range(0, len(items), args.part_size)]
    mine = range(accelerator.process_index, len(parts), accelerator.num_processes)
    for number in tqdm(mine, unit="part", disable=not accelerator.is_main_process, mininterval=10):
        path = output / f"part-{number:06d}.jsonl"
        if path.exists():
            continue
        views = torch.stack([make_view(images, i, view, args.seed) for i, view in parts[number]])
        qualities = method(to_pixel_values(views)).numpy().astype(np.float64)
        rows = zip(parts[number], qualities, strict=True)
        lines = [json.dumps({"name": names[i], "view": view, "quality": round(q, 7)}) for (i, view), q in rows]
        pending = path.with_suffix(f".tmp{accelerator.process_index}")
        pending.write_text("\n".join(lines) + "\n")
        pending.replace(path)
    accelerator.wait_for_everyone()
    accelerator.end_training()


if __name__ == "__main__":
    main()
