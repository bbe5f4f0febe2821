"""Images a second of the real DDPM loop against the bare forward-backward-step on random tensors; JSON.

    python tests/bench/bench_training.py --train_data faces.zip --steps 30 -o training.json

The same network, batch, optimiser and precision; the real loop adds reading, degradation, noise, the average, the log.
Both run in turns on the same machine, by the wall clock and by the processor time of the main process, which other work
on the machine disturbs less. The loader's work hides behind the network's only if it has a core of its own.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

sys.path.insert(0, str(Path(__file__).parents[2] / "training"))
import train_difiqa_ddpm as script


def clocks() -> np.ndarray:
    """Wall clock and processor time of this process, in seconds."""
    return np.array((time.perf_counter(), time.process_time()))


def bare_step_seconds(args: argparse.Namespace, steps: int) -> np.ndarray:
    """Median seconds (wall, processor) of forward, backward and optimiser step on the same random tensors."""
    AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = Accelerator(mixed_precision=args.mixed_precision)
    unet = script.build_unet(args)
    unet, optimizer = accelerator.prepare(unet, torch.optim.Adam(unet.parameters(), lr=args.learning_rate))
    shape = (args.train_batch_size, 3, 112, 112)
    noisy, clean = (torch.randn(shape, device=accelerator.device) for _ in range(2))
    timestep = torch.randint(args.max_train_timestep, shape[:1], device=accelerator.device)
    times = []
    for _ in range(steps + 3):
        started = clocks()
        loss = ((unet(noisy, timestep).sample.float() - clean) ** 2).mean()
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(unet.parameters(), args.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()
        if accelerator.device.type == "cuda":
            torch.cuda.synchronize()
        times.append(clocks() - started)
    return np.median(times[3:], axis=0)


def real_step_seconds(flags: list[str], steps: int) -> np.ndarray:
    """Median seconds (wall, processor) from one step's end to the next in the script itself."""
    AcceleratorState._reset_state(reset_partial_state=True)
    ends, bar = [], script.tqdm

    class Clock(bar):
        def update(self, n: int = 1):
            ends.append(clocks())
            return super().update(n)

    script.tqdm = Clock
    try:
        with tempfile.TemporaryDirectory() as folder:
            length = ["--max_train_steps", str(steps + 4), "--checkpointing_steps", str(10 * steps)]
            script.main([*flags, *length, "--output_dir", folder])
    finally:
        script.tqdm = bar
    return np.median(np.diff(ends, axis=0)[3:], axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path)
    own, flags = parser.parse_known_args()
    torch.set_num_threads(own.threads)
    args = script.parse_args("", [*flags, "--output_dir", "unused"])
    bare, real = [], []
    for _ in range(own.turns):
        bare.append(bare_step_seconds(args, own.steps))
        real.append(real_step_seconds(flags, own.steps))
    best, loop = np.min(bare, axis=0), np.min(real, axis=0)
    result = {
        "model": args.model,
        "batch": args.train_batch_size,
        "mixed_precision": args.mixed_precision,
        "threads": own.threads,
        "loader_workers": args.dataloader_num_workers,
        "device": str(torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"),
        "clocks": ("wall", "processor"),
        "bare_seconds_a_step": best.round(4).tolist(),
        "loop_seconds_a_step": loop.round(4).tolist(),
        "loop_images_a_second": round(args.train_batch_size / loop[0], 2),
        "loop_speed_percent_of_bare": (100 * best / loop).round(1).tolist(),
    }
    text = json.dumps(result, indent=1)
    print(text)
    if own.output:
        own.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
