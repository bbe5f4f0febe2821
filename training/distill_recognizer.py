"""Distil a small recogniser from larger ones: no identities are needed, the student learns to match embeddings.

Every image is seen as several views (moved, turned, recoloured, degraded); the teachers say once where each view lies,
the student then learns to put it there. With several teachers the target is their joint embedding: the principal
components of the concatenated unit embeddings, so that cosines are the mean of the teachers' cosines.
"""

import argparse
import json
import math
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from difiqa_hf.degradation import degrade
from difiqa_hf.diffusion import stable_seed
from difiqa_hf.models.modeling_iresnet import IResNetConfig, IResNetRecognizer
from difiqa_hf.recognizers import embed, load_recognizer
from images import read_images, to_pixel_values

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
    parser.add_argument("--views", type=int, default=4, help="views of every image; the first is the image itself")
    parser.add_argument("--epochs", type=int, default=5, help="passes over all views")
    parser.add_argument("--train_batch_size", type=int, default=64)
    parser.add_argument("--learning_rate", type=float, default=2e-3)
    parser.add_argument("--weight_decay", type=float, default=0.02)
    parser.add_argument("--mixed_precision", choices=("no", "bf16", "fp16"), default="no")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(argv)


def view(image: Tensor, seed: int) -> Tensor:
    """A random view of `image` (3, 112, 112) in [-1, 1].

    Mostly what a face detector and a camera do to a good face; now and then much worse, because a quality method lives
    on what the recogniser answers to hopeless images.
    """
    generator = torch.Generator().manual_seed(seed)
    draw = torch.rand(16, generator=generator)
    x = image.flip(-1) if draw[0] < 0.5 else image
    rough = draw[1] < 0.15
    x = _move(x, draw[2:6] * 2 - 1, degrees=40.0 if rough else 8.0, shift=0.5 if rough else 0.08)
    if draw[6] < 0.15:
        x = _cover(x, draw[7:11])
    if draw[11] < 0.4:
        x = degrade(x[None], [stable_seed(seed, "degradation")])[0]
    return _expose(x, draw[12:15] * 2 - 1, strong=bool(draw[15] < 0.15))


def _move(x: Tensor, draw: Tensor, degrees: float, shift: float) -> Tensor:
    """Similarity transform from `draw` (4,) in [-1, 1]: angle, scale (8 %), shift as a part of half the side."""
    angle, scale = math.radians(degrees) * draw[0], 1 + 0.08 * draw[1]
    cos, sin = scale * angle.cos(), scale * angle.sin()
    theta = torch.stack((torch.stack((cos, -sin, shift * draw[2])), torch.stack((sin, cos, shift * draw[3]))))
    grid = F.affine_grid(theta[None], (1, *x.shape), align_corners=False)
    return F.grid_sample(x[None], grid, mode="bilinear", padding_mode="border", align_corners=False)[0]


def _cover(x: Tensor, draw: Tensor) -> Tensor:
    """Grey over a rectangle from `draw` (4,) in [0, 1]: up to the whole width or height, from any side."""
    height, width = x.shape[-2:]
    high, wide = int(height * (0.2 + 0.8 * draw[0])), int(width * (0.2 + 0.5 * draw[1]))
    top, left = int((height - high) * draw[2].round()), int((width - wide) * draw[3].round())
    covered = x.clone()
    covered[:, top : top + high, left : left + wide] = 0.0
    return covered


def _expose(x: Tensor, draw: Tensor, strong: bool) -> Tensor:
    """Contrast and light from `draw` (3,) in [-1, 1]; `strong`: contrast down to 7 %, light from a quarter to 4x."""
    contrast = torch.exp((1.5 if strong else 0.2) * (draw[0] - (0.8 if strong else 0)))
    light = torch.exp((1.4 if strong and draw[2] > 0 else 0.2) * draw[1])
    return ((x * contrast + 1) * light - 1).clamp(-1, 1)


class Views(Dataset):
    """Number -> uint8 view (3, 112, 112); the first `len(images)` numbers are the images themselves."""

    def __init__(self, images: Tensor, views: int, seed: int):
        self.images, self.views, self.seed = images, views, seed

    def __len__(self) -> int:
        return len(self.images) * self.views

    def __getitem__(self, number: int) -> Tensor:
        turn, index = divmod(number, len(self.images))
        if turn == 0:
            return self.images[index]
        pixels = view(to_pixel_values(self.images[index]), stable_seed(self.seed, "view", turn, index))
        return ((pixels + 1) * 127.5).round().to(torch.uint8)


@torch.inference_mode()
def teacher_targets(loader: DataLoader, teachers: list, device, dtype) -> tuple[Tensor, Tensor]:
    """Views (count, 3, 112, 112) uint8; the teachers' concatenated unit embeddings (count, sum of dims) float16."""
    views, targets = [], []
    for batch in tqdm(loader, desc="teachers", mininterval=10):
        pixels = to_pixel_values(batch.to(device))
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            joint = torch.cat([F.normalize(embed(teacher, pixels), dim=1) for teacher in teachers], 1)
        views.append(batch)
        targets.append(joint.half().cpu())
    return torch.cat(views), torch.cat(targets)


def project(targets: Tensor, size: int) -> Tensor:
    """Unit targets (count, size): the leading principal directions (about zero, so that cosines survive)."""
    targets = targets.float()
    if targets.shape[1] > size:
        _, vectors = torch.linalg.eigh(targets.T @ targets / len(targets))
        targets = targets @ vectors[:, -size:]
    return F.normalize(targets, dim=1)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    set_seed(args.seed)
    accelerator = Accelerator(mixed_precision=args.mixed_precision)
    output = Path(args.output_dir)
    output.mkdir(parents=True, exist_ok=True)

    cache = output / "targets.pt"
    if not cache.exists():
        images, _ = read_images(args.train_data)
        teachers = [load_recognizer(source, device=accelerator.device) for source in args.teacher]
        dtype = {"no": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[args.mixed_precision]
        loader = DataLoader(Views(images, args.views, args.seed), batch_size=64, num_workers=1)
        torch.save(teacher_targets(loader, teachers, accelerator.device, dtype), cache)
    views, targets = torch.load(cache, weights_only=True)
    targets = project(targets, STUDENT["embedding_size"])
    student_config = STUDENT | {"embedding_size": targets.shape[1]}

    if args.student:
        student = IResNetRecognizer.from_pretrained(args.student, dtype=torch.float32)
    else:
        student = IResNetRecognizer(IResNetConfig(**student_config))
    decayed = [p for p in student.parameters() if p.ndim > 1]
    others = [p for p in student.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": args.weight_decay}, {"params": others, "weight_decay": 0.0}],
        lr=args.learning_rate,
    )
    steps = args.epochs * (len(views) // args.train_batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.learning_rate, total_steps=steps, pct_start=0.1)
    student, optimizer = accelerator.prepare(student, optimizer)
    student.train()
    started, step = time.time(), 0
    with (output / "log.jsonl").open("w") as log:
        for epoch in range(args.epochs):
            order = torch.randperm(
                len(views), generator=torch.Generator().manual_seed(stable_seed(args.seed, "epoch", epoch))
            )
            for rows in order[: len(order) // args.train_batch_size * args.train_batch_size].split(
                args.train_batch_size
            ):
                pixels, target = (
                    to_pixel_values(views[rows]).to(accelerator.device),
                    targets[rows].to(accelerator.device),
                )
                with accelerator.autocast():
                    embeddings = student(pixels).embeddings
                loss = 1 - F.cosine_similarity(embeddings.float(), target).mean()
                accelerator.backward(loss)
                accelerator.clip_grad_norm_(student.parameters(), 5.0)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
                step += 1
                if step % 50 == 0:
                    entry = {"step": step, "of": steps, "loss": loss.item(), "seconds": round(time.time() - started)}
                    print(json.dumps(entry), file=log, flush=True)
            accelerator.unwrap_model(student).save_pretrained(output / "recognizer")
    (output / "training_config.json").write_text(json.dumps({**vars(args), "student": student_config}, indent=2) + "\n")


if __name__ == "__main__":
    main()
