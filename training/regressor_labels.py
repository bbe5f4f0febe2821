"""What train_regressor.py learns from: views that were labelled, whose they are, and labels that know the person."""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from images import pixels_digest, read_images
from people import left_out, person_of
from views import make_view

FORMAT = 3  # of the label rows: name, view, digest of the image's pixels, quality


@dataclass
class Faces:
    """Labelled views; and whose they are.

    Attributes:
        views: (count, 3, 112, 112) uint8, as label_dataset.py saw them; 38 KB each, all in memory.
        raw: DifFIQA scores (count,).
        names: of the image that each is a view of.
        people: the folder of each image; None for those whose identity must not be used.
        original: whether it is the image itself (count,).
        held_out: whether nothing may be learnt from it (count,).
    """

    views: Tensor
    raw: Tensor
    names: list[str]
    people: list[str | None]
    original: Tensor
    held_out: Tensor


def read_labels(folder: Path) -> list[dict]:
    """All rows of the part files, in order.

    Raises:
        ValueError: if there is none, or a part is missing.
    """
    paths = sorted(folder.glob("part-*.jsonl"))
    complete = folder / "complete.json"
    expected = json.loads(complete.read_text())["parts"] if complete.exists() else None
    if not paths or len(paths) != expected:
        raise ValueError(f"{folder} holds {len(paths)} label parts of {expected}; run label_dataset.py again")
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def read_folder(folder: Path) -> tuple[int, list[dict]]:
    """Seed of the views, and the rows of a complete label folder.

    Raises:
        ValueError: for no label folder, an incomplete or an earlier one.
    """
    described = folder / "labels_config.json"
    if not described.exists():
        raise ValueError(f"{described} is missing: --labels takes the --output_dir of label_dataset.py")
    settings = json.loads(described.read_text())
    if settings.get("format") != FORMAT:
        raise ValueError(f"{folder} was written by an earlier version; run label_dataset.py into a new folder")
    return settings["seed"], read_labels(folder)


def mean_opinion(labels: Tensor, others: list[Tensor]) -> Tensor:
    """The mean (count,) of `labels` and others' scores (count,), these first mapped to the labels' own distribution."""
    return torch.stack([labels, *(mix_in(labels, scores, 1.0) for scores in others)]).mean(0)


def read_opinions(folders: list[Path]) -> tuple[int, list[dict], Tensor]:
    """Seed of the views, rows, and scores (count,) on the first folder's scale: the mean of all folders' opinions.

    Raises:
        ValueError: for folders that do not hold the same views of the same images.
    """
    found = [read_folder(folder) for folder in folders]
    views = [[(row["name"], row["view"], row["pixels"]) for row in rows] for _, rows in found]
    for folder, (seed, _), own in zip(folders, found, views, strict=True):
        if (seed, own) != (found[0][0], views[0]):
            raise ValueError(f"{folders[0]} and {folder} do not hold the same views: label both with the same flags")
    first, *others = (torch.tensor([row["quality"] for row in rows]) for _, rows in found)
    return *found[0], mean_opinion(first, others)


def labelled_faces(args: argparse.Namespace) -> Faces:
    """Views and scores of label folders.

    Raises:
        ValueError: as `read_opinions`, or for other images than were labelled.
    """
    seed, rows, raw = read_opinions(list(map(Path, args.labels)))
    images = dict(zip(*reversed(read_images(args.data)), strict=True))
    missing = {row["name"] for row in rows} - images.keys()
    if missing:
        raise ValueError(f"{args.data} lack {len(missing)} images that {args.labels[0]} labels, such as {min(missing)}")
    changed = {row["name"] for row in rows if row["pixels"] != pixels_digest(images[row["name"]])}
    if changed:
        raise ValueError(
            f"{len(changed)} images are others than when {args.labels[0]} was made, such as {min(changed)}; label them "
            "in a new --output_dir"
        )
    views = torch.empty(len(rows), 3, 112, 112, dtype=torch.uint8)
    for k, row in enumerate(tqdm(rows, desc="views", mininterval=10)):
        views[k] = make_view(images, row["name"], row["view"], seed)
    names = [row["name"] for row in rows]
    people = list(map(person_of, names))
    unused = left_out(args.leave_out, set(people)) if args.leave_out else set()
    held_out = set().union(*(left_out(file, set(people)) for file in args.hold_out))
    return Faces(
        views,
        raw,
        names,
        [None if person in unused | held_out else person for person in people],
        torch.tensor([row["view"] == "original" for row in rows]),
        torch.tensor([person in held_out for person in people]),
    )


def mated_margins(embeddings: Tensor, faces: Faces) -> Tensor:
    """How much nearer a view is to its person than to others, (count,); NaN where nothing says so.

    The mean cosine with the other labelled originals of the person, less that with the originals of all others:
    SDD-FIQA's distance between the two distributions, where every genuine similarity is above its impostor one.

    Args:
        embeddings: (count, dim) of the views.
    """
    unit = F.normalize(embeddings.float())
    known = torch.tensor([person is not None for person in faces.people])
    person, image = _numbers(faces.people), _numbers(faces.names)
    compared = (known & faces.original).float()

    def sums(groups: Tensor) -> tuple[Tensor, Tensor]:
        """Of the originals in each row's group: the sum of embeddings (count, dim), the number (count,)."""
        of_group = unit.new_zeros(int(groups.max()) + 1, unit.shape[1]).index_add_(0, groups, compared[:, None] * unit)
        return of_group[groups], torch.zeros(len(of_group)).index_add_(0, groups, compared)[groups]

    (of_person, count_person), (of_image, count_image) = sums(person), sums(image)
    genuine = (unit * (of_person - of_image)).sum(1) / (count_person - count_image)
    impostor = (unit * (compared @ unit - of_person)).sum(1) / (compared.sum() - count_person)
    margin = genuine - impostor
    return margin.where(known & (count_person > count_image) & (compared.sum() > count_person), torch.nan)


def mix_in(labels: Tensor, margins: Tensor, share: float) -> Tensor:
    """(1 - share) labels + share margins, both (count,), the margins first mapped to the labels' own distribution.

    Where a margin is not known, the label stays.
    """
    known = margins.isfinite().nonzero().flatten()
    ranked = torch.empty(len(known), dtype=labels.dtype)
    ranked[margins[known].argsort(stable=True)] = labels[known].sort().values
    mixed = labels.clone()
    mixed[known] = torch.lerp(labels[known], ranked, share)
    return mixed


def places(scores: Tensor) -> Tensor:
    """The place of each score (count,) among all, from 0 (the lowest) to 1 (the highest); equal ones share theirs."""
    _, place, counts = scores.unique(return_inverse=True, return_counts=True)
    middle = counts.cumsum(0) - (counts + 1) / 2
    return (middle / (len(scores) - 1))[place]


def _numbers(names: list[str | None]) -> Tensor:
    """Every name by its number (count,), from 0."""
    index = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return torch.tensor([index[name] for name in names])
