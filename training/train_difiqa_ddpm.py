"""Extended DDPM training (Eq. 5 and 6) of DifFIQA's denoiser, launched with `accelerate launch`.

Every draw is a function of (seed, sample number), so the same command continues an interrupted run.
"""

import argparse
import json
from pathlib import Path

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.utils import DistributedType, set_seed
from diffusers.training_utils import EMAModel
from safetensors.torch import save_file
from torch import Tensor
from torch.utils.data import DataLoader, Subset
from tqdm import tqdm

from ddpm_flags import EMA_SCHEDULES, FREE, MODELS, parse_args
from difiqa_hf.degradation import degrade
from difiqa_hf.diffusion import add_noise, alphas_cumprod, blend
from difiqa_hf.models.unet_patch import DEGRADATION_STD, PatchUNet2DModel
from difiqa_hf.recognizers import embed, load_recognizer
from images import DiffusionSamples, HubImages, hold_out, read_images, settle
from loop import (
    check_gradient,
    continue_log,
    finish_checkpoint,
    last_checkpoint,
    learning_rate,
    named_write_errors,
    new_accelerator,
    publish,
    resume,
    save_state,
    what_is_left,
)
from start import RunStopped, start
from validate_ddpm import cosine_scheduler, sample_grid, validate


def configured_unet(args: argparse.Namespace) -> PatchUNet2DModel:
    """A fresh network of --model_config_name_or_path, with schedule and blend of the flags.

    Raises:
        ValueError: if it cannot cut a face into its patches, or halve its maps as often as it does.
    """
    config = PatchUNet2DModel.load_config(args.model_config_name_or_path)
    config |= {"degradation_timesteps": args.degradation_timesteps, "num_train_timesteps": args.ddpm_num_steps}
    if args.degradation == "none":
        config["degradation_std"] = 0.0
    elif not config.get("degradation_std"):  # of a training without
        config["degradation_std"] = DEGRADATION_STD
    unet = PatchUNet2DModel.from_config(config)
    patch, halvings = unet.config.patch_size, len(unet.config.block_out_channels) - 1
    if 112 % patch:
        raise ValueError(f"the patches of {args.model_config_name_or_path}, {patch} pixels, do not divide a face's 112")
    if (side := 112 // patch) % 2**halvings:
        raise ValueError(
            f"the network of {args.model_config_name_or_path} halves its maps of {side} pixels {halvings} times, which "
            "cannot be; take another one, or --model with --patch_size"
        )
    return unet


def build_unet(args: argparse.Namespace) -> PatchUNet2DModel:
    """The denoiser of the preset, initialised from the seed."""
    set_seed(args.seed)
    if args.model_config_name_or_path:
        return configured_unet(args)
    preset = MODELS[args.model] | ({"patch_size": args.patch_size} if args.patch_size else {})
    if args.degradation == "none":
        preset["degradation_std"] = 0.0
    blocks, patch = len(preset["block_out_channels"]), preset["patch_size"]
    return PatchUNet2DModel(
        sample_size=112 // patch,
        in_channels=3 * patch**2,
        out_channels=3 * patch**2,
        down_block_types=("DownBlock2D",) * blocks,
        up_block_types=("UpBlock2D",) * blocks,
        degradation_timesteps=args.degradation_timesteps,
        num_train_timesteps=args.ddpm_num_steps,
        **preset,
    )


def build_ema(unet: PatchUNet2DModel, args: argparse.Namespace) -> EMAModel:
    least = {"min_decay": args.ema_decay} if args.ema_schedule == "constant" else {}
    return EMAModel(unet.parameters(), decay=args.ema_decay, **EMA_SCHEDULES[args.ema_schedule], **least)


def training_loss(unet, batch: dict, alpha_bar: Tensor, args: argparse.Namespace, recognizer=None) -> Tensor:
    """Eq. 5 on inputs of Eq. 6: || D(x_t, t) - x_0 ||^2, the mean over pixels and images; x_t is float32."""
    blended = blend(batch["clean"], batch["degraded"], batch["timestep"], args.degradation_timesteps)
    noisy = add_noise(blended, batch["noise"], batch["timestep"], alpha_bar)
    restored = unet(noisy, batch["timestep"]).sample.float()
    error = (restored - batch["clean"]) ** 2
    if args.loss_weighting == "scale":
        network = unet.module if hasattr(unet, "module") else unet
        scale = network.correction_scale(batch["timestep"]).float().view(-1, 1, 1, 1)
        error = error / scale**2
    loss = error.mean()
    if recognizer is not None:
        with torch.no_grad():
            identity = embed(recognizer, batch["clean"])
        loss = loss + args.identity_weight * (1 - F.cosine_similarity(embed(recognizer, restored), identity).mean())
    return loss


def read_data(args: argparse.Namespace) -> tuple[Tensor | HubImages, Tensor]:
    """Images to train on and held-out ones (uint8, perhaps none)."""
    if args.dataset_name:
        images = HubImages.load(args.dataset_name, args.dataset_config_name, args.dataset_split, args.cache_dir)
    else:
        images, _ = read_images(args.train_data)
    images, held = hold_out(images, args.num_validation_images, args.seed)
    return images, read_images(args.validation_data)[0] if args.validation_data else held


def resolve(args: argparse.Namespace, accelerator: Accelerator, count: int, unet: PatchUNet2DModel) -> dict:
    """Everything that determines the run; fills in --max_train_steps and --validation_steps."""
    per_step = args.train_batch_size * args.gradient_accumulation_steps * accelerator.num_processes
    if args.num_epochs:
        args.max_train_steps = max(1, args.num_epochs * count // per_step)
    args.validation_steps = args.validation_steps or args.checkpointing_steps
    facts = {
        "num_processes": accelerator.num_processes,
        "images": count,
        "images_per_step": per_step,
        "parameters": sum(p.numel() for p in unet.parameters()),
    }
    return vars(args) | facts


def main(argv: list[str] | None = None) -> None:
    args = parse_args(__doc__, argv)
    output = Path(args.output_dir)
    accelerator = new_accelerator(
        args.mixed_precision,
        gradient_accumulation_steps=args.gradient_accumulation_steps,
        log_with=None if args.logger == "none" else args.logger,
        project_dir=output,
    )
    if args.use_ema and accelerator.distributed_type == DistributedType.FSDP:
        raise ValueError("the EMA does not follow sharded parameters; give --no-use_ema with FSDP")

    images, held_out = read_data(args)
    unet = build_unet(args)
    settings = resolve(args, accelerator, len(images), unet)
    if args.dry_run:
        accelerator.print(json.dumps(settings, indent=2, default=str))
        return
    done = last_checkpoint(output)["step"]
    if done > args.max_train_steps:
        raise RunStopped(
            f"{output} holds {done} steps, more than --max_train_steps {args.max_train_steps}; nothing done"
        )
    output.mkdir(parents=True, exist_ok=True)
    if accelerator.is_main_process:
        settle(output / "training_config.json", settings, free=FREE)
    run = Run(args, accelerator, output, unet, held_out)
    run.train(images)
    accelerator.end_training()


class Run:
    """Networks, optimiser and files of one training; `train` starts it or goes on with it."""

    def __init__(self, args: argparse.Namespace, accelerator: Accelerator, output: Path, unet, held_out: Tensor):
        self.args, self.accelerator, self.output, self.held_out = args, accelerator, output, held_out
        self.scheduler = cosine_scheduler(args.ddpm_num_steps)
        self.alpha_bar = alphas_cumprod(self.scheduler).to(accelerator.device)
        needed = args.identity_weight or len(held_out)
        self.recognizer = load_recognizer(args.recognizer, device=accelerator.device) if needed else None
        self.ema = build_ema(unet, args) if args.use_ema else None
        optimizer = torch.optim.Adam(
            unet.parameters(),
            lr=args.learning_rate,
            betas=(args.adam_beta1, args.adam_beta2),
            weight_decay=args.adam_weight_decay,
            eps=args.adam_epsilon,
        )
        self.unet, self.optimizer = accelerator.prepare(unet, optimizer)
        if self.ema:
            accelerator.register_for_checkpointing(self.ema)
            self.ema.to(accelerator.device)
        if args.logger != "none":
            accelerator.init_trackers("difiqa-ddpm", {k: str(v) for k, v in vars(args).items()})

    def batches(self, images, first: int) -> DataLoader:
        """Micro-batches from step `first` on: sample numbers are dealt to the processes batch by batch."""
        args, accelerator = self.args, self.accelerator
        per_step = args.train_batch_size * args.gradient_accumulation_steps * accelerator.num_processes
        degradation = "later" if args.degrade_on == "device" and args.degradation != "none" else args.degradation
        length = args.max_train_steps * per_step
        samples = DiffusionSamples(images, length, args.seed, args.max_train_timestep, degradation)
        loader = DataLoader(
            Subset(samples, range(first * per_step, length)),
            batch_size=args.train_batch_size,
            num_workers=args.dataloader_num_workers,
            worker_init_fn=lambda _: torch.set_num_threads(1),
        )
        return accelerator.prepare(loader)

    def train(self, images) -> None:
        args, accelerator = self.args, self.accelerator
        first = resume(accelerator, self.output)
        log = continue_log(self.output / "log.jsonl", first) if accelerator.is_main_process else None
        bar = tqdm(total=args.max_train_steps, initial=first, disable=log is None, mininterval=10)
        identity = self.recognizer if args.identity_weight else None
        step, since, losses = first, 0, torch.zeros((), device=accelerator.device)
        self.unet.train()
        for batch in self.batches(images, first):
            if "degradation_seed" in batch:
                batch["degraded"] = degrade(batch["clean"], batch["degradation_seed"].tolist())
            with accelerator.accumulate(self.unet):
                loss = training_loss(self.unet, batch, self.alpha_bar, args, identity)
                accelerator.backward(loss)
                losses, since = losses + loss.detach(), since + 1
                if accelerator.sync_gradients:
                    norm = accelerator.clip_grad_norm_(self.unet.parameters(), args.max_grad_norm)
                    self.set_learning_rate(step)
                self.optimizer.step()
                self.optimizer.zero_grad()
            if not accelerator.sync_gradients:
                continue
            step += 1
            bar.update()
            if self.ema and step % args.ema_every == 0:
                self.ema.step(self.unet.parameters())
            saving = step % args.checkpointing_steps == 0 or step == args.max_train_steps
            if step % 10 == 0 or saving:  # asking for the loss makes an accelerator wait
                mean = accelerator.reduce(losses / since, "mean").item()
                self.check(mean, step)
                check_gradient(accelerator, norm, step, self.output)
                self.report(log, step, {"loss": mean})
                since, losses = 0, torch.zeros_like(losses)
            if len(self.held_out) and (step % args.validation_steps == 0 or step == args.max_train_steps):
                self.report(log, step, self.validate(step))
            if saving:
                self.save(step)
        if args.max_train_steps == 0:
            self.save(0)

    def set_learning_rate(self, step: int) -> None:
        a = self.args
        rate = learning_rate(step, a.learning_rate, a.lr_warmup_steps, a.max_train_steps, a.lr_scheduler)
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def check(self, loss: float, step: int) -> None:
        """Stop before a broken network is saved."""
        if not torch.isfinite(torch.tensor(loss)):
            raise RunStopped(
                f"the mean loss of the steps up to {step} is {loss}; {what_is_left(self.output)}. Lower "
                "--learning_rate, or leave out --mixed_precision, in a new folder"
            )

    def report(self, log, step: int, values: dict) -> None:
        if log:
            print(json.dumps({"step": step, **values}), file=log, flush=True)
        self.accelerator.log(values, step=step)

    def averaged(self) -> "Averaged":
        return Averaged(self.ema, self.unet)

    def validate(self, step: int) -> dict:
        """Every process computes the same, so that none waits for the others in the middle of it."""
        args, device = self.args, self.accelerator.device
        with self.averaged():
            self.unet.eval()
            common = {"period": args.degradation_timesteps, "seed": args.seed, "scheduler": self.scheduler}
            values = validate(self.unet, self.held_out, self.recognizer, device, args.eval_batch_size, **common)
            grid = sample_grid(self.unet, self.held_out[:8], device, **common)
            self.unet.train()
        if self.accelerator.is_main_process:
            (self.output / "samples").mkdir(exist_ok=True)
            grid.save(self.output / "samples" / f"step-{step:07d}.png")
        return values

    def save(self, step: int) -> None:
        """Write the training state, then the averaged and the raw weights, then the marker that makes them count."""
        marker = save_state(self.accelerator, self.output, step)
        self.write_weights("unet_raw", step)
        with self.averaged():
            self.write_weights("unet", step)
        if self.accelerator.is_main_process:
            with named_write_errors(self.output, step):
                self.scheduler.save_pretrained(self.output / "scheduler")
                finish_checkpoint(self.output, marker)

    def write_weights(self, name: str, step: int) -> None:
        state = self.accelerator.get_state_dict(self.unet)  # of all processes, where they hold parts
        if self.accelerator.is_main_process:
            pending = self.output / f".{name}"
            with named_write_errors(self.output, step):
                self.accelerator.unwrap_model(self.unet).save_config(pending)
                state = {key: value.detach().cpu().contiguous() for key, value in state.items()}
                save_file(state, pending / "diffusion_pytorch_model.safetensors", metadata={"format": "pt"})
                publish(pending, self.output / name)


class Averaged:
    """While it lasts, the network has the weights of its EMA, if there is one."""

    def __init__(self, ema: EMAModel | None, unet):
        self.ema, self.unet = ema, unet

    def __enter__(self) -> None:
        if self.ema:
            self.ema.store(self.unet.parameters())
            self.ema.copy_to(self.unet.parameters())

    def __exit__(self, *_) -> None:
        if self.ema:
            self.ema.restore(self.unet.parameters())


if __name__ == "__main__":
    start(main)
