"""The flags of train_difiqa_ddpm.py and the presets that they choose from.

Those of diffusers' `train_unconditional.py` where they mean the same, and the paper's own.
"""

import argparse
import importlib.util

from start import count, positive

# name -> block_out_channels, layers_per_block, patch_size             parameters, fp16 size
MODELS = {
    "toy":   dict(block_out_channels=(32, 32), layers_per_block=1, patch_size=4),            #  0.3 M
    "small": dict(block_out_channels=(32, 64, 96, 128), layers_per_block=1, patch_size=2),   #  3.5 M, 7.0 MB
    "base":  dict(block_out_channels=(64, 96, 128, 192), layers_per_block=1, patch_size=2),  #  7.8 M, 16 MB
    "large": dict(block_out_channels=(64, 128, 160, 224), layers_per_block=1, patch_size=2), # 11.0 M, 22 MB
}  # fmt: skip

# name -> how the decay of the EMA grows to --ema_decay; "released": as ema-pytorch does, counted in updates
EMA_SCHEDULES = {
    "warmup":   dict(),                                                                      # (1 + s) / (10 + s)
    "released": dict(use_ema_warmup=True, inv_gamma=0.1, power=2 / 3, update_after_step=10), # 1 - (1 + 10 s)^(-2/3)
    "constant": dict(update_after_step=-1),                                                  # from the first update on
}  # fmt: skip

# What may change from one start to the next: the numbers stay the same, or it is the user's business.
FREE = (
    "cache_dir", "checkpointing_steps", "dataloader_num_workers", "dry_run", "eval_batch_size", "logger",
    "max_train_steps", "output_dir", "validation_data", "validation_steps",
)  # fmt: skip


def parse_args(description: str, argv: list[str] | None = None) -> argparse.Namespace:
    """All flags; contradictions end the program."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    add_data_flags(parser.add_argument_group("data"))
    add_model_flags(parser.add_argument_group("model and objective"))
    add_optimisation_flags(parser.add_argument_group("optimisation"))
    add_output_flags(parser.add_argument_group("output"))
    args = parser.parse_args(argv)
    if (args.train_data is None) == (args.dataset_name is None):
        parser.error("give --train_data or --dataset_name, one of the two")
    if args.patch_size and 112 % args.patch_size:
        parser.error(f"--patch_size {args.patch_size} does not divide the 112 pixels of a face")
    if args.patch_size and args.model_config_name_or_path:
        parser.error("the network of --model_config_name_or_path has a patch size; leave out --patch_size")
    preset = MODELS[args.model]
    halvings, side = len(preset["block_out_channels"]) - 1, 112 // (args.patch_size or preset["patch_size"])
    if side % 2**halvings and not args.model_config_name_or_path:
        parser.error(
            f"--model {args.model} halves its maps of {side} pixels {halvings} times; take a smaller --patch_size"
        )
    if args.ddpm_num_steps < 5:
        parser.error(f"DifFIQA works at t = 5, beyond --ddpm_num_steps {args.ddpm_num_steps}")
    if args.max_train_timestep > args.ddpm_num_steps:
        parser.error(f"--max_train_timestep {args.max_train_timestep} is beyond --ddpm_num_steps {args.ddpm_num_steps}")
    if args.logger != "none" and importlib.util.find_spec(args.logger) is None:
        parser.error(f"--logger {args.logger} needs a package that is not installed: pip install {args.logger}")
    return args


def add_data_flags(data) -> None:
    data.add_argument("--train_data", "--train_data_dir", nargs="+", help="zips or folders of aligned 112x112 faces")
    data.add_argument("--dataset_name", help="or a set of the Hub (or a local folder that `datasets` can load)")
    data.add_argument("--dataset_config_name")
    data.add_argument("--dataset_split", default="train")
    data.add_argument("--cache_dir", help="where `datasets` keeps what it downloads")
    data.add_argument("--dataloader_num_workers", type=count, default=1)
    data.add_argument("--degrade_on", choices=("workers", "device"), default="workers",
                      help="device: d(x) in batches on the accelerator, with noise that is not the CPU's; a tenth as "
                           "fast as 14 workers beside an H200")  # fmt: skip


def add_model_flags(model) -> None:
    model.add_argument("--model", choices=MODELS, default="small")
    model.add_argument("--model_config_name_or_path", help="instead of --model: a PatchUNet2DModel folder's config")
    model.add_argument("--patch_size", type=positive, help="pixels that become channels, instead of the model's")
    model.add_argument("--ddpm_num_steps", type=positive, default=1000, help="length of the cosine schedule")
    model.add_argument("--max_train_timestep", type=positive, default=100, help="T' of the paper")
    model.add_argument("--degradation_timesteps", type=positive, default=100, help="T of Eq. 6")
    model.add_argument("--degradation", choices=("bsrgan", "none"), default="bsrgan")
    model.add_argument("--loss_weighting", choices=("uniform", "scale"), default="uniform",
                       help="uniform: Eq. 5; scale: every timestep's error in units of its expected size")  # fmt: skip
    model.add_argument("--identity_weight", type=float, default=0.0,
                       help="not in the paper: weight of 1 - cos(e(restored), e(clean)) in the loss")  # fmt: skip
    model.add_argument("--recognizer", help="e of validation and --identity_weight; the shipped one if left out")


def add_optimisation_flags(steps) -> None:
    steps.add_argument("--max_train_steps", type=count, default=100_000, help="0: only write the untrained network")
    steps.add_argument("--num_epochs", type=positive, help="instead of --max_train_steps")
    steps.add_argument("--train_batch_size", type=positive, default=16, help="images a process and micro-step")
    steps.add_argument("--gradient_accumulation_steps", type=positive, default=1)
    steps.add_argument("--learning_rate", type=float, default=8e-5)
    steps.add_argument("--lr_warmup_steps", type=count, default=0)
    steps.add_argument("--lr_scheduler", choices=("constant", "cosine"), default="constant")
    steps.add_argument("--adam_beta1", type=float, default=0.9)
    steps.add_argument("--adam_beta2", type=float, default=0.99)
    steps.add_argument("--adam_weight_decay", type=float, default=0.0)
    steps.add_argument("--adam_epsilon", type=float, default=1e-8)
    steps.add_argument("--max_grad_norm", type=float, default=1.0)
    steps.add_argument("--use_ema", action=argparse.BooleanOptionalAction, default=True)
    steps.add_argument("--ema_decay", "--ema_max_decay", type=float, default=0.995)
    steps.add_argument("--ema_every", type=positive, default=10, help="steps between EMA updates (10: as released)")
    steps.add_argument("--ema_schedule", choices=EMA_SCHEDULES, default="warmup")
    steps.add_argument("--mixed_precision", choices=("no", "bf16", "fp16"), default="no")
    steps.add_argument("--seed", type=int, default=0)


def add_output_flags(output) -> None:
    output.add_argument("--output_dir", required=True)
    output.add_argument("--checkpointing_steps", type=positive, default=500)
    output.add_argument("--validation_data", nargs="+", help="zips or folders of faces that are not trained on")
    output.add_argument("--num_validation_images", type=count, default=0, help="or hold out so many training images")
    output.add_argument("--validation_steps", type=positive, help="--checkpointing_steps if left out")
    output.add_argument("--eval_batch_size", type=positive, default=32)
    output.add_argument("--logger", choices=("none", "tensorboard", "trackio", "wandb"), default="none")
    output.add_argument("--dry_run", action="store_true", help="print the resolved configuration and stop")
