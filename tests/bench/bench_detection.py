"""Before the network: decoding, finding the face, aligning it, by the size of the photograph: `make bench-detection`.

The photograph is NASA's portrait of Eileen Collins (public domain, from scikit-image), resized and saved as JPEG. CPU
time, one thread.
"""

import argparse
import io
import json
import sys
from pathlib import Path

import cv2
from machine import fastest, forget_peak, hardware, peak_memory, versions
from PIL import Image

from difiqa_hf.alignment import align
from difiqa_hf.demo.versions import portrait
from difiqa_hf.detection import FaceDetector
from difiqa_hf.image_processing import FaceImageProcessor
from difiqa_hf.scoring.reading import decode

SIDES = (256, 512, 1024, 2048, 4096, 8192)


def measure(side: int, detector: FaceDetector, repeats: int) -> dict:
    """Milliseconds of each stage for one photograph of side x side pixels, and the peak of memory."""
    buffer = io.BytesIO()
    portrait().resize((side, side), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=92)
    data, processor, times = buffer.getvalue(), FaceImageProcessor(), {}
    forget_peak()

    def timed(name: str, work):
        found, cpu, _ = fastest(work, repeats)
        times[name] = round(1000 * cpu, 2)
        return found

    image = timed("decode", lambda: decode(io.BytesIO(data), 100))
    (face,) = timed("detect", lambda: detector.detect(image)).faces
    crop = timed("align", lambda: align(image, face.points))
    timed("to pixel values", lambda: processor(crop))
    return {"side": side, "jpeg_mb": round(len(data) / 1e6, 2)} | times | {"peak_gb": round(peak_memory() / 1e9, 2)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--detector", type=Path, help="YuNet's ONNX file; else as `difiqa score --detect` finds it")
    parser.add_argument("--repeats", type=int, default=10, help="that with the least CPU time counts")
    parser.add_argument("-o", "--output", type=Path, required=True, help="result file")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    machine, detector = hardware(), FaceDetector(args.detector)
    result = {
        "what": __doc__.split("\n")[0],
        "hardware": machine,
        "versions": versions("opencv-python-headless", "pillow"),
        "results": [measure(side, detector, args.repeats) for side in SIDES],
    }
    args.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
