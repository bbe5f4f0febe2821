"""DifFIQA scores as training labels for the regressor, launched with `accelerate launch` on any number of processes.

Zips, folders and streamed sets of the Hub are read as they are scored. The work is cut into parts of fixed size; a part
is computed by one process, written to a temporary file and renamed. A run that was killed continues with the parts that
are missing, and the parts do not depend on who computes them. `complete.json` says that all are there.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor
from tqdm import tqdm

from difiqa_hf.methods import create_method
from difiqa_hf.methods.difiqa import PRESETS
from images import UNREADABLE, decode_image, encoded, image_files, pixels_digest, settle, to_pixel_values
from people import left_out, person_of
from regressor_labels import FORMAT
from start import positive, start
from views import check_kinds, make_view

ENCODED = ("binary", "large_binary", "string", "large_string")  # of a column: bytes or paths
Item = tuple[str, Callable[[], bytes], str]  # name of an image, its reader, a view


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--data", nargs="+", help="zips or folders of aligned 112x112 faces")
    parser.add_argument("--dataset_name", help="or a set of the Hub (or a local folder that `datasets` can load)")
    parser.add_argument("--dataset_config_name")
    parser.add_argument("--dataset_split", default="train")
    parser.add_argument("--image_column", default="image")
    parser.add_argument("--checkpoint", help="DifFIQA pipeline folder or Hub repository; the shipped one if left out")
    parser.add_argument("--recognizer", help="replaces the checkpoint's recogniser")
    parser.add_argument("--leave_out", type=Path, help="JSON of lists of 'SOURCE/PERSON' who are not labelled, "
                        "with --data")  # fmt: skip
    parser.add_argument("--output_dir", required=True)
    parser.add_argument("--every", type=positive, default=1, help="label every k-th image only")
    parser.add_argument(
        "--views", nargs="+", default=["original"],
        help="what to label of every image, see views.py (but no morph): varied2 is another draw, varied-mirror the "
        "mirror of a draw",
    )  # fmt: skip
    parser.add_argument("--preset", choices=PRESETS, default="paper", help="DifFIQA's procedure, see `difiqa score`")
    parser.add_argument("--num_repeats", type=positive, help="n of Eq. 7, instead of the preset's or the checkpoint's")
    parser.add_argument("--part_size", type=positive, default=128, help="images in one part file")
    parser.add_argument("--unet_dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    if (args.data is None) == (args.dataset_name is None):
        parser.error("give --data or --dataset_name, one of the two")
    if args.leave_out and not args.data:
        parser.error("--leave_out names people by their folders in --data; a set of the Hub has none")
    return args


def stream(args: argparse.Namespace) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Names and readers of all images, in an order that never changes."""
    if args.data:
        files = list(image_files(args.data)) if args.leave_out else image_files(args.data)
        unwanted = left_out(args.leave_out, {person_of(name) for name, _ in files}) if args.leave_out else set()
        yield from (file for file in files if person_of(file[0]) not in unwanted)
        return
    import datasets

    name, column = args.dataset_name, args.image_column
    rows = datasets.load_dataset(name, args.dataset_config_name, split=args.dataset_split, streaming=True)
    if rows.features is not None and column not in rows.features:
        raise ValueError(f"{name} has no column {column}, but {', '.join(rows.features)}; see --image_column")
    feature = None if rows.features is None else rows.features[column]
    if isinstance(feature, datasets.Value | datasets.ClassLabel) and feature.dtype not in ENCODED:
        raise ValueError(f"column {column} of {name} holds {feature.dtype}, no images; see --image_column")
    for number, row in enumerate(rows.cast_column(column, datasets.Image(decode=False))):
        yield f"{name}/{number:08d}", partial(encoded, row[column])


def parts(args: argparse.Namespace) -> Iterator[list[Item]]:
    """The work: `part_size` views at a time."""
    items = ((name, read, view) for name, read in islice(stream(args), 0, None, args.every) for view in args.views)
    while part := list(islice(items, args.part_size)):
        yield part


def read_views(part: list[Item], seed: int) -> tuple[Tensor, list[dict], list[dict]]:
    """Views (count, 3, 112, 112) uint8, what they are views of, and the images that could not be read, with reasons."""
    images, views, rows, unreadable = {}, [], [], {}
    for name, read, view in part:
        if name not in images and name not in unreadable:
            try:
                images[name] = decode_image(read())
            except UNREADABLE as error:
                unreadable[name] = {"name": name, "reason": str(error)}
        if name in images:
            views.append(make_view(images, name, view, seed))
            rows.append({"name": name, "view": view, "pixels": pixels_digest(images[name])})
    return torch.stack(views) if views else torch.empty(0, 3, 112, 112), rows, list(unreadable.values())


def unreadable_of(path: Path) -> Path:
    """The file that lists what a part lacks, if anything."""
    return path.with_name(path.name.replace("part", "unreadable"))


def is_done(path: Path, part: list[Item]) -> bool:
    """Whether a part that an earlier run wrote can stay: it is not where an image that was unreadable can be read now.

    Only names are compared: to see other pixels under the same name takes reading all, which `labelled_faces` does.

    Raises:
        ValueError: if images came, went or were renamed since.
    """
    labelled, unreadable = (
        {json.loads(line)["name"] for line in file.read_text().splitlines()} if file.exists() else set()
        for file in (path, unreadable_of(path))
    )
    if labelled | unreadable != {name for name, _, _ in part}:
        raise ValueError(f"{path} was made of other images than there are now; label them in a new --output_dir")
    _, mended, _ = read_views([item for item in part if item[0] in unreadable], seed=0)
    return not mended


def write_rows(path: Path, rows: list[dict], process: int) -> None:
    """One JSON object a line, all or nothing."""
    pending = path.with_suffix(f".tmp{process}")
    pending.write_text("".join(json.dumps(row) + "\n" for row in rows))
    pending.replace(path)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    check_kinds(args.views)
    if any(view.startswith("morph") for view in args.views):
        raise ValueError("a morph needs all images at hand, but they are read one by one; label other views")
    accelerator = Accelerator()
    if accelerator.device.type == "cpu":
        torch.set_num_threads(1)  # sums over several are rounded otherwise; more cores are for more processes
    output = Path(args.output_dir)
    output.mkdir(parents=True, exist_ok=True)
    method = create_method(
        "difiqa",
        checkpoint=args.checkpoint,
        recognizer=args.recognizer,
        preset=args.preset,
        num_repeats=args.num_repeats,
        seed=args.seed,
        unet_dtype=args.unet_dtype,
        device=str(accelerator.device),
    )
    if accelerator.is_main_process:
        settle(
            output / "labels_config.json",
            vars(args) | {"output_dir": "", "fingerprint": method.fingerprint, "format": FORMAT},
        )
    accelerator.wait_for_everyone()

    total = scored = 0
    started = time.time()
    for number, part in enumerate(
        tqdm(parts(args), unit="part", disable=not accelerator.is_main_process, mininterval=10)
    ):
        total = number + 1
        path = output / f"part-{number:06d}.jsonl"
        if number % accelerator.num_processes != accelerator.process_index:
            continue
        if path.exists() and is_done(path, part):
            continue
        path.unlink(missing_ok=True)
        unreadable_of(path).unlink(missing_ok=True)
        views, rows, unreadable = read_views(part, args.seed)
        qualities = method(to_pixel_values(views)).numpy().astype(np.float64) if rows else []
        if unreadable:
            write_rows(unreadable_of(path), unreadable, accelerator.process_index)
        labels = [row | {"quality": round(q, 7)} for row, q in zip(rows, qualities, strict=True)]
        write_rows(path, labels, accelerator.process_index)
        scored += len(rows)
    print(f"process {accelerator.process_index}: {scored} views in {time.time() - started:.0f} s", flush=True)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        finish(output, total)
    accelerator.end_training()


def finish(output: Path, total: int) -> None:
    """Clear away what killed runs left, count, and say that everything is there.

    Raises:
        ValueError: if nothing could be labelled, or images went since an earlier run.
    """
    for abandoned in output.glob("*.tmp*"):
        abandoned.unlink()
    if any(int(path.stem.removeprefix("part-")) >= total for path in output.glob("part-*.jsonl")):
        raise ValueError(f"{output} holds parts of more images than there are now; label them in a new --output_dir")
    rows = sum(len(path.read_text().splitlines()) for path in output.glob("part-*.jsonl"))
    lines = (line for path in output.glob("unreadable-*.jsonl") for line in path.read_text().splitlines())
    unreadable = len({json.loads(line)["name"] for line in lines})
    if rows == 0:
        raise ValueError(f"no readable image ({unreadable} unreadable): there is nothing to label")
    pending = output / "complete.tmp"
    pending.write_text(json.dumps({"parts": total, "rows": rows, "unreadable": unreadable}) + "\n")
    pending.replace(output / "complete.json")


if __name__ == "__main__":
    start(main)
