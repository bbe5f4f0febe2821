"""Train one of the methods that DifFIQA is compared with, on a backbone of your choice: the same for all of them.

The folder that holds an image is its identity. `--leave_out` names the training identities that stand in an evaluation
set; without it, scores on that set mean nothing. The same command continues an interrupted run.
"""

import argparse
import inspect
import json
import time
from pathlib import Path
from typing import TextIO

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from huggingface_hub.errors import StrictDataclassError
from torch import Tensor

from difiqa_hf.diffusion import stable_seed
from difiqa_hf.recognizers import load_recognizer, weights_revision
from images import settle, to_pixel_values
from loop import (
    check_gradient,
    continue_log,
    finish_checkpoint,
    learning_rate,
    new_accelerator,
    resume,
    save_state,
    what_is_left,
)
from method_objectives import OBJECTIVES, Objective, Run
from people import batches, read_people
from start import RunStopped, positive, start

REMEDY = "Take the method's other preset or other --options, or leave out --mixed_precision, in a new folder"

# preset -> optimiser, peak learning rate, weight decay, drops of the rate (x .1 at these fractions of the run; none: a
# cosine with warm-up), epochs, people x images a batch, options of the objective
# The first is the paper's or its code's, as far as they say; ours are the epochs of faceqnet, pcnet, lightqnet and pfe
# (they count steps, or say nothing), pcnet's rate and decay, faceqgen but for pix2pix's rate, and torch's betas and eps
# for Adam (SDD-FIQA: .9, .99, 1e-6; pix2pix: .5). The second is for 12,000 images and minutes on one core.
PRESETS = {
    "sdd-fiqa":        dict(adam=True,  lr=1e-4, decay=5e-4, drops=(1/4, 1/2),      epochs=20, people=5000, images=1),
    "sdd-fiqa-small":  dict(adam=True,  lr=5e-4, decay=0.0,  drops=None,            epochs=2,  people=64,   images=1),
    "faceqnet":        dict(adam=True,  lr=1e-3, decay=0.0,  drops=(),              epochs=20, people=128,  images=1),
    "faceqnet-small":  dict(adam=True,  lr=1e-3, decay=0.0,  drops=None,            epochs=20, people=128,  images=1),
    "faceqgen":        dict(adam=True,  lr=2e-4, decay=0.0,  drops=None,            epochs=20, people=16,   images=1),
    "faceqgen-small":  dict(adam=True,  lr=1e-3, decay=0.0,  drops=None,            epochs=2,  people=16,   images=1,
                            options=dict(widths=(16, 32, 64, 128), discriminator_widths=(16, 32, 64))),
    "pcnet":           dict(adam=False, lr=1e-2, decay=5e-4, drops=(1/2, 3/4),      epochs=20, people=32,   images=4),
    "pcnet-small":     dict(adam=True,  lr=5e-4, decay=0.0,  drops=None,            epochs=2,  people=16,   images=4),
    "lightqnet":       dict(adam=False, lr=1e-2, decay=1e-5, drops=(1/2, 3/4),      epochs=20, people=8,    images=16),
    "lightqnet-small": dict(adam=True,  lr=2e-3, decay=1e-5, drops=None,            epochs=3,  people=16,   images=4,
                            options=dict(width="dm050")),
    "pfe":             dict(adam=False, lr=1e-3, decay=5e-4, drops=(2/3,),          epochs=10, people=64,   images=4),
    "pfe-small":       dict(adam=True,  lr=1e-3, decay=0.0,  drops=None,            epochs=20, people=16,   images=4),
    "cr-fiqa":         dict(adam=False, lr=1e-1, decay=5e-4, drops=(.59, .82, .94), epochs=34, people=512,  images=1),
    "cr-fiqa-small":   dict(adam=True,  lr=5e-4, decay=0.0,  drops=None,            epochs=3,  people=64,   images=1),
    "magface":         dict(adam=False, lr=1e-1, decay=5e-4, drops=(.4, .72, .88),  epochs=25, people=512,  images=1),
    "magface-small":   dict(adam=True,  lr=5e-4, decay=0.0,  drops=None,            epochs=3,  people=64,   images=1),
}  # fmt: skip
LOG_EVERY = 20


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--method", required=True, choices=OBJECTIVES)
    parser.add_argument("--preset", choices=PRESETS, help="METHOD-small if left out")
    parser.add_argument("--data", nargs="+", required=True, help="zips or folders, one folder inside for each person")
    parser.add_argument("--leave_out", type=Path, help="JSON with lists of 'SOURCE/PERSON' to leave out")
    parser.add_argument("--backbone", help="recogniser to start from; the shipped one if left out")
    parser.add_argument("--recognizer", help="whose embeddings make the labels; the backbone if left out")
    parser.add_argument("--output_dir", required=True, type=Path)
    parser.add_argument("--cache_dir", type=Path, help="what frozen networks say of the images, for several methods; "
                        "OUTPUT_DIR/cache if left out")  # fmt: skip
    parser.add_argument("--epochs", type=positive, help="instead of the preset's")
    parser.add_argument("--options", type=json_object, default={}, metavar="JSON",
                        help="of the objective, see method_objectives.py: '{\"distillation\": 20}'")  # fmt: skip
    parser.add_argument("--max_train_steps", type=positive, help="stop earlier, for a try; the schedule stays")
    parser.add_argument("--checkpointing_steps", type=positive, default=100)
    parser.add_argument("--mixed_precision", choices=("no", "bf16", "fp16"), default="no")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(argv)


def json_object(text: str) -> dict:
    """The value of --options."""
    value = json.loads(text)  # argparse says what a ValueError means
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f'must be an object such as {{"distillation": 20}}, found {text}')
    return value


def resolve(args: argparse.Namespace) -> dict:
    """The preset with what the command line replaces."""
    name = args.preset or f"{args.method}-small"
    if name.removesuffix("-small") != args.method:
        raise ValueError(f"preset {name} is not of method {args.method}")
    preset = PRESETS[name] | ({"epochs": args.epochs} if args.epochs else {})
    return preset | {"options": preset.get("options", {}) | args.options}


def rate(preset: dict, step: int, total: int) -> float:
    """Learning rate of a step."""
    if preset["drops"] is None:
        return learning_rate(step, preset["lr"], total // 20, total)
    return preset["lr"] * 0.1 ** sum(step >= drop * total for drop in preset["drops"])


def build(run: Run, method: str, options: dict) -> Objective:
    """The objective with its options.

    Raises:
        ValueError: for those that it does not have, or of another type than they have there.
    """
    parameters = inspect.signature(OBJECTIVES[method]).parameters
    for name, value in options.items():
        kind = parameters[name].annotation if name in parameters else None
        fitting = (int, float) if kind is float else kind
        if kind in (bool, float, str) and (not isinstance(value, fitting) or isinstance(value, bool) != (kind is bool)):
            raise ValueError(f"{method} takes a {kind.__name__} as {name}, found {value!r}; see method_objectives.py")
    try:
        return OBJECTIVES[method](run, **options).to(memory_format=torch.channels_last)
    except (TypeError, KeyError, StrictDataclassError) as error:
        said = " ".join(str(error).split())  # a line, whatever it was
        raise ValueError(f"{method} does not take {options}: {said}; see method_objectives.py") from error


def build_optimizer(objective: Objective, preset: dict) -> torch.optim.Optimizer:
    parameters = [parameter for parameter in objective.train().parameters() if parameter.requires_grad]
    settings = {"lr": preset["lr"], "weight_decay": preset["decay"]}
    if preset["adam"]:
        return torch.optim.Adam(parameters, **settings)
    return torch.optim.SGD(parameters, momentum=0.9, **settings)


def make_batch(run: Run, columns: dict[str, Tensor], rows: Tensor, seed: int, device) -> dict[str, Tensor]:
    """Pixels, every second face mirrored, and all else that an objective gets of these rows."""
    pixels = to_pixel_values(run.people.images[rows])
    mirrored = torch.rand(len(rows), generator=torch.Generator().manual_seed(seed)) < 0.5
    pixels[mirrored] = pixels[mirrored].flip(-1)
    batch = {name: column[rows] for name, column in columns.items()}
    batch |= {"pixel_values": pixels.contiguous(memory_format=torch.channels_last), "mirrored": mirrored}
    return {name: value.to(device) for name, value in (batch | {"identities": run.people.identities[rows]}).items()}


def learn(objective: Objective, optimizer, batch: dict[str, Tensor], accelerator: Accelerator, step: int, output: Path):
    """One step; returns the loss before it, a float."""
    with accelerator.autocast():
        loss = objective(batch)
    if not torch.isfinite(loss):
        raise RunStopped(f"the loss of step {step} is {loss.item()}; {what_is_left(output)}. {REMEDY}")
    accelerator.backward(loss)
    check_gradient(accelerator, accelerator.clip_grad_norm_(objective.parameters(), 5.0), step, output, REMEDY)
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


def train(objective: Objective, run: Run, preset: dict, accelerator: Accelerator, args: argparse.Namespace) -> int:
    """From the last checkpoint to the end; returns the number of steps done."""
    columns, share = objective.columns, (accelerator.process_index, accelerator.num_processes)

    def epoch_rows(epoch: int) -> list[Tensor]:
        generator = torch.Generator().manual_seed(stable_seed(args.seed, "epoch", epoch))
        return batches(run.people.identities, preset["people"], preset["images"], generator, *share)

    per_epoch = len(epoch_rows(0))
    total = preset["epochs"] * per_epoch
    last = min(total, args.max_train_steps or total)
    objective, optimizer = accelerator.prepare(objective, build_optimizer(objective, preset))
    first, losses = resume(accelerator, args.output_dir), []
    log = continue_log(args.output_dir / "log.jsonl", first) if accelerator.is_main_process else None
    before = read_log(args.output_dir)[-1:] if log else []
    started = time.perf_counter() - sum(line["seconds"] for line in before)
    worked = time.process_time() - sum(line["cpu_seconds"] for line in before)
    objective.train()
    for done in range(first + 1, last + 1):
        epoch, index = divmod(done - 1, per_epoch)
        if index == 0 or done == first + 1:
            rows = epoch_rows(epoch)
        for group in optimizer.param_groups:
            group["lr"] = rate(preset, done - 1, total)
        seed = stable_seed(args.seed, "mirrored", done - 1, share[0])
        batch = make_batch(run, columns, rows[index], seed, accelerator.device)
        losses.append(learn(objective, optimizer, batch, accelerator, done, args.output_dir))
        if log and (done % LOG_EVERY == 0 or done in (per_epoch, last)):
            report(log, {
                "step": done,
                "of": total,
                "loss": sum(losses) / len(losses),
                "seconds": round(time.perf_counter() - started, 1),  # of all starts, up to their last lines
                "cpu_seconds": round(time.process_time() - worked, 1),
            })  # fmt: skip
            losses = []
        if done % args.checkpointing_steps == 0 or done == last:
            marker = save_state(accelerator, args.output_dir, done)
            if accelerator.is_main_process:
                finish_checkpoint(args.output_dir, marker)
    return max(first, last)


def report(log: TextIO, entry: dict) -> None:
    """A line of the log, on the screen too."""
    print(json.dumps(entry), file=log, flush=True)
    print(json.dumps(entry), flush=True)


def read_log(output: Path) -> list[dict]:
    """The first and the last line of the log, if any: losses, and how long it took."""
    lines = (output / "log.jsonl").read_text().splitlines()
    return [json.loads(line) for line in (*lines[:1], *lines[-1:])]


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    preset = resolve(args)
    set_seed(args.seed)
    accelerator = new_accelerator(args.mixed_precision)
    args.output_dir.mkdir(parents=True, exist_ok=True)
    places = ("output_dir", "cache_dir", "max_train_steps", "checkpointing_steps")
    settings = {key: value for key, value in vars(args).items() if key not in places}
    settings |= {"resolved": preset, "num_processes": accelerator.num_processes}

    with accelerator.main_process_first():  # the others read what it wrote
        settle(args.output_dir / "training_config.json", settings)
        people = read_people(args.data, args.leave_out)
        backbone = load_recognizer(args.backbone, device=accelerator.device)
        recognizer = load_recognizer(args.recognizer, device=accelerator.device) if args.recognizer else backbone
        revisions = {"backbone": weights_revision(backbone), "recognizer": weights_revision(recognizer)}  # as they come
        run = Run(people, backbone, recognizer, args.cache_dir or args.output_dir / "cache", args.seed)
        objective = build(run, args.method, preset["options"])
    steps = train(objective, run, preset, accelerator, args)

    if accelerator.is_main_process:
        network = objective.network.eval()
        network.config.quality_method = args.method  # so that no other takes it for its own
        network.save_pretrained(args.output_dir / "model")
        facts = {"method": args.method, "recipe": preset, "mixed_precision": args.mixed_precision, "seed": args.seed,
                 "num_processes": accelerator.num_processes, "data": [Path(source).name for source in args.data],
                 "num_images": len(people.images), "num_people": len(people.names), "steps": steps,
                 "revisions": revisions | {"network": weights_revision(network)},
                 "log": read_log(args.output_dir)}  # fmt: skip
        (args.output_dir / "result.json").write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    start(main)
