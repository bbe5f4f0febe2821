"""From a repository or a folder to a folder that may be loaded: safetensors and JSON, whole, and what they claim."""

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from huggingface_hub import HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from safetensors import SafetensorError, safe_open

PICKLES = (".bin", ".ckpt", ".h5", ".joblib", ".msgpack", ".npy", ".npz", ".pickle", ".pkl", ".pt", ".pth")
COMPONENTS = ("unet", "scheduler", "recognizer", "image_processor")
HUB_OPTIONS = ("revision", "cache_dir", "token", "local_files_only", "force_download")
KNOWN = ("DifFIQAPipeline", "DDPMPipeline", "DDIMPipeline")
CARD = "README.md"
ATTEMPTS = 3


def fetch_pipeline(source: str | Path, skip: Iterable[str] = (), variant: str | None = None, **options) -> Path:
    """The folder of a pipeline, with the components that its index names, checked as in `fetch`.

    Args:
        source: folder or repository.
        skip: components that are not needed, and not downloaded.
        variant: of the weight files, for example "fp16"; components without it come in their plain files.
        options: `HUB_OPTIONS`, as in huggingface_hub.

    Raises:
        ValueError: if it is no pipeline, or one of another kind; and as `fetch`.
    """
    if (folder := local_folder(source)) is not None:
        index = folder / "model_index.json"
    else:
        try:
            index = _patiently(hf_hub_download, str(source), "model_index.json", **_given(options))
            _check_hash(index)
            options["revision"] = index.parent.name  # the commit: all files of one
        except EntryNotFoundError:
            index = Path("absent")
    if not index.is_file():
        raise ValueError(f"{source} holds no pipeline: there is no model_index.json; a network loads by AutoModel")
    content = read_json(index)
    name = content.get("_class_name")
    name = name[-1] if isinstance(name, list) and name else name
    if name not in KNOWN:
        raise ValueError(f"{source} holds a {name}; DifFIQA needs one of {', '.join(KNOWN)} that predicts x0")
    parts = [part for part in COMPONENTS if part not in skip and _names_class(content.get(part), part, source)]
    return fetch(source, parts, variant, **options)


def fetch(
    source: str | Path,
    parts: Iterable[str] = ("",),
    variant: str | None = None,
    *,
    names: Iterable[str] = ("*.json", "*.safetensors"),
    repo_type: str = "model",
    **options,
) -> Path:
    """A local folder with the configurations and weights of `parts`, from the cache or downloaded. Runs no code.

    Args:
        source: folder or repository.
        parts: subfolders; "" is the folder itself.
        variant: of the weight files; parts without it come in their plain files.
        names: of the files that are wanted of every part.
        repo_type: "model" or "dataset".
        options: `HUB_OPTIONS`, as in huggingface_hub.

    Returns:
        The folder; `source` itself if it is one.

    Raises:
        ValueError: if weights are pickled, truncated, not what the repository says they are, or named outside of the
            folder, with the file; a download that is not what was announced is removed from the cache.
        OSError: if there is no such repository, or it cannot be reached and is not in the cache.
    """
    parts = list(parts)
    if (folder := local_folder(source)) is not None:
        for part in parts:
            _check_part(folder / part, source, weights_in(folder / part, variant))
        return folder
    options = _given(options) | {"repo_type": repo_type}
    folder = _download(str(source), parts, variant, names, options)
    for part in parts:
        if not any(next((folder / part).glob(name), None) for name in names):
            raise FileNotFoundError(f"{source}: {part or 'it'} is not in the cache: {_why_not(str(source), options)}")
        files = weights_in(folder / part, variant)
        for file in {*files, *(path for name in names for path in (folder / part).glob(name))}:
            _check_hash(file)
        _check_part(folder / part, source, files, _pickles_of(source, part, options) if not files else ())
    return folder


def _download(source: str, parts: list[str], variant: str | None, names: Iterable[str], options: dict) -> Path:
    """Into the cache: what `fetch` names, and the card."""
    plain, other = [CARD, *_under(parts, *names)], _under(parts, "*.*.safetensors")
    if variant is None:
        return _patiently(snapshot_download, source, allow_patterns=plain, ignore_patterns=other, **options)
    wanted = [CARD, *_under(parts, "*.json", f"*.{variant}*.safetensors")]
    folder = _patiently(snapshot_download, source, allow_patterns=wanted, **options)
    bare = [part for part in parts if not list((folder / part).glob("*.safetensors"))]
    if bare:
        allowed = _under(bare, "*.safetensors")
        _patiently(snapshot_download, source, allow_patterns=allowed, ignore_patterns=other, **options)
    return folder


def local_folder(source: str | Path) -> Path | None:
    """The folder that `source` is, None if it looks like the name of a repository: USER/NAME.

    Raises:
        FileNotFoundError: if it is neither.
        ValueError: for a file.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder
    if folder.is_file():
        raise ValueError(f"{source} is a file, no folder of a checkpoint; difiqa convert makes one of a published file")
    if isinstance(source, Path) or str(source).startswith((".", "/", "~")) or str(source).count("/") != 1:
        raise FileNotFoundError(f"no folder {source}; a repository is named USER/NAME")
    return None


def weights_in(folder: Path, variant: str | None = None) -> list[Path]:
    """The safetensors files that loading `folder` in `variant` reads; shards as well as whole files."""
    files = sorted(folder.glob("*.safetensors"))
    chosen = [file for file in files if variant is not None and variant_of(file.name) == variant]
    return chosen or [file for file in files if not variant_of(file.name)]


def variant_of(name: str) -> str:
    """The variant in the name of a weight file, a shard or their index; "" for a plain one."""
    parts = Path(name).name.split(".")
    if "index" in parts:  # model.safetensors.index.fp16.json
        return parts[3] if len(parts) == 5 else ""
    return parts[1].partition("-")[0] if len(parts) > 2 else ""  # model.fp16-00001-of-00002.safetensors


def _patiently(download: Callable[..., str], source: str, *arguments, **options) -> Path:
    """A download of huggingface_hub, which goes on after a silence or an early end, but gives up after a reset.

    Here it starts the file over. Complete files are in the cache, and no others ever.
    """
    for _ in range(ATTEMPTS):
        try:
            return Path(download(source, *arguments, **options))
        except LocalEntryNotFoundError as error:
            raise FileNotFoundError(
                f"no folder {source}; as a repository it is not whole in the cache, and was not downloaded: {error}"
            ) from error
        except Exception as error:  # of httpx or httpx2, whichever huggingface_hub uses
            if "TransportError" not in {kind.__name__ for kind in type(error).__mro__}:
                raise
            broken = error
    raise ConnectionError(
        f"the connection broke {ATTEMPTS} times while {source} was downloaded ({broken}); complete files are kept, "
        "try again"
    ) from broken


def _check_part(folder: Path, source: str | Path, files: list[Path], remote_pickles: Iterable[str] = ()) -> None:
    """Refuse what could run code or is not whole."""
    config = folder / "config.json"
    if config.is_file():  # schedulers and processors have none, and no weights
        read_json(config)
        pickles = [file.name for file in sorted(folder.iterdir()) if file.suffix in PICKLES] + list(remote_pickles)
        if not files:
            found = f"; {', '.join(pickles[:3])} may be pickles, which can run code: not loaded" if pickles else ""
            raise ValueError(f"{source}: no safetensors weights in {folder.name!r}{found}")
    for index in folder.glob("*.safetensors.index*.json"):
        names = set(map(str, read_json(index).get("weight_map", {}).values()))
        strange = sorted(name for name in names if "/" in name or "\\" in name or not name.endswith(".safetensors"))
        if strange:
            raise ValueError(f"{index} names {strange[0]!r}, which is no safetensors file beside it; not loaded")
    for file in files:
        try:
            with safe_open(file, framework="np") as opened:
                opened.keys()
        except (SafetensorError, OSError) as error:
            raise ValueError(f"{file} is damaged ({file.stat().st_size} bytes): {error}; fetch it anew") from error


def _check_hash(file: Path) -> None:
    """Compare a cached file with its name in the cache, which is its hash."""
    blob = file.resolve()
    if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", blob.name):
        return  # a cache without links (some Windows systems)
    found = hub_hash(blob, len(blob.name))
    if found != blob.name:
        file.unlink()
        blob.unlink(missing_ok=True)
        raise ValueError(
            f"{file.name} is not what the repository announced: hash {found}, expected {blob.name}; "
            "it was removed from the cache, try again"
        )


def hub_hash(file: Path, digits: int) -> str:
    """What the Hub calls the content of a file: SHA-256 of large ones (64 digits), git's SHA-1 of others (40)."""
    with file.open("rb") as stream:
        if digits == 64:
            return hashlib.file_digest(stream, "sha256").hexdigest()
        content = stream.read()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _names_class(value, part: str, source: str | Path) -> bool:
    """Whether the index has this component; refuses what is no (module, class)."""
    if value is None:
        return False
    if not isinstance(value, list) or len(value) != 2 or {type(item) for item in value} - {str, type(None)}:
        raise ValueError(f"{source}: model_index.json must name {part} by module and class, found {value!r}")
    return value[1] is not None


def _why_not(source: str, options: dict) -> str:
    """What the Hub says if asked for the files of a repository; a download falls back on the cache and keeps silent."""
    try:
        HfApi(token=options.get("token")).repo_info(source, repo_type=options["repo_type"])  # asked once, not six times
    except OSError as error:
        return str(error)
    return "the repository has no such files" + " or may not be asked" * bool(options.get("local_files_only"))


def _pickles_of(source: str | Path, part: str, options: dict) -> list[str]:
    """Names of the repository's files that might be pickles, for the error message only."""
    try:
        info = HfApi(token=options.get("token")).repo_info(str(source), revision=options.get("revision"))
    except OSError:
        return []
    names = [file.rfilename for file in info.siblings or []]
    return [name for name in names if str(Path(name).parent) == (part or ".") and Path(name).suffix in PICKLES]


def read_json(path: Path) -> dict:
    """The object in a JSON file; ValueError for anything else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold a JSON object, found a {type(content).__name__}")
    return content


def _under(parts: Iterable[str], *patterns: str) -> list[str]:
    return [f"{part}/{pattern}" if part else pattern for part in parts for pattern in patterns]


def _given(options: dict) -> dict:
    return {name: value for name, value in options.items() if name in HUB_OPTIONS and value is not None}
