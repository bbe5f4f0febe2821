"""Distil DifFIQA's scores into a recogniser with a quality head: DifFIQA(R), Section 3.6, and its two successors.

The same command continues a killed run at the last whole epoch.
"""

import argparse
import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from accelerate.utils import set_seed
from torch import Tensor

from difiqa_hf.diffusion import stable_seed
from difiqa_hf.methods import create_method
from difiqa_hf.models.modeling_difiqa_regressor import DifFIQARegressor
from difiqa_hf.recognizers import embed, load_recognizer
from images import settle, to_pixel_values
from loop import (
    continue_log,
    finish_checkpoint,
    named_write_errors,
    new_accelerator,
    publish,
    resume,
    save_state,
    what_is_left,
)
from regressor_labels import Faces, labelled_faces, mated_margins, mix_in, places
from regressor_recipes import RECIPES, Recipe, identity_centres, misaligned, optimised_labels, regression_loss
from start import RunStopped, positive, start


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--data", nargs="+", required=True, help="the zips or folders that were labelled")
    parser.add_argument("--labels", nargs="+", required=True, help="folders written by label_dataset.py; of several, "
                        "with other recognisers inside DifFIQA, the mean counts")  # fmt: skip
    parser.add_argument("--backbone", help="recogniser to start from; the shipped one if left out")
    parser.add_argument("--recognizer", help="whose embeddings say how near a face is to its person, for recipes that "
                        "mix this in; the backbone if left out")  # fmt: skip
    parser.add_argument("--leave_out", type=Path, help="JSON of lists of 'SOURCE/PERSON' whose identity "
                        "no recipe may use; their images are learnt from all the same, see --hold_out")  # fmt: skip
    parser.add_argument("--hold_out", type=Path, nargs="+", default=[], help="JSONs of 'SOURCE/PERSON' of whom nothing "
                        "is learnt: they are to choose between recipes, or stand in an evaluation set")  # fmt: skip
    parser.add_argument("--teachers", nargs="+", metavar="METHOD=FOLDER", help="other methods, for recipes that mix "
                        "their scores in: pcnet=runs/pcnet/model")  # fmt: skip
    parser.add_argument("--output_dir", required=True)
    parser.add_argument("--recipe", choices=RECIPES, default="difiqa-r")
    parser.add_argument("--epochs", type=positive, help="instead of the recipe's")
    parser.add_argument("--output_mapping", choices=("identity", "sigmoid"), default="identity")
    parser.add_argument("--compile", action="store_true", help="torch.compile the network")
    parser.add_argument("--mixed_precision", choices=("no", "bf16", "fp16"), default="no")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(argv)


def parameter_groups(model: DifFIQARegressor, recipe: Recipe) -> list[dict]:
    """The head, and the last tensors of the base (all, where the recipe gives no number); the rest is frozen."""
    base = list(model.backbone.parameters())
    learning = base if recipe.base_tensors is None else base[-recipe.base_tensors :]
    for parameter in base[: len(base) - len(learning)]:
        parameter.requires_grad = False
    return [
        {"params": list(model.head.parameters()), "lr": recipe.head_lr},
        {"params": learning, "lr": recipe.base_lr},
    ]


def build_optimizer(model: DifFIQARegressor, recipe: Recipe, steps: int):
    """Optimiser and learning rate: constant as released (AI-KD after a warm-up), or half a cosine."""
    head, base = parameter_groups(model, recipe)
    if recipe.sgd:
        optimizer = torch.optim.SGD([head | {"momentum": 0.9, "weight_decay": 5e-4}, base | {"momentum": 0.1}])
        shape = lambda step: min(1.0, (step + 1) / max(1, 0.15 * steps))  # noqa: E731  15 %: as released
    else:
        optimizer = torch.optim.Adam([head, base])
        shape = (lambda step: (1 + math.cos(math.pi * step / steps)) / 2) if recipe.cosine else (lambda step: 1.0)
    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, shape)


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's rho."""
    return float(np.corrcoef(np.argsort(np.argsort(a)), np.argsort(np.argsort(b)))[0, 1])


def batches(rows: Tensor, size: int, generator: torch.Generator) -> Sequence[Tensor]:
    """Shuffled batches of `rows`; an incomplete last one only if it is the only one (BatchNorm needs company)."""
    parts = rows[torch.randperm(len(rows), generator=generator)].split(size)
    return parts[:-1] if len(parts) > 1 and len(parts[-1]) < size else parts


@torch.no_grad()
def predict(model: DifFIQARegressor, views: Tensor, device) -> Tensor:
    """Qualities (count,) of uint8 views."""
    model.eval()
    return torch.cat([model(to_pixel_values(part.to(device))).quality.float().cpu() for part in views.split(128)])


@torch.no_grad()
def teacher_embeddings(recognizer, views: Tensor, device) -> Tensor:
    """What a frozen recogniser says of the aligned views, (count, dim), unit length."""
    parts = (embed(recognizer.to(device), to_pixel_values(part.to(device))) for part in views.split(128))
    return torch.cat([F.normalize(part).cpu() for part in parts])


def with_similarities(labels: Tensor, faces: Faces, recipe: Recipe, args: argparse.Namespace, device):
    """Labels (count,) with the recipe's share of how near a face is to its person; and where that is known (count,)."""
    recognizer = load_recognizer(args.recognizer or args.backbone)
    margins = mated_margins(teacher_embeddings(recognizer, faces.views, device), faces)
    known = margins.isfinite()
    print(f"{int(known.sum())} of {len(labels)} views have a person to be compared with; the others are left out")
    if not known.any():
        raise ValueError(
            "no view has another labelled image of its person and one of another person to be compared with; take a "
            "recipe without mated similarities"
        )
    return mix_in(labels, margins, recipe.mated), known


def with_others(labels: Tensor, faces: Faces, recipe: Recipe, teachers: Sequence[str], device) -> Tensor:
    """Labels (count,) with the recipe's share of other methods' mean opinion, each on the labels' own distribution."""
    opinions = []
    for teacher in teachers:
        score = create_method(teacher, device=str(device))
        scores = torch.cat([score(to_pixel_values(part)) for part in faces.views.split(128)])
        opinions.append(mix_in(labels, scores, 1.0))
    return torch.lerp(labels, torch.stack(opinions).mean(0), recipe.others)


def chosen_recipe(args: argparse.Namespace) -> Recipe:
    """The recipe of the flags.

    Raises:
        ValueError: if it asks other methods and none is named, or the other way round.
    """
    recipe = RECIPES[args.recipe]
    if recipe.others and not args.teachers:
        raise ValueError(f"recipe {args.recipe} needs other methods: name them by --teachers METHOD=FOLDER …")
    if args.teachers and not recipe.others:
        raise ValueError(f"recipe {args.recipe} asks no other method: leave out --teachers")
    return replace(recipe, epochs=args.epochs) if args.epochs else recipe


def learnt_labels(
    faces: Faces, recipe: Recipe, args: argparse.Namespace, device
) -> tuple[Tensor, Tensor, float, float]:
    """Labels (count,) in [0, 1], which of them are used (count,), and the DifFIQA scores that became 0 and 1."""
    low, high = faces.raw.min().item(), faces.raw.max().item()
    if low == high:
        raise ValueError(f"all {len(faces.raw)} labels are {low}: nothing to learn, and no range to scale to [0, 1]")
    labels = places(faces.raw) if recipe.ranks else (faces.raw - low) / (high - low)
    used = ~faces.held_out
    if recipe.mated:
        labels, known = with_similarities(labels, faces, recipe, args, device)
        used = used & known
    if recipe.others:
        labels = with_others(labels, faces, recipe, args.teachers, device)
    return labels, used, low, high


def train_epoch(model, optimizer, schedule, data: dict, rows: Sequence[Tensor], epoch: int, recipe, accelerator, args):
    """One pass over `rows`; returns the mean loss."""
    model.train()
    generator = torch.Generator().manual_seed(stable_seed(args.seed, "mirror", epoch))
    total, finite = 0.0, True
    for part in rows:
        views = data["views"][part]
        if recipe.misalign:
            own = zip(views, part.tolist(), strict=True)
            views = torch.stack([misaligned(view, recipe.misalign, args.seed, epoch, row) for view, row in own])
        pixels = to_pixel_values(views)
        if recipe.mirror:
            mirrored = torch.rand(len(part), generator=generator) < 0.5
            pixels[mirrored] = pixels[mirrored].flip(-1)
        labels, teacher, centres = (data[key][part].to(accelerator.device) for key in ("labels", "teacher", "centres"))
        with accelerator.autocast():
            output = model(pixels.to(accelerator.device))
        if recipe.identity:
            labels = optimised_labels(labels, output.embeddings, centres, recipe.identity)
        loss = regression_loss(output.quality.float(), output.embeddings, labels, teacher, recipe)
        accelerator.backward(loss)
        finite &= bool(torch.isfinite(accelerator.clip_grad_norm_(model.parameters(), 5.0))) or bool(accelerator.scaler)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        total += loss.item()
    if not (math.isfinite(total) and finite):
        raise RunStopped(
            f"the mean loss of epoch {epoch + 1}, {total / len(rows)}, or one of its gradients is not finite; "
            f"{what_is_left(Path(args.output_dir))}. Take another recipe or --mixed_precision no, in a new folder"
        )
    return total / len(rows)


def split_rows(labels: Tensor, used: Tensor) -> tuple[Tensor, Tensor]:
    """Rows to learn from and rows that validate: of those `used` (bool), every tenth of the sorted labels, as released.

    Raises:
        ValueError: if less than two are left to learn from, which BatchNorm needs.
    """
    rows = used.nonzero().flatten()
    validation = rows[labels[rows].argsort(stable=True)[::10]].sort().values
    train = rows[~torch.isin(rows, validation)]
    if len(train) < 2:
        raise ValueError(f"{len(train)} of {len(labels)} labelled views are left to learn from, need at least 2")
    return train, validation


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    recipe = chosen_recipe(args)
    set_seed(args.seed)
    accelerator = new_accelerator(args.mixed_precision)
    if accelerator.num_processes > 1:
        raise ValueError(f"this script runs in one process, found {accelerator.num_processes}: start it by python")
    output = Path(args.output_dir)
    output.mkdir(parents=True, exist_ok=True)
    settle(output / "training_config.json", vars(args) | {"resolved": asdict(recipe)}, free=("output_dir",))

    # Every tenth of the sorted labels validates, as released; another view of the same image may be learnt from.
    faces = labelled_faces(args)
    labels, used, low, high = learnt_labels(faces, recipe, args, accelerator.device)
    train, validation = split_rows(labels, used)

    backbone = load_recognizer(args.backbone)
    config = {"label_minimum": low, "label_maximum": high, "head_width": recipe.head, "quality_method": "difiqa-r"}
    model = DifFIQARegressor.from_embedder(backbone, **config, output_mapping=args.output_mapping)
    data = {"views": faces.views, "labels": labels, "teacher": torch.zeros(len(labels), 1)}
    if recipe.consistency:
        data["teacher"] = teacher_embeddings(backbone, faces.views, accelerator.device)
    data["centres"] = data["teacher"]
    if recipe.identity:
        data["centres"] = identity_centres(data["teacher"], labels, faces.people, recipe.least)

    steps = recipe.epochs * max(1, len(train) // recipe.batch)
    optimizer, schedule = build_optimizer(model.requires_grad_(True), recipe, steps)
    if args.compile:
        model.compile()
    model, optimizer = accelerator.prepare(model, optimizer)
    accelerator.register_for_checkpointing(schedule)
    first = resume(accelerator, output)
    started = time.time()
    log = continue_log(output / "log.jsonl", first, key="epoch")
    for epoch in range(first, recipe.epochs):
        generator = torch.Generator().manual_seed(stable_seed(args.seed, "epoch", epoch))
        rows = batches(train, recipe.batch, generator)
        loss = train_epoch(model, optimizer, schedule, data, rows, epoch, recipe, accelerator, args)
        predicted = predict(model, faces.views[validation], accelerator.device)
        rho = rank_correlation(predicted.numpy(), labels[validation].numpy())
        entry = {
            "epoch": epoch + 1,
            "loss": loss,
            "validation_l1": (predicted - labels[validation]).abs().mean().item(),
            "validation_spearman": rho if math.isfinite(rho) else None,  # of one image, or all alike
            "seconds": round(time.time() - started),
        }
        print(json.dumps(entry), file=log, flush=True)
        print(json.dumps(entry), flush=True)
        marker = save_state(accelerator, output, epoch + 1)
        with named_write_errors(output, epoch + 1):
            accelerator.unwrap_model(model).save_pretrained(output / "pending")
            publish(output / "pending", output / "regressor")
        finish_checkpoint(output, marker)


if __name__ == "__main__":
    start(main)
