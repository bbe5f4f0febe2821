"""Extended DDPM training (Eq. 5 and 6) of DifFIQA's denoiser, launched with `accelerate launch`.

Every draw is a function of (seed, sample number), so the same command continues an interrupted run.
"""

import argparse
import json
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from diffusers import DDPMScheduler
from diffusers.training_utils import EMAModel
from torch.utils.data import DataLoader, Subset
from tqdm import tqdm

from difiqa_hf.diffusion import add_noise, alphas_cumprod, blend
from difiqa_hf.models.unet_patch import PatchUNet2DModel
from images import DiffusionSamples, read_images
from loop import finish_checkpoint, learning_rate, resume, save_state

# name -> block_out_channels, layers_per_block, patch_size             parameters, fp16 size
MODELS = {
    "toy":   dict(block_out_channels=(32, 32), layers_per_block=1, patch_size=4),           #  0.3 M
    "small": dict(block_out_channels=(32, 64, 96, 128), layers_per_block=1, patch_size=2),  #  3.5 M, 7.0 MB
    "base":  dict(block_out_channels=(64, 96, 128, 192), layers_per_block=1, patch_size=2), #  8.2 M, 16 MB
}  # fmt: skip


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--train_data", nargs="+", required=True, help="zips or folders of aligned 112x112 faces")
    parser.add_argument("--output_dir", required=True)
    parser.add_argument("--model", choices=MODELS, default="small")
    parser.add_argument("--max_train_steps", type=int, default=100_000)
    parser.add_argument("--train_batch_size", type=int, default=16)
    parser.add_argument("--learning_rate", type=float, default=8e-5)
    parser.add_argument("--lr_warmup_steps", type=int, default=0)
    parser.add_argument("--lr_scheduler", choices=("constant", "cosine"), default="constant")
    parser.add_argument("--max_grad_norm", type=float, default=1.0)
    parser.add_argument("--ema_decay", type=float, default=0.995)
    parser.add_argument("--ema_every", type=int, default=10, help="steps between EMA updates (10: as released)")
    parser.add_argument("--max_train_timestep", type=int, default=100, help="T' of the paper")
    parser.add_argument("--degradation_timesteps", type=int, default=100, help="T of Eq. 6")
    parser.add_argument("--degradation", choices=("bsrgan", "none"), default="bsrgan")
    parser.add_argument("--loss_weighting", choices=("uniform", "scale"), default="uniform",
                        help="uniform: Eq. 5; scale: every timestep's error in units of its expected size")  # fmt: skip
    parser.add_argument("--mixed_precision", choices=("no", "bf16", "fp16"), default="no")
    parser.add_argument("--dataloader_num_workers", type=int, default=1)
    parser.add_argument("--checkpointing_steps", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(argv)


def build_unet(args: argparse.Namespace) -> PatchUNet2DModel:
    """The denoiser of the preset, initialised from the seed."""
    set_seed(args.seed)
    preset = MODELS[args.model]
    blocks, patch = len(preset["block_out_channels"]), preset["patch_size"]
    return PatchUNet2DModel(
        sample_size=112 // patch,
        in_channels=3 * patch**2,
        out_channels=3 * patch**2,
        down_block_types=("DownBlock2D",) * blocks,
        up_block_types=("UpBlock2D",) * blocks,
        degradation_timesteps=args.degradation_timesteps,
        **preset,
    )


def training_loss(unet, batch: dict, alpha_bar: torch.Tensor, args: argparse.Namespace) -> torch.Tensor:
    """Eq. 5 on inputs of Eq. 6: || D(x_t, t) - x_0 ||^2, the mean over pixels and images."""
    blended = blend(batch["clean"], batch["degraded"], batch["timestep"], args.degradation_timesteps)
    noisy = add_noise(blended, batch["noise"], batch["timestep"], alpha_bar)
    error = (unet(noisy, batch["timestep"]).sample.float() - batch["clean"]) ** 2
    if args.loss_weighting == "scale":
        network = unet.module if hasattr(unet, "module") else unet
        scale = network.correction_scale(batch["timestep"]).float().view(-1, 1, 1, 1)
        error = error / scale**2
    return error.mean()


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    accelerator = Accelerator(mixed_precision=args.mixed_precision, step_scheduler_with_optimizer=False)
    output = Path(args.output_dir)
    output.mkdir(parents=True, exist_ok=True)

    # Data: sample numbers are dealt to the processes batch by batch.
    images, _ = read_images(args.train_data)
    per_step = args.train_batch_size * accelerator.num_processes
    samples = DiffusionSamples(
        images, args.max_train_steps * per_step, args.seed, args.max_train_timestep, args.degradation == "bsrgan"
    )

    # Model, EMA, optimiser.
    unet = build_unet(args)
    scheduler = DDPMScheduler(prediction_type="sample", beta_schedule="squaredcos_cap_v2")
    alpha_bar = alphas_cumprod(scheduler).to(accelerator.device)
    ema = EMAModel(unet.parameters(), decay=args.ema_decay)
    optimizer = torch.optim.Adam(unet.parameters(), lr=args.learning_rate, betas=(0.9, 0.99))
    unet, optimizer = accelerator.prepare(unet, optimizer)
    accelerator.register_for_checkpointing(ema)
    ema.to(accelerator.device)

    # Resume: the same command continues where the last complete checkpoint ends.
    first = resume(accelerator, output)
    numbers = range(first * per_step, len(samples))
    loader = accelerator.prepare(
        DataLoader(
            Subset(samples, numbers),
            batch_size=args.train_batch_size,
            num_workers=args.dataloader_num_workers,
            worker_init_fn=lambda _: torch.set_num_threads(1),
        )
    )
    log = (output / "log.jsonl").open("a") if accelerator.is_main_process else None
    bar = tqdm(total=args.max_train_steps, initial=first, disable=not accelerator.is_main_process, mininterval=10)
    unet.train()
    for step, batch in enumerate(loader, start=first):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(
                step, args.learning_rate, args.lr_warmup_steps, args.max_train_steps, args.lr_scheduler
            )
        with accelerator.autocast():
            loss = training_loss(unet, batch, alpha_bar, args)
        if not torch.isfinite(loss):
            raise RuntimeError(f"loss is {loss.item()} at step {step}; the last checkpoint in {output} is intact")
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(unet.parameters(), args.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()
        if (step + 1) % args.ema_every == 0:
            ema.step(unet.parameters())
        bar.update()
        if log and (step + 1) % 10 == 0:
            print(json.dumps({"step": step + 1, "loss": loss.item()}), file=log, flush=True)
        if (step + 1) % args.checkpointing_steps == 0 or step + 1 == args.max_train_steps:
            save(accelerator, unet, ema, scheduler, output, step + 1, args)


def save(accelerator, unet, ema: EMAModel, scheduler, output: Path, step: int, args: argparse.Namespace) -> None:
    """Write the training state and the EMA weights."""
    marker = save_state(accelerator, output, step, args.checkpointing_steps)
    if not accelerator.is_main_process:
        return
    network = accelerator.unwrap_model(unet)
    ema.store(network.parameters())
    ema.copy_to(network.parameters())
    network.save_pretrained(output / "unet")
    ema.restore(network.parameters())
    scheduler.save_pretrained(output / "scheduler")
    (output / "training_config.json").write_text(json.dumps(vars(args), indent=2) + "\n")
    finish_checkpoint(output, marker)


if __name__ == "__main__":
    main()
