"""Why a face scores as it does: the terms of Eq. 7, maps, plain measurements, on one sheet and as JSON.

Which part of DifFIQA's score fell (noise, restoration, mirror image), what restoring changed, what covering a part of
the face does to the score, and measurements under the names of ISO/IEC 29794-5 components, without conforming to it.
Exit codes: 0 done; 1 failed, or the image is unreadable or has no face; 2 wrong usage; 130 interrupted.
"""

import argparse
from pathlib import Path

from difiqa_hf.cli import common
from difiqa_hf.cli.files import check_folder
from difiqa_hf.cli.numbers import number, whole


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("image", type=Path, metavar="IMAGE", help="image; also by its name in results, photos.zip#a.jpg or clip.mp4#9")
    add("-o", "--output", default="explanation", type=Path, metavar="DIR", help="folder for the .png and the .json")
    add("--aligned", dest="detect", action="store_false", help="the image is an aligned crop, no photograph")
    add("--face", type=whole(least=0), default=0, metavar="N", help="of several faces, 0 is the largest")
    add("--min-size", type=number(least=0), default=20, metavar="PIXELS", help="smaller crops or faces are too_small")
    add("--max-megapixels", type=number(above=0), default=100, metavar="MP", help="larger images are unreadable")
    add("--no-diffusion", action="store_true", help="leave out DifFIQA, which is slow: no terms, no restoration")
    add("--checkpoint", metavar="FOLDER", help="of DifFIQA, or repository; the shipped one")
    common.add_method(parser)


def run(args: argparse.Namespace) -> int:
    from difiqa_hf.explanation import explain
    from difiqa_hf.explanation.sheet import draw_sheet, words
    from difiqa_hf.methods.difiqa import DifFIQA
    from difiqa_hf.pictures import picture_of
    from difiqa_hf.plots import save
    from difiqa_hf.scoring import pick_device

    if args.no_diffusion and args.checkpoint is not None:
        raise ValueError("--checkpoint is of DifFIQA, which --no-diffusion leaves out: leave out one of them")
    check_folder(args.output)
    method = _make_method(args)
    card = common.chosen_card(args, method)
    image, crop = _read(args, method.landmarks)
    difiqa = None if args.no_diffusion else DifFIQA(args.checkpoint, device=pick_device(args.device))
    given = (None, None) if difiqa is None else (difiqa.pipeline, difiqa.threshold_card())
    where = (None, None) if crop.found is None else (image, crop.found)
    options = {"num_repeats": 4 if args.num_repeats is None else args.num_repeats, "seed": args.seed, "card": given[1]}
    options |= {"batch_size": min(args.batch_size, 8)}  # small, so that the bar moves
    options |= {"percentile": card and card.percentile, "progress": _bar}
    face = picture_of(crop.pixel_values)
    found = explain(face, crop.pixel_values, method, given[0], *where, **options)
    args.output.mkdir(parents=True, exist_ok=True)
    sheet, data = (args.output / f"{args.image.name}.{kind}" for kind in ("png", "json"))
    save(draw_sheet(found), sheet)
    _write(data, found, args)
    print("\n".join(words(found)))
    common.say(f"{sheet} and {data} written")
    return 0


def _make_method(args: argparse.Namespace):
    """The method; --num-repeats is for it too, if it has repeats, and else for DifFIQA's restoration only."""
    import inspect

    from difiqa_hf.methods.registry import method_class

    repeats = "num_repeats" in inspect.signature(method_class(args.method)).parameters
    return common.make_method(args, repeats_elsewhere=not repeats and not args.no_diffusion)


def _read(args: argparse.Namespace, landmarks: int):
    """The image and the crop of the face that was asked for."""
    from difiqa_hf.scoring.recall import find_source, look

    detector = common.make_detector(args)
    image, crops = look(find_source(args.image), detector, args.min_size, args.max_megapixels, landmarks)
    if crops[0].face is None:
        raise ValueError(f"{crops[0].status}: {args.image}: {crops[0].reason}")
    if not 0 <= args.face < len(crops):
        raise ValueError(f"--face must be below {len(crops)}, the number of faces found; found {args.face}")
    crop = crops[args.face]
    if crop.pixel_values is None:
        raise ValueError(f"{crop.status}: {args.image}, face {args.face}: {crop.reason}")
    return image, crop


def _bar(batches):
    """Over the batches of the occlusion map, on stderr."""
    import sys

    from tqdm import tqdm

    return tqdm(batches, desc="covering the face", unit="batch", file=sys.stderr, disable=None, leave=False)


def _write(path: Path, found, args: argparse.Namespace) -> None:
    import json

    from difiqa_hf.scoring.rows import path_text

    text = json.dumps({"image": path_text(args.image)} | found.report(), indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
