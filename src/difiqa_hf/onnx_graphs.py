"""Graphs of `difiqa export`: what they say of themselves, and how onnxruntime runs them."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

KEY = "difiqa_hf"  # of the metadata; its value is a JSON object, see `export.build_graph`


class OnnxGraph:
    """A session of onnxruntime with what its file says of itself.

    Attributes:
        about: the file's metadata: kind, method, input contract, percentiles, and so on.
        sha256: of the file, 64 hex digits.
    """

    def __init__(self, path: str | Path, device: str = "cpu"):
        """Load `path` for `device`: "cpu", or "cuda" with an onnxruntime that has it.

        Raises:
            FileNotFoundError: if there is no such file.
            ImportError: without the extra `onnx`.
            ValueError: for a file that `difiqa export` did not write, or a device that onnxruntime does not have.
        """
        try:
            import onnxruntime
        except ImportError as error:
            raise ImportError("running ONNX files needs onnxruntime: pip install 'difiqa-hf[onnx]'") from error
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"no ONNX file at {path}")
        provider = "CUDAExecutionProvider" if device.startswith("cuda") else "CPUExecutionProvider"
        if provider not in onnxruntime.get_available_providers() or device.partition(":")[0] not in ("cpu", "cuda"):
            raise ValueError(
                f"this onnxruntime cannot run on {device!r}; it has {', '.join(onnxruntime.get_available_providers())}"
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=[provider])
        except Exception as error:  # onnxruntime's own exceptions have no common class of theirs
            raise ValueError(f"{path} is no ONNX file that onnxruntime can run: {error}") from error
        metadata = self._session.get_modelmeta().custom_metadata_map
        if KEY not in metadata:
            raise ValueError(f"{path} was not written by difiqa export: its metadata has no {KEY!r}")
        self.about: dict[str, Any] = json.loads(metadata[KEY])
        self.sha256 = hashlib.sha256(path.read_bytes()).hexdigest()

    def __call__(self, **inputs: Tensor) -> Tensor:
        """The only output, as a tensor on the CPU."""
        arrays = {name: np.ascontiguousarray(value.cpu().numpy()) for name, value in inputs.items()}
        return torch.from_numpy(self._session.run(None, arrays)[0])
