"""DifFIQA per image, by procedure, batch, precision and compilation, and how its cost grows: `make bench-difiqa`.

"As released" is the authors' procedure with our network: six calls of the denoiser a copy, one of them redundant, and
every embedding anew for every repeat. CPU time on faces in memory, on a GPU the wall clock's; the quickest of several
runs counts. On a CPU each figure of memory is the peak of a process of its own; on a GPU, what torch held there.
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
from machine import (
    Operations,
    fastest,
    forget_peak,
    hardware,
    matrix_product,
    on_gpu,
    peak_memory,
    read_faces,
    versions,
)
from torch import Tensor

from difiqa_hf import DifFIQAPipeline
from difiqa_hf.diffusion import add_noise, alphas_cumprod, released_posterior
from difiqa_hf.methods import create_method
from difiqa_hf.methods.difiqa import PRESETS

CASES = {
    "as released":              {"released": True},
    "released, by this package": {"variant": "released"},
    "paper":                    {},
    "paper, bfloat16":          {"unet_dtype": "bfloat16"},
    "fast":                     PRESETS["fast"],
    "fastest":                  PRESETS["fastest"],
    "without the mirror image": {"flip": False},
    "without the noisy terms":  {"forward": False},
}  # fmt: skip
ON_CPU = {f"paper, batches of {size}": {"batch_size": size} for size in (1, 32, 128)} | {
    "paper, compiled": {"compile": True},
    "paper, bfloat16, batches of 32": {"unet_dtype": "bfloat16", "batch_size": 32},
    "paper, bfloat16, compiled, batches of 32": {"unet_dtype": "bfloat16", "batch_size": 32, "compile": True},
}
ON_GPU = {f"paper, batches of {size}": {"batch_size": size} for size in (16, 256, 1024)} | {
    "paper, TF32":                                {"tf32": True},
    "paper, TF32, batches of 1024":               {"tf32": True, "batch_size": 1024},
    "paper, bfloat16, batches of 1024":           {"unet_dtype": "bfloat16", "batch_size": 1024},
    "fast, TF32":                                 PRESETS["fast"] | {"tf32": True},
    "fast, bfloat16, batches of 1024":            PRESETS["fast"] | {"unet_dtype": "bfloat16", "batch_size": 1024},
    "paper, bfloat16, compiled, batches of 1024": {"unet_dtype": "bfloat16", "batch_size": 1024, "compile": True},
}  # fmt: skip
GROWTH = {
    "timestep": [{"timestep": t, "num_repeats": 1} for t in (1, 2, 5, 10, 20, 50)],
    "num_repeats": [{"num_repeats": n} for n in (1, 2, 5, 10)],
    "images": [{"num_repeats": 1, "images": count} for count in (1, 4, 16, 32)],
}
SIDES = (64, 112, 224)  # of the image, for the denoiser alone
REPEATS, COMPARED, SEED, PAIRS = 10, 4, 7, 3
QUICKEST = {"unet_dtype": "bfloat16", "batch_size": 32}  # with scores equal to 1e-4 and without a compiler
NEUTRAL = {"batch_size", "unet_dtype", "tf32", "compile"}  # options that should leave a score where it is


@torch.no_grad()
def as_released(pipeline: DifFIQAPipeline, faces: Tensor) -> Tensor:
    """DDIM at eta = 1 over (4, 3) … (1, 0), (0, 0), (0, -1), three images at once; nothing is used twice."""
    alpha_bar, scores = alphas_cumprod(pipeline.scheduler), []
    for part in faces.split(3):
        x = part.repeat_interleave(REPEATS, 0)
        images = torch.cat([x, x.flip(-1)])
        noisy = add_noise(images, torch.randn_like(images), torch.full((len(images),), 5), alpha_bar)
        sample = noisy
        for left, t in zip(range(5, -1, -1), (4, 3, 2, 1, 0, 0), strict=True):
            restored = pipeline.unet(sample, t).sample.clamp(-1, 1)
            mean, deviation = released_posterior(restored, sample, t, alpha_bar)
            draw = torch.randn_like(sample) if left else 0.0
            sample = mean + deviation * draw if t else sample  # (0, 0) ends where it began
        every = torch.cat([images, noisy, restored]).split(len(x))
        e_x, *others = (pipeline.recognizer(copies).embeddings for copies in every)
        cosines = torch.stack([F.cosine_similarity(e_x, other) for other in others])
        scores.append(cosines.mean(0).view(-1, REPEATS).mean(1))
    return torch.cat(scores)


def scorer(options: dict, device: str) -> Callable[[Tensor], Tensor]:
    options = dict(options)
    if "variant" in options:
        pipeline = DifFIQAPipeline.from_default(**options).to(device)
        pipeline.set_progress_bar_config(disable=True)
        pipeline.unet.to(memory_format=torch.channels_last)
        return lambda faces: pipeline(faces, num_repeats=REPEATS, seed=SEED).quality
    if not options.pop("released", False):
        return create_method("difiqa", device=device, **options)
    pipeline = DifFIQAPipeline.from_default().to(device)
    for part in (pipeline.unet, pipeline.recognizer):
        part.to(memory_format=torch.contiguous_format)
    return lambda faces: as_released(pipeline, faces.to(device))


def measure(options: dict, faces: Tensor, repeats: int, device: str) -> dict:
    """Milliseconds an image, what the first call took, the peak of memory, and how exact the scores are."""
    options = dict(options)
    faces, compared = faces[: options.pop("images", len(faces))], options.pop("compared", False)
    torch.backends.cudnn.allow_tf32 = options.pop("tf32", False)
    score = scorer(options, device)
    start = time.perf_counter()
    found = score(faces)
    first = time.perf_counter() - start
    forget_peak(device)
    _, seconds, wall = fastest(lambda: score(faces), repeats, device)
    row = {
        "ms": round(1000 * seconds / len(faces), 3),
        "wall_ms": round(1000 * wall / len(faces), 3),
        "first_call_s": round(first, 1),
        "peak_gb": round(peak_memory(device) / 1e9, 2),
        "images": len(faces),
    }
    if compared and options.keys() <= NEUTRAL | {"variant"} and not ("variant" in options and on_gpu(device)):
        expected = first_released(faces) if "variant" in options else first_scored(faces)
        row["largest_difference"] = float(f"{(found[:COMPARED] - expected).abs().max():.1e}")
    return row


def first_scored(faces: Tensor) -> Tensor:
    """Scores of the first faces by the paper's procedure on the CPU, in float32 and small batches."""
    return create_method("difiqa", batch_size=COMPARED)(faces[:COMPARED])


def first_released(faces: Tensor) -> Tensor:
    """Scores of the first faces by the procedure that the authors released, with the noise that it would see."""
    torch.manual_seed(SEED)
    return scorer({"released": True}, "cpu")(faces[: 2 * COMPARED])[:COMPARED].cpu()


def denoiser(repeats: int, device: str) -> list[dict]:
    """One call of the denoiser by the side of its image; and how near it comes to the machine's own peak."""
    unet, rows = DifFIQAPipeline.from_default().unet.to(device, memory_format=torch.channels_last), []
    count = 256 if on_gpu(device) else 8
    for dtype in (torch.float32, torch.bfloat16) if on_gpu(device) else (torch.float32,):
        peak, unet = matrix_product(device, dtype), unet.to(dtype)
        for side in SIDES:
            x = torch.randn(count, 3, side, side, device=device, dtype=dtype)
            with torch.no_grad(), Operations() as counter:
                unet(x, 4)
            with torch.no_grad():
                _, seconds, _ = fastest(lambda x=x, unet=unet: unet(x, 4), repeats + 1, device)
            rows.append(
                {
                    "side": side,
                    "precision": str(dtype).removeprefix("torch."),
                    "ms": round(1000 * seconds / count, 4),
                    "gflop": round(counter.gflop / count, 3),
                    "share_of_matrix_product": round(counter.gflop / seconds / peak, 2),
                }
            )
    return rows


def profile(released: bool, faces: Tensor, device: str) -> list[dict]:
    """Where the time goes: shares of the operations, the largest first."""
    score = scorer({"released": True} if released else {"num_repeats": REPEATS}, device)
    score(faces[:3])
    activity, time_of = torch.profiler.ProfilerActivity.CPU, "self_cpu_time_total"
    if on_gpu(device):
        activity, time_of = torch.profiler.ProfilerActivity.CUDA, "self_device_time_total"
    with torch.profiler.profile(activities=[activity]) as found:
        score(faces[:3])
    times = Counter({event.key: getattr(event, time_of) for event in found.key_averages()})
    calls = {event.key: event.count for event in found.key_averages()}
    total = sum(times.values())
    return [
        {"operation": name, "share": round(value / total, 3), "calls": calls[name]}
        for name, value in times.most_common(8)
    ]


def measure_apart(options: dict, faces: Tensor, args: argparse.Namespace) -> dict:
    """On a CPU in a process of its own, whose memory is counted; what fails, says so."""
    options = {"images": args.images} | options
    if not on_gpu(args.device):
        return in_a_process_of_its_own(options, args)
    try:
        return measure(options, faces, args.repeats, args.device)
    except Exception as error:  # one case less is better than none
        return {"failed": f"{type(error).__name__}: {error}".splitlines()[0][:200]}


def in_a_process_of_its_own(options: dict, args: argparse.Namespace) -> dict:
    command = [sys.executable, __file__, "--faces", str(args.faces), "--measure", json.dumps(options)]
    command += ["--device", args.device]
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
    parser.add_argument("--repeats", type=int, default=2, help="runs of each; the quickest counts")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1")
    parser.add_argument("--measure", type=json.loads, help="only this case, in this process")
    parser.add_argument("-o", "--output", type=Path, help="result file")
    args = parser.parse_args()
    faces = read_faces(args.faces, max(32, args.images))
    if args.measure is not None:
        print(json.dumps(measure(args.measure, faces, args.repeats, args.device)))
        return 0
    result = {
        "what": __doc__.split("\n")[0],
        "repeats_of_the_procedure": REPEATS,
        "device": args.device,
        "clock": "wall" if on_gpu(args.device) else "processor",
        "hardware": hardware(args.device),
        "threads": torch.get_num_threads(),
        "versions": versions("torch", "diffusers"),
        "cases": {},
        "growth": {},
    }
    torch.backends.cudnn.allow_tf32 = False  # but where a case says so
    result["denoiser"] = denoiser(args.repeats, args.device)
    result["profile"] = {
        "as released": profile(True, faces, args.device),
        "paper": profile(False, faces, args.device),
    }
    for name, options in (CASES | (ON_GPU if on_gpu(args.device) else ON_CPU)).items():
        result["cases"][name] = measure_apart(options | {"compared": True}, faces, args)
        print(name, result["cases"][name], file=sys.stderr, flush=True)
        args.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if not on_gpu(args.device):  # in turn: the speed of a machine changes over minutes
        plans = {"released_ms": CASES["as released"], "ms": QUICKEST}
        result["interleaved"] = [
            QUICKEST | {name: measure_apart(plan, faces, args)["ms"] for name, plan in plans.items()}
            for _ in range(PAIRS)
        ]
    for name, plans in GROWTH.items():
        result["growth"][name] = [options | measure_apart(options, faces, args) for options in plans]
        print(name, result["growth"][name], file=sys.stderr, flush=True)
    args.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
