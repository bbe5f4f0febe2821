"""Choose people of the training sets of whom a regressor learns nothing, and write benchmarks of their faces.

They are to choose between recipes, so that no evaluation set does. OUTPUT_DIR gets `people.json` for
`train_regressor.py --hold_out`, and for `difiqa evaluate --benchmark folder` their faces as they are (`clean/`) and
with every second one varied as in training, but drawn anew (`mixed/`).
"""

import argparse
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from images import read_images
from people import left_out, person_of, short_name
from start import positive, start
from views import make_view

VIEW, SEED = "varied7", 1  # another draw than label_dataset.py makes


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--data", nargs="+", required=True, help="the zips or folders that were labelled")
    parser.add_argument("--leave_out", type=Path, help="JSON of 'SOURCE/PERSON' who must not be chosen")
    parser.add_argument("--people", type=positive, nargs="+", default=[60], help="how many of each source, or of all")
    parser.add_argument("--least", type=positive, nargs="+", default=[8], help="how many images a person needs there")
    parser.add_argument("--images", type=positive, default=15, help="how many of a person at most")
    parser.add_argument("--output_dir", required=True, type=Path)
    return parser.parse_args(argv)


def by_digest(names: Sequence[str]) -> list[str]:
    """Names in an order that has nothing to do with what they say, the same everywhere."""
    return sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())


def choose(images_of: dict[str, list[str]], sources: list[str], people: list[int], least: list[int]) -> list[str]:
    """Up to `people` of every source who have at least `least` images, a number for each source or one for all.

    Raises:
        ValueError: for another number of numbers than of sources.
    """
    for name, numbers in (("--people", people), ("--least", least)):
        if len(numbers) not in (1, len(sources)):
            raise ValueError(f"{name} takes one number or one for each of the {len(sources)} sources, got {numbers}")
    chosen = []
    for k, source in enumerate(sources):
        limit, needed = people[k % len(people)], least[k % len(least)]
        own = [name for name, found in images_of.items() if name.split("/")[0] == source and len(found) >= needed]
        chosen += by_digest(own)[:limit]
    return sorted(chosen)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    images, names = read_images(args.data)
    images_of: dict[str, list[str]] = {}
    for name in names:
        images_of.setdefault(person_of(name), []).append(name)
    excluded = left_out(args.leave_out, set(images_of)) if args.leave_out else set()
    free = {person: found for person, found in images_of.items() if person not in excluded}
    sources = list(dict.fromkeys(name.split("/")[0] for name in names))
    chosen = choose(free, sources, args.people, args.least)
    if len(chosen) < 2:
        raise ValueError(f"{len(chosen)} of {len(free)} people have {args.least} images, need 2: lower --least")
    place, count = {name: k for k, name in enumerate(names)}, 0
    for person in chosen:
        folder = short_name(person).replace("/", "-")
        for name in by_digest(images_of[person])[: args.images]:
            kinds = {"clean": "original", "mixed": VIEW if count % 2 else "original"}
            for benchmark, kind in kinds.items():
                file = args.output_dir / benchmark / folder / f"{Path(name).stem}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                view = make_view(images, place[name], kind, SEED)
                Image.fromarray(view.permute(1, 2, 0).numpy()).save(file)
            count += 1
    (args.output_dir / "people.json").write_text(json.dumps({"held out": list(map(short_name, chosen))}, indent=1))
    print(f"{len(chosen)} people, {count} images")


if __name__ == "__main__":
    start(main)
