"""DifFIQA per image, by procedure, batch, precision and compilation, and how its cost grows: `make bench-difiqa`.

"As released" is the authors' procedure with our network: six calls of the denoiser a copy, one of them redundant, and
every embedding anew for every repeat. CPU time on faces in memory; that with the least of several runs counts. Each
figure of memory is the peak of a process of its own.
"""

import argparse
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
import torch.utils.flop_counter
from machine import fastest, forget_peak, hardware, peak_resident, read_faces, versions
from torch import Tensor

from difiqa_hf import DifFIQAPipeline
from difiqa_hf.diffusion import add_noise, alphas_cumprod, released_posterior
from difiqa_hf.methods import create_method
from difiqa_hf.methods.difiqa import PRESETS

CASES = {
    "as released":                {"released": True},
    "paper":                      {},
    "paper, batches of 1":        {"batch_size": 1},
    "paper, batches of 32":       {"batch_size": 32},
    "paper, batches of 128":      {"batch_size": 128},
    "paper, bfloat16":            {"unet_dtype": "bfloat16"},
    "paper, compiled":            {"compile": True},
    "fast":                       PRESETS["fast"],
    "fastest":                    PRESETS["fastest"],
    "without the mirror image":   {"flip": False},
    "without the noisy terms":    {"forward": False},
}  # fmt: skip
GROWTH = {
    "timestep": [{"timestep": t, "num_repeats": 1} for t in (1, 2, 5, 10, 20, 50)],
    "num_repeats": [{"num_repeats": n} for n in (1, 2, 5, 10)],
    "images": [{"num_repeats": 1, "images": count} for count in (1, 4, 16, 32)],
}
SIDES = (64, 112, 224)  # of the image, for the denoiser alone
REPEATS = 10


@torch.no_grad()
def as_released(pipeline: DifFIQAPipeline, faces: Tensor) -> Tensor:
    """DDIM at eta = 1 over (4, 3) … (1, 0), (0, 0), (0, -1), three images at once; nothing is used twice."""
    alpha_bar, scores = alphas_cumprod(pipeline.scheduler), []
    for part in faces.split(3):
        x = part.repeat_interleave(REPEATS, 0)
        images = torch.cat([x, x.flip(-1)])
        noisy = add_noise(images, torch.randn(images.shape), torch.full((len(images),), 5), alpha_bar)
        sample = noisy
        for t in (4, 3, 2, 1, 0, 0):
            restored = pipeline.unet(sample, t).sample.clamp(-1, 1)
            mean, deviation = released_posterior(restored, sample, t, alpha_bar)
            sample = mean + deviation * torch.randn(sample.shape) if t else sample
        every = torch.cat([images, noisy, restored]).split(len(x))
        e_x, *others = (pipeline.recognizer(copies).embeddings for copies in every)
        cosines = torch.stack([F.cosine_similarity(e_x, other) for other in others])
        scores.append(cosines.mean(0).view(-1, REPEATS).mean(1))
    return torch.cat(scores)


def scorer(options: dict) -> Callable[[Tensor], Tensor]:
    options = dict(options)
    if options.pop("released", False):
        pipeline = DifFIQAPipeline.from_default()
        for part in (pipeline.unet, pipeline.recognizer):
            part.to(memory_format=torch.contiguous_format)
        return lambda faces: as_released(pipeline, faces)
    return create_method("difiqa", **options)


def measure(options: dict, faces: Tensor, repeats: int) -> dict:
    """Milliseconds an image, what the first call took, and the peak of memory."""
    options = dict(options)
    faces = faces[: options.pop("images", len(faces))]
    score = scorer(options)
    start = time.perf_counter()
    score(faces)
    first = time.perf_counter() - start
    forget_peak()
    _, cpu, seconds = fastest(lambda: score(faces), repeats)
    return {
        "cpu_ms": round(1000 * cpu / len(faces), 1),
        "wall_ms": round(1000 * seconds / len(faces), 1),
        "first_call_s": round(first, 1),
        "peak_gb": round(peak_resident() / 1e9, 2),
        "images": len(faces),
    }


def denoiser(repeats: int) -> list[dict]:
    """One call of the denoiser by the side of its image; and how near it comes to the machine's own peak."""
    unet, rows = DifFIQAPipeline.from_default().unet.to(memory_format=torch.channels_last), []
    matrix = torch.randn(1024, 1024)
    _, cpu, _ = fastest(lambda: matrix @ matrix, 20)
    peak = 2 * 1024**3 / cpu / 1e9
    for side in SIDES:
        x = torch.randn(8, 3, side, side)
        with torch.no_grad(), torch.utils.flop_counter.FlopCounterMode(display=False) as counter:
            unet(x, 4)
        with torch.no_grad():
            _, cpu, _ = fastest(lambda x=x: unet(x, 4), repeats)
        flops = counter.get_total_flops() / 1e9
        rows.append(
            {
                "side": side,
                "cpu_ms": round(1000 * cpu / 8, 2),
                "gflop": round(flops / 8, 3),
                "share_of_matrix_product": round(flops / cpu / peak, 2),
            }
        )
    return rows


def profile(released: bool, faces: Tensor) -> list[dict]:
    """Where the time goes: shares of the operations, the largest first."""
    score = scorer({"released": True} if released else {"num_repeats": REPEATS})
    score(faces[:3])
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as found:
        score(faces[:3])
    times = Counter({event.key: event.self_cpu_time_total for event in found.key_averages()})
    calls = {event.key: event.count for event in found.key_averages()}
    total = sum(times.values())
    return [
        {"operation": name, "share": round(value / total, 3), "calls": calls[name]}
        for name, value in times.most_common(8)
    ]


def in_a_process_of_its_own(options: dict, args: argparse.Namespace) -> dict:
    command = [sys.executable, __file__, "--faces", str(args.faces), "--measure", json.dumps(options)]
    done = subprocess.run(
        [*command, "--repeats", str(args.repeats), "--images", str(args.images)], capture_output=True, text=True
    )
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or [f"signal {-done.returncode}"])[-1]}
    return json.loads(done.stdout.splitlines()[-1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=Path, required=True, help="zip of aligned 112 x 112 faces")
    parser.add_argument("--images", type=int, default=6, help="for the cases with ten repeats")
    parser.add_argument("--repeats", type=int, default=2, help="runs of each; that with the least CPU time counts")
    parser.add_argument("--measure", type=json.loads, help="only this case, in this process")
    parser.add_argument("-o", "--output", type=Path, help="result file")
    args = parser.parse_args()
    faces = read_faces(args.faces, 32)
    if args.measure is not None:
        few = {"images": args.images} | args.measure
        print(json.dumps(measure(few, faces, args.repeats)))
        return 0
    machine, cases, growth = hardware(), {}, {}
    for name, options in CASES.items():
        cases[name] = in_a_process_of_its_own(options, args)
        print(name, cases[name], file=sys.stderr, flush=True)
    for name, plans in GROWTH.items():
        growth[name] = [options | in_a_process_of_its_own(options, args) for options in plans]
        print(name, growth[name], file=sys.stderr, flush=True)
    result = {
        "what": __doc__.split("\n")[0],
        "repeats_of_the_procedure": REPEATS,
        "hardware": machine,
        "threads": torch.get_num_threads(),
        "versions": versions("torch", "diffusers"),
        "cases": cases,
        "growth": growth,
        "denoiser": denoiser(args.repeats),
        "profile": {"as released": profile(True, faces), "paper": profile(False, faces)},
    }
    args.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
