"""Frames of a video through OpenCV (extra `detect`)."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np


class VideoError(ValueError):
    """A video that cannot be opened or breaks off; the message is the reason."""


def read_frames(path: Path, frames_per_second: float | None = None) -> Iterator[tuple[int, np.ndarray]]:
    """(index, frame) of a video, index from 0, frames (height, width, 3) uint8 RGB, upright.

    Frames are counted, never sought: seeking lands elsewhere with another codec or library.

    Args:
        path: a regular file.
        frames_per_second: about so many frames of a second, evenly spaced; None for all.

    Raises:
        ImportError: without OpenCV.
        VideoError: if nothing can be read, or (after the last frame) if the file ends before its header says.
    """
    capture = _open(path)
    try:
        step = _step(capture, frames_per_second)
        declared, index = _property(capture, "FRAME_COUNT"), 0
        while capture.grab():
            if index % step == 0:
                read, frame = capture.retrieve()
                if read:
                    yield index, np.ascontiguousarray(frame[..., ::-1])  # OpenCV gives BGR
            index += 1
    finally:
        capture.release()
    if index == 0:
        raise VideoError("no frame could be decoded")
    if index < declared - max(2, 0.05 * declared):  # headers are often a little wrong
        raise VideoError(f"the video breaks off: {index} of {declared:.0f} frames could be decoded")


def _open(path: Path):
    try:
        import cv2
    except ImportError as error:
        raise ImportError("videos need OpenCV: pip install 'difiqa-hf[detect]'") from error
    # a playlist that calls itself a video must not make us fetch from the network
    os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "protocol_whitelist;file")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # what is wrong becomes a row
    try:
        capture = cv2.VideoCapture(str(path.absolute()), cv2.CAP_FFMPEG)
    except (UnicodeError, cv2.error) as error:
        raise VideoError(f"OpenCV cannot open a file of this name: {error}") from error
    if not capture.isOpened():
        raise VideoError("not a video that OpenCV can decode")
    return capture


def _property(capture, name: str) -> float:
    import cv2

    value = capture.get(getattr(cv2, f"CAP_PROP_{name}"))
    return value if np.isfinite(value) and value > 0 else 0.0


def _step(capture, frames_per_second: float | None) -> int:
    own = _property(capture, "FPS")
    if frames_per_second is None or not own:
        return 1
    return max(1, round(own / frames_per_second))
