"""Publish a folder on the Hugging Face Hub: weights, code, card; or result tables; or the evaluate module."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The token is read from `hf auth login` or HF_TOKEN, never from the command line."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="of a pipeline, a network, tables, the metric")
    parser.add_argument("repo", metavar="REPO", help="user/name; created if it does not exist")
    parser.add_argument("--private", action="store_true", default=None, help="make a new repository private")
    parser.add_argument("--dry-run", action="store_true", help="say what would be uploaded, send nothing")
    parser.add_argument("--revision", metavar="BRANCH", help="branch to push to (default: main)")
    parser.add_argument("--type", choices=("model", "dataset", "space"), help="of the repository, if not to be guessed")
    parser.add_argument("--message", help="of the commit")


def run(args: argparse.Namespace) -> int:
    """Push, print what went up."""
    from difiqa_hf.hub.push import push_folder

    print(
        push_folder(
            args.folder, args.repo, private=args.private, dry_run=args.dry_run, revision=args.revision,
            repo_type=args.type, commit_message=args.message,
        )
    )  # fmt: skip
    return 0
