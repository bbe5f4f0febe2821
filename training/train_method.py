"""Train one of the methods that DifFIQA is compared with, on a backbone of your choice: the same for all of them.

The folder that holds an image is its identity. `--leave_out` names the list of training identities that stand in an
evaluation set; without it, scores on that set mean nothing.
"""

import argparse
import json
import time
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import Tensor, nn

from difiqa_hf.diffusion import stable_seed
from difiqa_hf.recognizers import embed, load_recognizer, weights_revision
from images import read_images, to_pixel_values
from method_objectives import OBJECTIVES, Batch, Margin, Objective

# preset -> optimiser, learning rate, its drops (x .1 at these fractions of the run), epochs, people x images a batch
# The first is the paper's or its code's, as far as they say (the epochs of faceqnet, pcnet, lightqnet and pfe are ours:
# they count steps, or say nothing), the second for a few thousand images on a small machine. No expected figures yet:
# none of these was trained to the end.
PRESETS = {
    "sdd-fiqa":        dict(adam=True,  lr=1e-4, decay=5e-4, drops=(1/4, 1/2),     epochs=20, people=5000, images=1),
    "sdd-fiqa-small":  dict(adam=True,  lr=5e-4, decay=0.0,  drops=(1/2, 3/4),     epochs=8,  people=64,   images=1),
    "faceqnet":        dict(adam=True,  lr=1e-3, decay=0.0,  drops=(),             epochs=20, people=128,  images=1),
    "faceqnet-small":  dict(adam=True,  lr=5e-4, decay=0.0,  drops=(1/2, 3/4),     epochs=8,  people=64,   images=1),
    "pcnet":           dict(adam=False, lr=1e-2, decay=5e-4, drops=(1/2, 3/4),     epochs=20, people=32,   images=4),
    "pcnet-small":     dict(adam=True,  lr=5e-4, decay=0.0,  drops=(1/2, 3/4),     epochs=8,  people=16,   images=4),
    "lightqnet":       dict(adam=False, lr=1e-2, decay=1e-5, drops=(1/2, 3/4),     epochs=20, people=8,    images=16),
    "lightqnet-small": dict(adam=True,  lr=5e-4, decay=0.0,  drops=(1/2, 3/4),     epochs=8,  people=16,   images=4),
    "pfe":             dict(adam=False, lr=1e-3, decay=5e-4, drops=(2/3,),         epochs=10, people=64,   images=4),
    "pfe-small":       dict(adam=True,  lr=1e-3, decay=0.0,  drops=(1/2, 3/4),     epochs=8,  people=16,   images=4),
    "cr-fiqa":         dict(adam=False, lr=1e-1, decay=5e-4, drops=(.59, .82, .94), epochs=34, people=512, images=1),
    "cr-fiqa-small":   dict(adam=True,  lr=5e-4, decay=0.0,  drops=(1/2, 3/4),     epochs=12, people=64,   images=1),
    "magface":         dict(adam=False, lr=1e-1, decay=5e-4, drops=(.4, .72, .88), epochs=25, people=512,  images=1),
    "magface-small":   dict(adam=True,  lr=5e-4, decay=0.0,  drops=(1/2, 3/4),     epochs=12, people=64,   images=1),
}  # fmt: skip


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--method", required=True, choices=OBJECTIVES)
    parser.add_argument("--preset", choices=PRESETS, help="METHOD-small if left out")
    parser.add_argument("--data", nargs="+", required=True, help="zips or folders, one folder inside for each person")
    parser.add_argument("--leave_out", type=Path, help="JSON with lists of 'SOURCE/identity' to leave out")
    parser.add_argument("--backbone", help="recogniser to start from; the shipped one if left out")
    parser.add_argument("--recognizer", help="whose embeddings make the labels; the backbone if left out")
    parser.add_argument("--output_dir", required=True, type=Path)
    parser.add_argument("--epochs", type=int, help="instead of the preset's")
    parser.add_argument("--mixed_precision", choices=("no", "bf16", "fp16"), default="no")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(argv)


def read_people(args: argparse.Namespace) -> tuple[Tensor, Tensor, list[str]]:
    """Images (count, 3, 112, 112) uint8, identities (count,) from 0, and their names; people with one image left out.

    Raises:
        ValueError: if fewer than two people remain.
    """
    images, names = read_images(args.data)
    people = [str(Path(name).parent).replace(".zip/", "/") for name in names]
    lists = json.loads(args.leave_out.read_text()).values() if args.leave_out else []
    excluded = {person for entry in lists if isinstance(entry, list) for person in entry}
    counts = {person: people.count(person) for person in set(people)}
    kept = sorted(person for person, count in counts.items() if count > 1 and person not in excluded)
    if len(kept) < 2:
        raise ValueError(f"{len(kept)} of {len(counts)} people remain (two images each, not in --leave_out); need two")
    index = {person: number for number, person in enumerate(kept)}
    rows = [i for i, person in enumerate(people) if person in index]
    print(f"{len(rows)} images of {len(kept)} people; left out {len(counts) - len(kept)} people")
    return images[rows], torch.tensor([index[people[i]] for i in rows]), kept


def batches(identities: Tensor, people: int, images: int, generator: torch.Generator) -> list[Tensor]:
    """Rows of one epoch: groups of up to `images` of a person, `people` groups a batch; the last batch is cut."""
    order = torch.randperm(len(identities), generator=generator)
    order = order[identities[order].argsort(stable=True)]
    counts = identities.bincount().tolist()
    groups = [group for own in order.split(counts) for group in own.split(images) if len(group) > 1 or images == 1]
    shuffled = [groups[i] for i in torch.randperm(len(groups), generator=generator)]
    parts = [torch.cat(shuffled[i : i + people]) for i in range(0, len(shuffled), people)]
    return parts[:-1] if len(parts) > 1 else parts


@torch.no_grad()
def embed_all(source: str | None, images: Tensor, device) -> Tensor:
    """Un-normalised embeddings (count, dim) on the CPU."""
    recognizer = load_recognizer(source, device=device)
    return torch.cat([embed(recognizer, to_pixel_values(part.to(device))).cpu() for part in images.split(64)])


def train(model, margin, objective: Objective, data: tuple[Tensor, ...], preset: dict, accelerator, args) -> None:
    """All epochs, every second face mirrored; one line of the log an epoch."""
    images, identities, targets, embeddings = data
    parameters = [p for module in (model, margin) if module for p in module.parameters() if p.requires_grad]
    settings = {"lr": preset["lr"], "weight_decay": preset["decay"]}
    optimizer = torch.optim.Adam(parameters, **settings)
    if not preset["adam"]:
        optimizer = torch.optim.SGD(parameters, momentum=0.9, **settings)
    drops = [int(drop * preset["epochs"]) for drop in preset["drops"]]
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, drops, 0.1)
    model, optimizer = accelerator.prepare(model, optimizer)
    started = time.time()
    with (args.output_dir / "log.jsonl").open("w") as log:
        for epoch in range(preset["epochs"]):
            model.train()
            generator, total = torch.Generator().manual_seed(stable_seed(args.seed, "epoch", epoch)), []
            for rows in batches(identities, preset["people"], preset["images"], generator):
                pixels = to_pixel_values(images[rows])
                mirrored = torch.rand(len(rows), generator=generator) < 0.5
                pixels[mirrored] = pixels[mirrored].flip(-1)
                parts = (pixels, identities[rows], targets[rows], embeddings[rows])
                with accelerator.autocast():
                    loss = objective.loss(model, margin, Batch(*(part.to(accelerator.device) for part in parts)))
                accelerator.backward(loss)
                nn.utils.clip_grad_norm_(parameters, 5.0)
                optimizer.step()
                optimizer.zero_grad()
                total.append(loss.item())
            schedule.step()
            mean = sum(total) / len(total)
            entry = {"epoch": epoch + 1, "loss": mean, "steps": len(total), "seconds": round(time.time() - started)}
            print(json.dumps(entry), file=log, flush=True)
            print(json.dumps(entry), flush=True)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    objective, name = OBJECTIVES[args.method], args.preset or f"{args.method}-small"
    if name.removesuffix("-small") != args.method:
        raise ValueError(f"preset {name} is not of method {args.method}")
    preset = PRESETS[name] | ({"epochs": args.epochs} if args.epochs else {})
    set_seed(args.seed)
    accelerator = Accelerator(mixed_precision=args.mixed_precision)
    args.output_dir.mkdir(parents=True, exist_ok=True)

    images, identities, people = read_people(args)
    embeddings = embed_all(args.recognizer or args.backbone, images, accelerator.device)
    targets = objective.labels(embeddings, identities, args.seed)
    backbone = load_recognizer(args.backbone)
    model = objective.build(backbone)
    margin = (
        Margin(len(people), backbone.config.embedding_size).to(accelerator.device) if objective.classifies else None
    )
    train(model, margin, objective, (images, identities, targets, embeddings), preset, accelerator, args)

    model = accelerator.unwrap_model(model).eval()
    model.save_pretrained(args.output_dir / "model")
    facts = {
        "resolved": preset,
        "num_images": len(images),
        "num_people": len(people),
        "sha256": weights_revision(model),
    }
    settings = {key: str(value) if isinstance(value, Path) else value for key, value in vars(args).items()}
    (args.output_dir / "training_config.json").write_text(json.dumps(settings | facts, indent=2) + "\n")


if __name__ == "__main__":
    main()
