"""Face detection with five points by YuNet, through OpenCV (extra `detect`)."""

import math
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

MODEL_VARIABLE = "DIFIQA_YUNET"
MODEL_REPOSITORY, MODEL_FILE = "opencv/face_detection_yunet", "face_detection_yunet_2023mar.onnx"


@dataclass(frozen=True, eq=False)
class Face:
    """A face in pixels of the image that was searched.

    Attributes:
        box: left, top, width, height; may reach beyond the image.
        points: (5, 2) left eye, right eye, nose tip, left and right mouth corner, as the viewer sees them.
        confidence: of the detector, in [0, 1].
    """

    box: tuple[float, float, float, float]
    points: np.ndarray
    confidence: float

    @property
    def size(self) -> float:
        """The shorter side of the box, in pixels."""
        return min(self.box[2:])


@dataclass(frozen=True, eq=False)
class Detection:
    """What was found in an image.

    Attributes:
        status: "ok" (one face), "no_face", "several_faces" or "too_small" (only faces below the detector's `min_size`).
        faces: largest first. With "too_small" the small ones; otherwise those that are large enough.
        reason: why the status is not "ok", in words; "" if it is.
    """

    status: str
    faces: tuple[Face, ...] = field(default=())
    reason: str = ""


class FaceDetector:
    """Finds faces; what it does not find is a value with a reason, never an exception. Threads may share one.

    Args:
        model: YuNet's ONNX file; None for what the environment variable DIFIQA_YUNET names, else
            `opencv/face_detection_yunet` on the Hub.
        score_threshold: least confidence of a face. Frontal faces have about .9, false alarms rarely more than .7.
        min_size: least shorter side of a face's box, in pixels of the image.
        max_side: larger images are scaled down to this long side for the search (not for anything else). YuNet finds
            faces between about 10 pixels and the whole of 640; for small faces in large photographs raise it.

    Raises:
        ImportError: without OpenCV.
        FileNotFoundError: if the model file does not exist.
        ValueError: for limits that have no meaning.
    """

    def __init__(
        self,
        model: str | os.PathLike | None = None,
        score_threshold: float = 0.7,
        min_size: float = 20,
        max_side: int = 640,
    ):
        if not (0 <= score_threshold <= 1 and 0 <= min_size < math.inf and 1 <= max_side < math.inf):  # NaN is none
            raise ValueError(
                "score_threshold must be in [0, 1], min_size at least 0 and max_side at least 1, "
                f"found {score_threshold}, {min_size} and {max_side}"
            )
        self.min_size, self.max_side = min_size, max_side
        self._model, self._score_threshold = _model_path(model), score_threshold
        self._own = threading.local()
        self._network()  # what is wrong with the file is found now

    def __getstate__(self) -> dict:
        """Without the networks, which OpenCV cannot hand to another process; every thread there loads its own."""
        return {name: value for name, value in vars(self).items() if name != "_own"}

    def __setstate__(self, state: dict) -> None:
        vars(self).update(state, _own=threading.local())

    def _network(self):
        """This thread's copy, 230 kB: one network takes one image size at a time."""
        if not hasattr(self._own, "network"):
            self._own.network = _load_yunet(self._model, self._score_threshold)
        return self._own.network

    def detect(self, image) -> Detection:
        """Search an upright image: PIL, or an array (height, width, 3), uint8 RGB."""
        image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
        image = image if image.mode == "RGB" else image.convert("RGB")  # which would copy
        scale = min(1.0, self.max_side / max(image.size))
        width, height = (max(1, round(side * scale)) for side in image.size)
        small = image if scale == 1 else image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=3.0)
        network = self._network()
        network.setInputSize((width, height))
        _, rows = network.detect(np.ascontiguousarray(np.asarray(small)[..., ::-1]))  # OpenCV wants BGR
        factor = np.array([image.width / width, image.height / height])
        return self._judge([_face(row, factor) for row in ([] if rows is None else rows)])

    def _judge(self, faces: list[Face]) -> Detection:
        faces = sorted(faces, key=lambda face: face.size, reverse=True)
        large = tuple(face for face in faces if face.size >= self.min_size)
        if not faces:
            return Detection("no_face", reason="no face found")
        if not large:
            reason = f"the largest face is {faces[0].size:.0f} pixels wide, at least {self.min_size:g} are needed"
            return Detection("too_small", tuple(faces), reason)
        if len(large) > 1:
            return Detection("several_faces", large, f"{len(large)} faces found")
        return Detection("ok", large)


def _face(row: np.ndarray, factor: np.ndarray) -> Face:
    """One row of YuNet's result (box, five points, confidence) -> a face in pixels of the original image."""
    places, extent = np.vstack([row[0:2], row[4:14].reshape(5, 2)]).astype(float), row[2:4] * factor
    corner, *points = (places + 0.5) * factor - 0.5  # (0, 0) is the centre of the first pixel, not its corner
    return Face((*map(float, corner), *map(float, extent)), np.array(points), float(row[14]))


def _model_path(model: str | os.PathLike | None) -> Path:
    model = model or os.environ.get(MODEL_VARIABLE)
    if model is None or model == "":
        try:
            return _from_hub()
        except Exception as error:  # offline, blocked, moved: the remedy is the same
            raise FileNotFoundError(
                f"could not get the face detector {MODEL_REPOSITORY}/{MODEL_FILE} ({type(error).__name__}); "
                f"download that file and name it by the environment variable {MODEL_VARIABLE} (in Python: model=…)"
            ) from error
    if not Path(model).is_file():
        raise FileNotFoundError(f"no face detector at {model} (argument, or environment variable {MODEL_VARIABLE})")
    return Path(model)


def _from_hub() -> Path:
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(MODEL_REPOSITORY, MODEL_FILE, local_files_only=True))
    except LocalEntryNotFoundError:
        # asked once: without a network, the download would try for half a minute
        get_hf_file_metadata(hf_hub_url(MODEL_REPOSITORY, MODEL_FILE), timeout=10)
    return Path(hf_hub_download(MODEL_REPOSITORY, MODEL_FILE))


def _load_yunet(path: Path, score_threshold: float):
    try:
        import cv2
    except ImportError as error:
        raise ImportError("face detection needs OpenCV: pip install 'difiqa-hf[detect]'") from error
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # OpenCV 5 warns about its own defaults
    try:
        return cv2.FaceDetectorYN.create(str(path), "", (320, 320), score_threshold)
    except cv2.error as error:
        raise ValueError(f"{path} is no YuNet model that OpenCV can read; fetch it again: {error}") from error
    finally:
        cv2.utils.logging.setLogLevel(level)
