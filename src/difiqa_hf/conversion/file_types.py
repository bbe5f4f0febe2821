"""What a file is, by its first bytes: so that messages can say what was found in place of a checkpoint."""

import re
import zipfile
from pathlib import Path

# name -> (what to call it, what to do about it)
TYPES = {
    "torch": ("a file of torch.save", "`difiqa convert --help` lists the kinds for such files"),
    "safetensors": ("a safetensors file", "`difiqa convert --help` lists the kinds for such files"),
    "onnx": ("an ONNX model", "the kind insightface-onnx converts InsightFace's recognisers"),
    "graph": ("a frozen TensorFlow graph", "the kind lightqnet converts those of LightQNet"),
    "pickle": ("a plain pickle", "the kind quality-labels converts pickled scores"),
    "empty": ("empty (0 bytes)", "fetch it again"),
    "torn": ("an archive without its end", "the download or copy is incomplete, fetch it again"),
    "script": ("a TorchScript program", "where it came from, save the state_dict() of the model by torch.save instead"),
    "archive": ("an archive", "unpack it first and name the checkpoint in it"),
    "web page": ("a web page", "the download stopped at the site's own page, fetch the file in a browser"),
    "lfs": ("a Git LFS pointer, not the file itself", "fetch it with git lfs pull"),
    "picture": ("a picture", "name the checkpoint; pictures are for `difiqa score`"),
    "numpy": ("a numpy array", "name the authors' checkpoint"),
    "hdf5": ("an HDF5 file (Keras)", "the kind faceqnet converts those of FaceQnet"),
    "text": ("a text file", "name the authors' checkpoint"),
}

# first bytes -> name in TYPES; the first that fits counts
SIGNATURES = (
    (rb"version https://git-lfs", "lfs"),
    (rb"\s*<", "web page"),
    (rb"\x89PNG|\xff\xd8\xff|GIF8|BM|RIFF....WEBP", "picture"),
    (rb"\x93NUMPY", "numpy"),
    (rb"\x89HDF", "hdf5"),
    (rb"Rar!|7z\xbc\xaf|\x1f\x8b|BZh|\xfd7zXZ", "archive"),
    (rb"\x80.\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19", "torch"),  # before torch 1.6: a pickle of a number
    (rb"\x80[\x02-\x05]|\([dl]p\d|[\]}]q", "pickle"),  # the last two: protocols 0 and 1
    (rb".{6}\0\0\{", "safetensors"),  # the length of the header in 8 bytes, then the header
    (rb"\x08[\x01-\x20][\x12\x1a\x22\x28\x32\x3a\x42]", "onnx"),  # the version of the format, then another field
    (rb"\n.{1,3}\n.[ -~]+\x12", "graph"),  # a node, its name, its operation
)


def file_type(path: Path) -> str | None:
    """A name in `TYPES`, None for bytes that say nothing."""
    with path.open("rb") as file:
        start = file.read(256)
    if not start:
        return "empty"
    if start.startswith(b"PK\x03\x04"):
        return _zip_type(path)
    # a graph may begin as a web page does: a new line, then a node of 60 bytes, which is "<"
    signatures = SIGNATURES if not re.match(SIGNATURES[-1][0], start, re.S) else SIGNATURES[-1:]
    for pattern, name in signatures:
        if re.match(pattern, start, re.S):
            return name
    return "text" if re.fullmatch(rb"[\t\n\r -~]+", start) else None


def _zip_type(path: Path) -> str:
    if not zipfile.is_zipfile(path):
        return "torn"
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if not any(name.endswith("/data.pkl") for name in names):
        return "archive"
    return "script" if any("/code/" in name for name in names) else "torch"


def check_type(path: Path, *wanted: str) -> None:
    """Refuse a file that is known to be of another type than the `wanted` names; what says nothing passes.

    Raises:
        ValueError: with what it is and what to do.
    """
    found = file_type(path)
    if found is not None and found not in wanted:
        what, remedy = TYPES[found]
        expected = " or ".join(TYPES[name][0] for name in wanted)
        raise ValueError(f"{path} is {what}, not {expected}: {remedy}")
