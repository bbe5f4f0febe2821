"""Images a second of d(x), ours and a straightforward per-image version, side by side on one core; JSON.

    python tests/bench/bench_degradation.py --images 200 --shared ../shared -o degradation.json

With --shared, the distribution of what comes out stands beside the released code's. Both run in turns, and processor
time is what counts, so a busy machine slows both. A GPU, where there is one, takes the whole batch at once.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from degradation_per_image import degrade_per_image
from machine import hardware, versions

from difiqa_hf.degradation import degrade

sys.path.insert(0, str(Path(__file__).parents[1]))
from degradation_distribution import against_golden

RELEASED = 0.2  # seconds an image and core, of the released code


def smooth_faces(count: int) -> np.ndarray:
    """Made-up faces (count, 112, 112, 3) uint8: the cost does not depend on what is shown."""
    coarse = np.random.default_rng(0).integers(0, 256, (count, 14, 14, 3)).astype(np.uint8)
    return np.stack([cv2.resize(image, (112, 112), interpolation=cv2.INTER_CUBIC) for image in coarse])


def seconds(work, clock=time.process_time) -> float:
    started = clock()
    work()
    return clock() - started


def measure(images: np.ndarray, turns: int) -> dict:
    """Seconds an image of both, the median over turns."""
    pixel_values = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    few = images[: max(1, len(images) // 8)]
    ours, theirs = [], []
    degrade(pixel_values[:8], range(8))
    for turn in range(turns):
        seeds = range(turn * len(images), (turn + 1) * len(images))
        ours.append(seconds(lambda seeds=seeds: degrade(pixel_values, seeds, rounds=1)) / len(images))
        rng = np.random.default_rng(turn)
        theirs.append(seconds(lambda rng=rng: [degrade_per_image(image, rng) for image in few]) / len(few))
    fast, slow = float(np.median(ours)), float(np.median(theirs))
    return {
        "seconds_an_image": round(fast, 5),
        "images_a_second": round(1 / fast, 1),
        "per_image_version_seconds": round(slow, 5),
        "times_faster": round(slow / fast, 1),
        "times_faster_than_released": round(RELEASED / fast, 1),
    }


def measure_gpu(images: np.ndarray) -> dict:
    pixel_values = (torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1).cuda()

    def work():
        degrade(pixel_values, range(len(images)), rounds=1)
        torch.cuda.synchronize()

    work()
    elapsed = seconds(work, time.perf_counter)
    return {"device": torch.cuda.get_device_name(), "images_a_second": round(len(images) / elapsed, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--shared", type=Path, help="folder with data/ and golden/")
    parser.add_argument("-o", "--output", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    images = smooth_faces(args.images)
    result = {
        "hardware": hardware(),
        "versions": versions("torch", "opencv-python-headless"),
        "images": args.images,
        "rounds": 1,
        "clock": "processor time, one thread",
        "cpu": measure(images, args.turns),
    }
    if torch.cuda.is_available():
        result["gpu"] = measure_gpu(images)
    if args.shared:
        result["distribution"] = against_golden(args.shared)
    text = json.dumps(result, indent=1)
    print(text)
    if args.output:
        args.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
