"""Distil a small recogniser from larger ones: no identities are needed, the student learns to match embeddings.

Beside the place of every view (cosine), the student learns two things that a quality method lives on: how far an image
moves when it is mirrored or spoilt (relation), and how long its embedding is (length). With several teachers the target
is their joint embedding, reduced to its principal components. The same command continues a killed run.
"""

import argparse
import json
from pathlib import Path

import torch
import torch.nn.functional as F
from accelerate.utils import set_seed
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from difiqa_hf.diffusion import stable_seed
from difiqa_hf.models.modeling_iresnet import IResNetConfig, IResNetRecognizer
from difiqa_hf.recognizers import load_recognizer
from images import settle, to_pixel_values
from loop import check_gradient, finish_checkpoint, learning_rate, new_accelerator, resume, save_state
from start import RunStopped, count, positive, start
from views import views_and_targets

# iResNet blocks behind a strided stem, a global depthwise convolution instead of the 25,088-wide linear layer
STUDENT = dict(
    stem_stride=2, stem_width=32, layers=(2, 3, 3), widths=(40, 80, 112), head="gdc", head_width=256, embedding_size=512
)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--train_data", nargs="+", required=True, help="zips or folders of aligned 112x112 faces")
    parser.add_argument(
        "--teacher", nargs="+", required=True, help="recognisers: folders, Hub repositories or .safetensors files"
    )
    parser.add_argument("--student", help="recogniser folder to continue from; a fresh network if left out")
    parser.add_argument("--output_dir", required=True)
    parser.add_argument("--cache_dir", help="views and targets, for several runs; OUTPUT_DIR/views if left out")
    parser.add_argument(
        "--views", nargs="+", default=["original", "mirror", "varied", "varied-mirror", "morph"],
        help="two or more kinds of view, see views.py: varied2 is another draw, varied-mirror the mirror of a draw",
    )  # fmt: skip
    parser.add_argument(
        "--mirror_pairs", type=float, default=0.5,
        help="part of the pairs that are a view and its mirror image, where both are among the views",
    )  # fmt: skip
    parser.add_argument("--max_train_steps", type=positive, default=10_000)
    parser.add_argument("--train_batch_size", type=positive, default=48, help="images; each is seen as two views")
    parser.add_argument("--learning_rate", type=float, default=2e-3)
    parser.add_argument("--lr_scheduler", choices=("constant", "cosine"), default="cosine")
    parser.add_argument("--lr_warmup_steps", type=count, default=200)
    parser.add_argument("--weight_decay", type=float, default=0.02)
    parser.add_argument("--relation_weight", type=float, default=5.0)
    parser.add_argument("--length_weight", type=float, default=2.0)
    parser.add_argument("--ema_decay", type=float, default=0.998)
    parser.add_argument("--checkpointing_steps", type=positive, default=500)
    parser.add_argument("--mixed_precision", choices=("no", "bf16", "fp16"), default="no")
    parser.add_argument("--compile", action="store_true", help="torch.compile teacher and student")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(argv)


def project(targets: Tensor, size: int) -> Tensor:
    """Targets (kinds, images, size): the leading principal directions (about zero, so that cosines survive)."""
    if targets.shape[-1] <= size:
        return targets
    sample = targets.flatten(0, 1).float()
    _, vectors = torch.linalg.eigh(sample.T @ sample / len(sample))
    return (targets.float() @ vectors[:, -size:]).half()


def build_student(args: argparse.Namespace, embedding_size: int) -> IResNetRecognizer:
    """The network to train: a copy of `--student`, or a fresh one."""
    if args.student:
        student = IResNetRecognizer.from_pretrained(args.student, dtype=torch.float32)
        student.config.quality_method = None  # whatever it was
    else:
        student = IResNetRecognizer(IResNetConfig(**STUDENT | {"embedding_size": embedding_size}))
    return student.to(memory_format=torch.channels_last)


def build_optimizer(student: IResNetRecognizer, args: argparse.Namespace) -> torch.optim.Optimizer:
    """AdamW that decays matrices and kernels, not biases, slopes and BatchNorm."""
    decayed = [p for p in student.parameters() if p.ndim > 1]
    others = [p for p in student.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": args.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=args.learning_rate)


def mirror_partners(kinds: list[str]) -> Tensor:
    """(kinds,): where the mirror image of each view stands in the list, -1 where it does not."""
    mirrored = {"original": "mirror", "mirror": "original"}
    partners = [
        mirrored.get(kind, kind.removesuffix("-mirror") if kind.endswith("-mirror") else f"{kind}-mirror")
        for kind in kinds
    ]
    return torch.tensor([kinds.index(partner) if partner in kinds else -1 for partner in partners])


def choose(step: int, rank: int, images: int, args: argparse.Namespace) -> tuple[Tensor, Tensor]:
    """Which views a step sees: kinds (2, batch), two different ones an image, and images (batch,)."""
    batch, kinds = args.train_batch_size, len(args.views)
    generator = torch.Generator().manual_seed(stable_seed(args.seed, "step", step, rank))
    index = torch.randint(images, (batch,), generator=generator)
    first = torch.randint(kinds, (batch,), generator=generator)
    second = (first + 1 + torch.randint(kinds - 1, (batch,), generator=generator)) % kinds
    partner = mirror_partners(args.views)[first]
    mirrored = (torch.rand(batch, generator=generator) < args.mirror_pairs) & (partner >= 0)
    second = torch.where(mirrored, partner, second)
    return torch.stack((first, second)), index


def distillation_loss(embeddings: Tensor, targets: Tensor, typical_length: float, args: argparse.Namespace) -> dict:
    """The parts of the loss.

    Args:
        embeddings, targets: (2, batch, size): two views of every image, by student and teacher, not normalised.
        typical_length: the teacher's mean length, of which the length loss is relative.
    """
    place = 1 - F.cosine_similarity(embeddings, targets, dim=-1).mean()
    moved = F.cosine_similarity(embeddings[0], embeddings[1], dim=-1) - F.cosine_similarity(*targets, dim=-1)
    own_length = embeddings.shape[-1] ** 0.5  # the last BatchNorm sees to that
    longer = torch.log(embeddings.norm(dim=-1) / own_length) - torch.log(targets.norm(dim=-1) / typical_length)
    return {"place": place, "relation": moved.square().mean(), "length": longer.square().mean()}


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    set_seed(args.seed)
    accelerator = new_accelerator(args.mixed_precision)
    output = Path(args.output_dir)
    cache = Path(args.cache_dir or output / "views")
    cache.mkdir(parents=True, exist_ok=True)
    output.mkdir(parents=True, exist_ok=True)
    settle(output / "training_config.json", vars(args) | {"output_dir": "", "cache_dir": ""})

    # Data: every view and what the teachers say of it, in memory.
    teachers = [load_recognizer(source, device=accelerator.device) for source in args.teacher]
    views, targets = views_and_targets(
        args.train_data, args.views, teachers, cache, args.seed, accelerator.device, args.compile
    )
    del teachers
    targets = project(targets, STUDENT["embedding_size"])
    typical_length = targets[0].float().norm(dim=-1).mean().item()

    # Model, average, optimiser.
    student = build_student(args, targets.shape[-1])
    average = AveragedModel(student, multi_avg_fn=get_ema_multi_avg_fn(args.ema_decay), use_buffers=True)
    average.to(accelerator.device)
    optimizer = build_optimizer(student, args)
    if args.compile:
        student.compile()
    student, optimizer = accelerator.prepare(student, optimizer)
    accelerator.register_for_checkpointing(average)
    first = resume(accelerator, output)

    student.train()
    log = (output / "log.jsonl").open("a") if accelerator.is_main_process else None
    bar = tqdm(total=args.max_train_steps, initial=first, disable=log is None, mininterval=20)
    for step in range(first, args.max_train_steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(
                step, args.learning_rate, args.lr_warmup_steps, args.max_train_steps, args.lr_scheduler
            )
        kinds, index = choose(step, accelerator.process_index, views.shape[1], args)
        pixels = to_pixel_values(views[kinds, index].flatten(0, 1)).to(accelerator.device)
        target = targets[kinds, index].float().to(accelerator.device)
        with accelerator.autocast():
            embeddings = student(pixels.contiguous(memory_format=torch.channels_last)).embeddings
        parts = distillation_loss(embeddings.float().view_as(target), target, typical_length, args)
        loss = parts["place"] + args.relation_weight * parts["relation"] + args.length_weight * parts["length"]
        if not torch.isfinite(loss):
            raise RunStopped(f"loss is {loss.item()} at step {step}; the last checkpoint in {output} is intact")
        accelerator.backward(loss)
        check_gradient(accelerator, accelerator.clip_grad_norm_(student.parameters(), 5.0), step + 1, output)
        optimizer.step()
        optimizer.zero_grad()
        average.update_parameters(accelerator.unwrap_model(student))
        bar.update()
        if log and (step + 1) % 20 == 0:
            entry = {"step": step + 1} | {name: round(part.item(), 5) for name, part in parts.items()}
            print(json.dumps(entry), file=log, flush=True)
        if (step + 1) % args.checkpointing_steps == 0 or step + 1 == args.max_train_steps:
            marker = save_state(accelerator, output, step + 1)
            if log:
                average.module.save_pretrained(output / "recognizer")
                finish_checkpoint(output, marker)


if __name__ == "__main__":
    start(main)
