"""Faces of people: who is on which image, batches by person, what a frozen recogniser says of them (kept on disk)."""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import tqdm
from transformers import PreTrainedModel

from difiqa_hf.recognizers import recognizer_fingerprint
from images import read_images, to_pixel_values


@dataclass(frozen=True)
class People:
    """Images (count, 3, 112, 112) uint8, identities (count,) from 0, and the name of each identity."""

    images: Tensor
    identities: Tensor
    names: list[str]


def read_people(sources: list[str], leave_out: Path | None = None) -> People:
    """Everybody with at least two images; the folder that holds an image is its person.

    Args:
        sources: zips or folders.
        leave_out: JSON whose values are lists, or dictionaries with keys, of "SOURCE/PERSON", SOURCE being the name of
            a zip or folder without its suffix and PERSON that of the innermost folder; values of other kinds say
            something else.

    Raises:
        ValueError: if nobody of `leave_out` is there, which means that it names people in another way; or if fewer than
            two people remain.
    """
    images, names = read_images(sources)
    people = list(map(person_of, names))
    excluded = left_out(leave_out, set(people)) if leave_out else set()
    counts = Counter(people)
    kept = sorted(person for person, count in counts.items() if count > 1 and person not in excluded)
    if len(kept) < 2:
        raise ValueError(f"{len(kept)} of {len(counts)} people remain (two images each, not in --leave_out); need two")
    index = {person: number for number, person in enumerate(kept)}
    rows = [i for i, person in enumerate(people) if person in index]
    print(
        f"{len(rows)} images of {len(kept)} people; left out {len(excluded)} people of --leave_out, "
        f"{len(counts) - len(kept) - len(excluded)} with one image"
    )
    return People(images[rows], torch.tensor([index[people[i]] for i in rows]), kept)


def left_out(leave_out: Path, people: set[str]) -> set[str]:
    """Those of `people` (paths in their sources) that the file lists, see `read_people`."""
    content = json.loads(leave_out.read_text())
    if not isinstance(content, dict):
        raise ValueError(f"{leave_out} must be a JSON object of lists, found a {type(content).__name__}")
    values = content.values()
    listed = {person for value in values if isinstance(value, list | dict) for person in value}
    short = {person: short_name(person) for person in people}
    excluded = {person for person in people if short[person] in listed}
    if not excluded:
        raise ValueError(
            f"none of the {len(listed)} people in {leave_out} ({min(listed, default='none listed')}, …) is among the "
            f"{len(people)} in the data ({min(short.values())}, …); drop --leave_out if that is right"
        )
    return excluded


def person_of(image: str) -> str:
    """Whose image it is: the folder that holds it."""
    return str(Path(image).parent)


def short_name(person: str) -> str:
    """'SOURCE/PERSON' of a person's path in a source."""
    return f"{Path(Path(person).parts[0]).stem}/{Path(person).name}"


def batches(
    identities: Tensor, people: int, images: int, generator: torch.Generator, rank: int = 0, processes: int = 1
) -> list[Tensor]:
    """Rows of one epoch: groups of up to `images` of a person, `people` groups a batch; an incomplete last batch goes.

    The number of batches does not depend on the draw. Of several processes each gets its share of a batch's groups.

    Raises:
        ValueError: if a process would get fewer than two groups of a batch.
    """
    order = torch.randperm(len(identities), generator=generator)
    order = order[identities[order].argsort(stable=True)]
    counts = identities.bincount().tolist()
    groups = [group for own in order.split(counts) for group in own.split(images) if len(group) > 1 or images == 1]
    shuffled = [groups[i] for i in torch.randperm(len(groups), generator=generator)]
    parts = [shuffled[i : i + people] for i in range(0, len(shuffled), people)]
    parts = parts[:-1] if len(parts) > 1 and len(parts[-1]) < people else parts
    if len(parts[0]) < 2 * processes:
        raise ValueError(
            f"{processes} processes share batches of {len(parts[0])} people, two each are needed; use fewer processes"
        )
    return [torch.cat(part[rank::processes]) for part in parts]


@torch.no_grad()
def features(recognizer: PreTrainedModel, images: Tensor, cache_dir: Path) -> Tensor:
    """What the last linear layer of a frozen `recognizer` sees of uint8 images, (count, features), from disk if there.

    The file is named by weights, configuration and images: whatever changes, nothing stale is read.
    """
    content = hashlib.sha256(images.contiguous().numpy().data).hexdigest()[:12]
    path = cache_dir / f"features-{recognizer_fingerprint(recognizer)}-{content}.safetensors"
    if not path.exists():
        cache_dir.mkdir(parents=True, exist_ok=True)
        recognizer = recognizer.eval().to(memory_format=torch.channels_last)
        parts = tqdm(images.split(64), desc=f"{type(recognizer).__name__} of {len(images)} images", mininterval=10)
        found = [recognizer.forward_features(_pixels(part, recognizer)).float().cpu() for part in parts]
        pending = path.with_suffix(".tmp")
        save_file({"features": torch.cat(found)}, pending)
        pending.replace(path)
    return load_file(path)["features"]


def _pixels(images: Tensor, recognizer: PreTrainedModel) -> Tensor:
    return to_pixel_values(images.to(recognizer.device)).contiguous(memory_format=torch.channels_last)
