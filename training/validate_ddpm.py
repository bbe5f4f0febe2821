"""What a denoiser does to held-out faces: loss, PSNR and identity by timestep, and DifFIQA's own restoration.

Every draw is a function of (seed, image, timestep), so two denoisers are compared on the same inputs.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler
from PIL import Image
from torch import Tensor

from difiqa_hf.degradation import degrade
from difiqa_hf.devices import pick_device
from difiqa_hf.diffusion import NoiseStream, add_noise, alphas_cumprod, blend, restore, stable_seed
from difiqa_hf.recognizers import embed, load_recognizer
from images import read_images, to_pixel_values
from start import positive, start

TIMESTEPS = (0, 4, 9, 19, 49, 99)  # 0-based; DifFIQA works at 4


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--unet", help="denoiser folder; without one, the identity: what no training at all does")
    parser.add_argument("--data", nargs="+", required=True, help="zips or folders of aligned faces, not trained on")
    parser.add_argument("--every", type=positive, default=1, help="use every k-th image only")
    parser.add_argument("--recognizer", help="for the identity; the shipped one if left out")
    parser.add_argument("--degradation_timesteps", type=positive, default=100, help="T of Eq. 6 of the inputs")
    parser.add_argument("--batch_size", type=positive, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("-o", "--output", type=Path, help="JSON file; standard output without one")
    parser.add_argument("--grid", type=Path, help="PNG of clean, degraded, noisy and restored faces")
    return parser.parse_args(argv)


def psnr(images: Tensor, clean: Tensor) -> Tensor:
    """Peak signal-to-noise ratio (batch,) in dB of [-1, 1] images."""
    error = (images.clamp(-1, 1) - clean).square().mean((1, 2, 3)) / 4
    return -10 * torch.log10(error.clamp_min(1e-10))


def noise_like(clean: Tensor, seed: int, first: int, *parts) -> NoiseStream:
    """Noise that belongs to the images (numbered from `first`) and to `parts`."""
    seeds = [stable_seed(seed, "validation", first + i, *parts) for i in range(len(clean))]
    return NoiseStream(seeds, clean.shape[1:], clean.device)


def denoiser(unet) -> Callable[[Tensor, int], Tensor]:
    """(x_t, t) -> x_0 by a diffusers UNet; the identity for None."""
    if unet is None:
        return lambda x, t: x
    return lambda x, t: unet(x, torch.full((len(x),), t, device=x.device)).sample.float()


def at_timestep(denoise, clean: Tensor, degraded: Tensor, noise: Tensor, t: int, alpha_bar: Tensor, period: int):
    """Network input x_t of Eq. 6 and 2, and the network's answer; both (batch, 3, height, width)."""
    timestep = torch.full((len(clean),), t, device=clean.device)
    noisy = add_noise(blend(clean, degraded, timestep, period), noise, timestep, alpha_bar)
    return noisy, denoise(noisy, t)


def cosine_scheduler(num_steps: int = 1000) -> DDPMScheduler:
    """The paper's schedule for a network that predicts x_0; `num_steps` is its length."""
    return DDPMScheduler(num_steps, beta_schedule="squaredcos_cap_v2", prediction_type="sample")


@torch.no_grad()
def validate(
    unet, images: Tensor, recognizer, device, batch_size: int = 32, period: int = 100, seed: int = 0, scheduler=None
) -> dict:
    """Means over uint8 images (count, 3, 112, 112).

    Args:
        unet: called as a diffusers UNet; None for the identity.
        recognizer: None leaves the identity out.
        period: T of Eq. 6.
        scheduler: that of the training, `cosine_scheduler()` if left out; timesteps beyond it are left out.

    Returns:
        "loss/t", "psnr_input/t", "psnr_restored/t", "cosine_input/t", "cosine_restored/t" for 0-based t in `TIMESTEPS`
        (input: x_t, restored: one call of the network); "cosine_degraded", and "cosine_restored_clean" and
        "cosine_restored_degraded": the image after five steps forward (Eq. 2) and five back (Eq. 3), as DifFIQA does.
        Cosines are those to the embedding of the clean image.
    """
    alpha_bar = alphas_cumprod(scheduler or cosine_scheduler())
    denoise = denoiser(unet)
    rows: dict[str, list[Tensor]] = {}

    def note(name: str, values: Tensor) -> None:
        rows.setdefault(name, []).append(values.float().cpu())

    for first in range(0, len(images), batch_size):
        clean = to_pixel_values(images[first : first + batch_size]).to(device)
        seeds = [stable_seed(seed, "validation degradation", first + i) for i in range(len(clean))]
        degraded = degrade(clean.cpu(), seeds).to(device)
        identity = None if recognizer is None else embed(recognizer, clean)

        def cosine(x: Tensor, identity: Tensor | None = identity) -> Tensor:
            return F.cosine_similarity(identity, embed(recognizer, x.clamp(-1, 1)))

        for t in (t for t in TIMESTEPS if t < len(alpha_bar)):
            noise = noise_like(clean, seed, first, t)()
            noisy, restored = at_timestep(denoise, clean, degraded, noise, t, alpha_bar, period)
            note(f"loss/{t}", (restored - clean).square().mean((1, 2, 3)))
            for name, x in (("input", noisy), ("restored", restored)):
                note(f"psnr_{name}/{t}", psnr(x, clean))
                if identity is not None:
                    note(f"cosine_{name}/{t}", cosine(x))
        if identity is not None:
            note("cosine_degraded", cosine(degraded))
            for name, x in (("clean", clean), ("degraded", degraded)):
                draw = noise_like(clean, seed, first, name)
                noisy = add_noise(x, draw(), torch.full((len(x),), 4, device=x.device), alpha_bar)
                note(f"cosine_restored_{name}", cosine(restore(denoise, noisy, range(4, -1, -1), alpha_bar, draw)))
    return {name: round(torch.cat(values).mean().item(), 6) for name, values in rows.items()}


@torch.no_grad()
def sample_grid(
    unet, images: Tensor, device, period: int = 100, seed: int = 0, scheduler=None, timestep: int = 49
) -> Image.Image:
    """A row for each uint8 image (count, 3, 112, 112): clean, degraded, noisy at `timestep`, restored."""
    alpha_bar = alphas_cumprod(scheduler or cosine_scheduler())
    timestep = min(timestep, len(alpha_bar) - 1)
    denoise = denoiser(unet)
    clean = to_pixel_values(images).to(device)
    seeds = [stable_seed(seed, "validation degradation", i) for i in range(len(clean))]
    degraded = degrade(clean.cpu(), seeds).to(device)
    noise = noise_like(clean, seed, 0, timestep)()
    columns = (clean, degraded, *at_timestep(denoise, clean, degraded, noise, timestep, alpha_bar, period))
    grid = torch.cat([torch.cat(list(column), 1) for column in columns], 2)
    return Image.fromarray(((grid.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).cpu().numpy())


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    device, scheduler = pick_device(args.device), cosine_scheduler()
    for place in filter(None, (args.output, args.grid)):
        place.parent.mkdir(parents=True, exist_ok=True)
    images = read_images(args.data)[0][:: args.every]
    unet = None
    if args.unet:
        from difiqa_hf.models.unet_patch import PatchUNet2DModel

        unet = PatchUNet2DModel.from_pretrained(args.unet).to(device).eval()
        scheduler = cosine_scheduler(unet.config.num_train_timesteps)
        if len(scheduler.betas) < 5:
            raise ValueError(f"DifFIQA works at t = 5, {args.unet} knows {len(scheduler.betas)} timesteps")
    recognizer = load_recognizer(args.recognizer, device=device)
    common = {"period": args.degradation_timesteps, "seed": args.seed, "scheduler": scheduler}
    measured = validate(unet, images, recognizer, device, args.batch_size, **common)
    text = json.dumps({"unet": args.unet or "identity", "images": len(images), **measured}, indent=1)
    if args.output:
        args.output.write_text(text + "\n")
    else:
        print(text)
    if args.grid:
        sample_grid(unet, images[:8], device, **common).save(args.grid)


if __name__ == "__main__":
    start(main)
