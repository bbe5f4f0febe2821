"""The best faces of folders, photographs and videos, of all together or of each person.

Writes a picture of every chosen face, and best.csv with rank, person, file, frame and score. --per-person puts faces
together by the embeddings of a recogniser: two faces are of one person from a cosine on that depends on the recogniser,
so --same-person names it (`difiqa calibrate` prints it for a false match rate), unless the threshold card of DifFIQA
knows it for the shipped one. Exit codes: 0 done; 1 failed, or a PATH does not exist or holds no face; 2 wrong usage.
"""

import argparse
from pathlib import Path

from difiqa_hf.cli import common
from difiqa_hf.cli.files import check_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    common.add_inputs(parser, detect=True)
    add("-o", "--output", default="best", type=Path, metavar="DIR", help="folder for the pictures and best.csv")
    add("-k", type=int, default=3, metavar="N", help="faces to choose, with --per-person of each person")
    add("--per-person", action="store_true", help="tell persons apart")
    add("--same-person", type=float, metavar="COSINE", help="from which on two faces are of one person")
    add("--person-recognizer", metavar="R", help="that tells persons apart: folder, file or repository; shipped")
    add("--side", type=int, default=512, metavar="PIXELS", help="largest side of the pictures")
    common.add_method(parser)


def run(args: argparse.Namespace) -> int:
    from difiqa_hf.scoring import in_chunks
    from difiqa_hf.scoring.run import chunk_cutter
    from difiqa_hf.selection.best import find_faces, persons_of, select_best

    if args.k < 1:
        raise ValueError(f"-k must be at least 1, found {args.k}")
    check_folder(args.output)
    method, detector = common.make_method(args), common.make_detector(args)
    recognizer, similarity = _recognizer(args) if args.per_person else (None, None)
    card = common.chosen_card(args, method)
    files, complete = common.list_files(args)
    cut = chunk_cutter(detector, args.min_size, args.max_megapixels, method.landmarks)
    sources = in_chunks(common.read_sources(args, files), args.batch_size)
    rows, embeddings = [], []
    for found, vectors in find_faces(cut(sources, args.workers), method, recognizer, args.batch_size):
        for row in found:
            common.say_row(row)
        rows += [row for row in found if row.quality is not None]
        embeddings.append(vectors)
    persons = persons_of(embeddings, rows, similarity) if args.per_person else None
    shots = select_best(rows, args.k, persons)
    _write(args, shots, detector, card)
    people = "" if persons is None else f" of {len(set(persons.tolist()))} persons"
    common.say(f"{len(rows)} faces{people} in {len(files)} files; the {len(shots)} best in {args.output}")
    return 0 if complete and shots else 1


def _recognizer(args: argparse.Namespace):
    """The recogniser that tells persons apart, and from which cosine on."""
    from difiqa_hf.methods import create_method
    from difiqa_hf.recognizers import load_recognizer, weights_revision

    recognizer = load_recognizer(args.person_recognizer)
    if args.same_person is not None:
        return recognizer, args.same_person
    revision = weights_revision(recognizer)
    card = create_method("difiqa").threshold_card()
    known = [entry for entry in card.errors if entry.recognizer_revision == revision] if card else []
    if not known:
        raise ValueError(
            "from which cosine on two faces are of one person is not known for this recogniser: name it by "
            "--same-person; difiqa calibrate measures it for a false match rate"
        )
    return recognizer, known[0].similarity_threshold


def _write(args: argparse.Namespace, shots: list, detector, card) -> None:
    from difiqa_hf.scoring.recall import cut_picture, recall
    from difiqa_hf.scoring.rows import csv_line, path_cell

    args.output.mkdir(parents=True, exist_ok=True)
    names = {}
    for shot in shots:
        person = f"person-{shot.person + 1:03d}_" if args.per_person else ""
        names[shot.row.path, shot.row.face] = f"{person}rank-{shot.rank:03d}.png"
    paths = [shot.row.path for shot in shots]
    for path, image in recall(paths, args.fps or None, args.max_megapixels):
        for (owner, face), name in names.items():
            if owner == path:
                cut_picture(image, detector, face, args.side).save(args.output / name)
    lines = [csv_line(["person", "rank", "picture", "path", "face", "quality", "percentile"])]
    for shot in shots:
        row, picture = shot.row, names[shot.row.path, shot.row.face]
        percentile = card.percentile(row.quality) if card else None
        person = str(shot.person + 1) if args.per_person else ""
        numbers = [str(row.face), f"{row.quality:.6g}", "" if percentile is None else f"{percentile:.1f}"]
        lines.append(csv_line([person, str(shot.rank), picture, path_cell(row.path), *numbers]))
    (args.output / "best.csv").write_bytes("".join(lines).encode("utf-8", "surrogateescape"))
