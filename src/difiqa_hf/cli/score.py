"""Score face images: one row per face, a status for every file, and no bad file stops it.

Folders are searched recursively for avif, bmp, gif, jpeg, png, ppm, tiff and webp files; zips and videos are read if
they are named, and passed over in folders. The status is ok, several_faces (one row per face, 0 is the largest),
no_face, too_small or unreadable; the reason stands on stderr. A path that a spreadsheet would run as a formula is
written with "./" before it.

A run that was interrupted, by a power cut too, goes on when the same command is given again; the file is then the same
as that of a run that was not. The processes of `accelerate launch --module difiqa_hf score …` share the images and
write the same file as one process. Exit codes: 0 done, whatever the images; 1 failed, or a PATH does not exist or holds
no image; 2 wrong usage; 130 interrupted.
"""

import argparse
from itertools import islice

from difiqa_hf.cli import common


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    common.add_inputs(parser)
    common.add_output(parser)
    common.add_method(parser)
    add(
        "--bands",
        nargs=2,
        metavar=("FAIL", "PASS"),
        help="add a column band: below FAIL is FAIL, from PASS on PASS, between REVIEW; scores, or percentiles as 5%%",
    )
    add("--draft", action="store_true", help="decode large JPEG crops at a reduced size: quicker, other last digits")


def run(args: argparse.Namespace) -> int:
    from difiqa_hf.processes import process_state
    from difiqa_hf.scoring import COLUMNS, in_chunks, open_output, open_share, score_chunks

    common.check_rows(args.output)
    state = process_state()  # before any network: it chooses the device of this process
    if state and "-" in args.paths:
        raise ValueError("only one process can read the list on stdin; name files, folders or quoted wildcards")
    files, complete = common.list_files(args)
    method = common.make_method(args)
    detector, card = common.make_detector(args), common.chosen_card(args, method)
    bands = common.card_bands(args.bands, card)
    columns = (*COLUMNS, "band") if bands else COLUMNS
    settings = common.run_settings(args, method)
    settings |= {"bands": bands and [bands.fail, bands.accept], "draft": args.draft}
    oblong = 0
    place = args.output, columns, args.format, settings, args.restart
    with open_share(*place, state) if state else open_output(*place) as output:
        chunks = in_chunks(common.read_sources(args, files), args.batch_size)
        if state:
            chunks = islice(chunks, state.process_index, None, state.num_processes)
        chunks = output.remaining(chunks)
        options = args.min_size, args.max_megapixels, args.batch_size, args.workers
        meaning = {"percentile": card and card.percentile, "bands": bands, "draft": args.draft}
        for chunk, rows in score_chunks(chunks, method, detector, *options, **meaning):
            output.write(chunk, rows)
            for row in rows:
                common.say_row(row)
            oblong += sum(row.status == "ok" and row.reason != "" for row in rows)
    if oblong:
        common.say(
            f"note: not square, as aligned crops are: {oblong} of the images; --detect finds faces in photographs"
        )
    if state is None or state.is_main_process:
        _summarise(output.progress, args.output)
    return 0 if complete else 1


def _summarise(progress, output: str) -> None:
    from difiqa_hf.scoring import STATUSES

    found = ", ".join(f"{progress.files[status]} {status}" for status in STATUSES if progress.files[status])
    where = "" if output == "-" else f" in {output}"
    before = f" ({progress.resumed} batches of an interrupted run were kept)" if progress.resumed else ""
    count = sum(progress.files.values())
    common.say(f"{count} images: {found or 'nothing to score'}; {progress.rows} rows{where}{before}")
