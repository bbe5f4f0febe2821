"""Distil DifFIQA's scores into a recogniser with a quality head: DifFIQA(R), Section 3.6."""

import argparse
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import Tensor
from tqdm import tqdm

from difiqa_hf.diffusion import stable_seed
from difiqa_hf.models.modeling_difiqa_regressor import DifFIQARegressor
from difiqa_hf.recognizers import load_recognizer
from images import read_images, to_pixel_values
from views import make_view

# recipe -> head learning rate, base learning rate, how many of the base's last parameter tensors learn, epochs, batch
RECIPES = {
    "difiqa-r":       dict(head_lr=1e-3, base_lr=1e-4, base_tensors=100,  epochs=1, batch=128),  # released: 2 M labels
    "difiqa-r-small": dict(head_lr=2e-3, base_lr=5e-4, base_tensors=None, epochs=8, batch=64),   # the shipped one
}  # fmt: skip


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--data", nargs="+", required=True, help="the zips or folders that were labelled")
    parser.add_argument("--labels", required=True, help="folder written by label_dataset.py")
    parser.add_argument("--backbone", help="recogniser to start from; the shipped one if left out")
    parser.add_argument("--output_dir", required=True)
    parser.add_argument("--recipe", choices=RECIPES, default="difiqa-r")
    parser.add_argument("--epochs", type=int, help="instead of the recipe's")
    parser.add_argument("--compile", action="store_true", help="torch.compile the network")
    parser.add_argument("--mixed_precision", choices=("no", "bf16", "fp16"), default="no")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(argv)


def read_labels(folder: Path) -> list[dict]:
    """All rows of the part files, in order.

    Raises:
        ValueError: if there is none, or a part is missing.
    """
    paths = sorted(folder.glob("part-*.jsonl"))
    numbers = [int(path.stem.split("-")[1]) for path in paths]
    if not paths or numbers != list(range(len(paths))):
        raise ValueError(
            f"{folder} holds {len(paths)} label parts, the last is {max(numbers, default=None)}; "
            "run label_dataset.py again"
        )
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def labelled_images(args: argparse.Namespace) -> tuple[Tensor, Tensor]:
    """Views (count, 3, 112, 112) as uint8 and raw DifFIQA scores (count,), as label_dataset.py saw and wrote them."""
    settings = json.loads((Path(args.labels) / "labels_config.json").read_text())
    images, names = read_images(args.data)
    images, names = images[:: settings["every"]], names[:: settings["every"]]
    if len(names) != settings["images"]:
        raise ValueError(f"{args.labels} labels {settings['images']} images, {args.data} holds {len(names)}")
    index = {name: i for i, name in enumerate(names)}
    rows = read_labels(Path(args.labels))
    views = torch.empty(len(rows), *images.shape[1:], dtype=torch.uint8)
    for k, row in enumerate(tqdm(rows, desc="views", mininterval=10)):
        views[k] = make_view(images, index[row["name"]], row["view"], settings["seed"])
    return views, torch.tensor([row["quality"] for row in rows])


def parameter_groups(model: DifFIQARegressor, recipe: dict) -> list[dict]:
    """The head, and the last tensors of the base (all, where the recipe gives no number); the rest is frozen."""
    base = list(model.backbone.parameters())
    learning = base if recipe["base_tensors"] is None else base[-recipe["base_tensors"] :]
    for parameter in base[: len(base) - len(learning)]:
        parameter.requires_grad = False
    return [
        {"params": list(model.head.parameters()), "lr": recipe["head_lr"]},
        {"params": learning, "lr": recipe["base_lr"]},
    ]


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


def train_epoch(
    model, optimizer, schedule, views: Tensor, labels: Tensor, rows: Sequence[Tensor], generator, accelerator
):
    """One pass over `rows`, every second face mirrored; returns the mean loss."""
    model.train()
    total = 0.0
    for part in rows:
        pixels = to_pixel_values(views[part])
        mirrored = torch.rand(len(part), generator=generator) < 0.5
        pixels[mirrored] = pixels[mirrored].flip(-1)
        with accelerator.autocast():
            loss = model(pixels.to(accelerator.device), labels=labels[part].to(accelerator.device)).loss
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        total += loss.item()
    return total / len(rows)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    recipe = RECIPES[args.recipe] | ({"epochs": args.epochs} if args.epochs else {})
    set_seed(args.seed)
    accelerator = Accelerator(mixed_precision=args.mixed_precision)
    output = Path(args.output_dir)
    output.mkdir(parents=True, exist_ok=True)

    # Labels: min-max over the whole set; every tenth of the sorted labels validates, as released.
    views, raw = labelled_images(args)
    low, high = raw.min().item(), raw.max().item()
    if low == high:
        raise ValueError(f"all {len(raw)} labels are {low}: nothing to learn, and no range to scale to [0, 1]")
    labels = (raw - low) / (high - low)
    held_out = torch.zeros(len(labels), dtype=torch.bool)
    held_out[labels.argsort(stable=True)[::10]] = True
    train, validation = (~held_out).nonzero().flatten(), held_out.nonzero().flatten()

    model = DifFIQARegressor.from_embedder(load_recognizer(args.backbone), label_minimum=low, label_maximum=high)
    optimizer = torch.optim.Adam(parameter_groups(model.requires_grad_(True), recipe))
    steps = recipe["epochs"] * max(1, len(train) // recipe["batch"])
    shape = (lambda step: 1.0) if recipe["epochs"] == 1 else (lambda step: (1 + math.cos(math.pi * step / steps)) / 2)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, shape)  # one epoch: constant, as released
    if args.compile:
        model.compile()
    model, optimizer = accelerator.prepare(model, optimizer)
    started = time.time()
    with (output / "log.jsonl").open("w") as log:
        for epoch in range(recipe["epochs"]):
            generator = torch.Generator().manual_seed(stable_seed(args.seed, "epoch", epoch))
            rows = batches(train, recipe["batch"], generator)
            loss = train_epoch(model, optimizer, schedule, views, labels, rows, generator, accelerator)
            predicted = predict(model, views[validation], accelerator.device)
            entry = {
                "epoch": epoch + 1,
                "loss": loss,
                "validation_l1": (predicted - labels[validation]).abs().mean().item(),
                "validation_spearman": rank_correlation(predicted.numpy(), labels[validation].numpy()),
                "seconds": round(time.time() - started),
            }
            print(json.dumps(entry), file=log, flush=True)
            print(json.dumps(entry), flush=True)
    accelerator.unwrap_model(model).save_pretrained(output / "regressor")
    (output / "training_config.json").write_text(json.dumps({**vars(args), "resolved": recipe}, indent=2) + "\n")


if __name__ == "__main__":
    main()
