"""A page in the browser: drop photographs, see faces, scores, percentiles and why, download the CSV (extra demo).

Works offline with the shipped weights, and serves this machine only unless --host says otherwise. Faces are found by
YuNet (see `difiqa score --detect`); without it the page takes aligned crops. --space writes a folder that can be pushed
as a Space: the page, this package with its weights, and requirements.txt, so that no index has to have the package.
"""

import argparse
from pathlib import Path

from difiqa_hf.cli import common
from difiqa_hf.cli.files import check_folder
from difiqa_hf.cli.numbers import whole


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--method", default="difiqa-r", metavar="NAME", help="see `difiqa methods`; NAME=FOLDER names a checkpoint")
    add("--host", default="127.0.0.1", help="address to serve; 0.0.0.0 is everybody who can reach this machine")
    add("--port", type=whole(least=1, most=65535), help="port; the first free one from 7860 on")
    add("--space", type=Path, metavar="DIR", help="only write a folder, a new one, that can be pushed as a Space")


def run(args: argparse.Namespace) -> int:
    if args.space is not None:
        from difiqa_hf.app.publish import write_space

        check_folder(args.space)
        write_space(args.space, args.method)
        common.say(f"{args.space}: hf upload USER/NAME {args.space} --repo-type space")
        return 0
    from difiqa_hf.app.page import make_page, serve

    common.say("press Ctrl-C to stop")
    serve(make_page(args.method), args.host, args.port)
    return 0
