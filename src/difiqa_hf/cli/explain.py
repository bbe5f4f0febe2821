"""Why a face scores as it does: the terms of Eq. 7, maps, plain measurements, on one sheet and as JSON.

Which part of DifFIQA's score fell (noise, restoration, mirror image), what restoring changed, what covering a part of
the face does to the score, and measurements under the names of ISO/IEC 29794-5 components, without conforming to it.
Exit codes: 0 done; 1 failed, or the image is unreadable or has no face; 2 wrong usage; 130 interrupted.
"""

import argparse
from pathlib import Path

from difiqa_hf.cli import common
from difiqa_hf.cli.files import check_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("image", type=Path, metavar="IMAGE", help="one image file")
    add("-o", "--output", default="explanation", type=Path, metavar="DIR", help="folder for the .png and the .json")
    add("--aligned", dest="detect", action="store_false", help="the image is an aligned crop, no photograph")
    add("--face", type=int, default=0, metavar="N", help="of several faces, 0 is the largest")
    add("--min-size", type=float, default=20, metavar="PIXELS", help="smaller faces are none")
    add("--max-megapixels", type=float, default=100, metavar="MP", help="larger images are unreadable")
    add("--no-diffusion", action="store_true", help="leave out DifFIQA, which is slow: no terms, no restoration")
    add("--checkpoint", metavar="FOLDER", help="of DifFIQA, or repository; the shipped one")
    common.add_method(parser)


def run(args: argparse.Namespace) -> int:
    from difiqa_hf.explanation import explain
    from difiqa_hf.explanation.sheet import draw_sheet
    from difiqa_hf.image_processing import FaceImageProcessor
    from difiqa_hf.methods.difiqa import DifFIQA
    from difiqa_hf.plots import save
    from difiqa_hf.scoring import pick_device

    check_folder(args.output)
    method = common.make_method(args, repeats_elsewhere=True)
    crop, image, face = _read(args)
    difiqa = None if args.no_diffusion else DifFIQA(args.checkpoint, device=pick_device(args.device))
    given = (None, None) if difiqa is None else (difiqa.pipeline, difiqa.threshold_card())
    pixel_values = FaceImageProcessor()(crop).pixel_values[0]
    options = {"num_repeats": args.num_repeats or 4, "seed": args.seed, "card": given[1]}
    found = explain(crop, pixel_values, method, given[0], image, face, **options)
    args.output.mkdir(parents=True, exist_ok=True)
    sheet, data = (args.output / f"{args.image.name}.{kind}" for kind in ("png", "json"))
    save(draw_sheet(found), sheet)
    _write(data, found, args)
    print("\n".join(_words(found)))
    common.say(f"{sheet} and {data} written")
    return 0


def _read(args: argparse.Namespace):
    """The aligned crop, the photograph and the face in it, the last two None for a crop."""
    from difiqa_hf.alignment import align
    from difiqa_hf.scoring import UnreadableImageError, read_image

    try:
        image = read_image(args.image, args.max_megapixels)
    except UnreadableImageError as error:
        raise ValueError(f"unreadable: {args.image}: {error}") from None
    if not args.detect:
        return image.resize((112, 112), 2), None, None  # 2: bilinear, as FaceImageProcessor does
    detection = common.make_detector(args).detect(image)
    if detection.status not in ("ok", "several_faces"):
        raise ValueError(f"{detection.status}: {args.image}: {detection.reason}")
    if not 0 <= args.face < len(detection.faces):
        raise ValueError(f"--face must be below {len(detection.faces)}, the number of faces found; found {args.face}")
    face = detection.faces[args.face]
    return align(image, face.points), image, face


def _write(path: Path, found, args: argparse.Namespace) -> None:
    import json

    content = {"image": str(args.image).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")}
    text = json.dumps(content | found.report(), indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def _words(found) -> list[str]:
    from dataclasses import asdict

    from difiqa_hf.explanation.sheet import CAUSES, headline, unusual

    lines = [headline(found)]
    if found.restoration is not None:
        lines.append(
            f"DifFIQA {found.restoration.quality:.4f} lacks {1 - found.restoration.quality:.4f} to 1, by cause:"
        )
        parts = asdict(found.shortfall).items()
        lines += [f"  {value:8.4f}{unusual(found, name)}  {name}: {CAUSES[name]}" for name, value in parts]
    lines += [f"{m.name:24} {m.value:9.3g} {m.unit:8} {m.meaning}".rstrip() for m in found.measurements]
    return lines
