"""From a folder to a repository: the code and the card go with it, what is there already does not."""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.hf_api import RepoFile

from difiqa_hf.hub.cards import card_of, weights_digest
from difiqa_hf.hub.code import add_code
from difiqa_hf.hub.fetch import CARD, hub_hash, variant_of

SUFFIXES = {
    "model": (".json", ".md", ".onnx", ".py", ".safetensors", ".txt"),
    "dataset": (".csv", ".json", ".jsonl", ".md", ".parquet"),  # no images: those of faces are not ours to give away
    "space": (".md", ".py", ".txt"),
}
WEIGHTS = ".safetensors"
PLACEHOLDER = "<repository>"  # in a card, until it is known


@dataclass(frozen=True)
class Pushed:
    """What a push did, or would do.

    Attributes:
        repo_id, repo_type: of the repository, "user/name".
        url: of the commit; of the repository if there was nothing to commit.
        uploaded: path in the repository -> bytes, of what is new or changed.
        replaced: paths deleted because they held what is now in other files: a whole file beside its shards, or shards.
        unchanged: paths that were there already.
        left_out: files of the folder that are not published.
        dry_run: whether nothing was sent.
    """

    repo_id: str
    repo_type: str
    url: str
    uploaded: dict[str, int]
    replaced: list[str]
    unchanged: list[str]
    left_out: list[str]
    dry_run: bool

    def __str__(self) -> str:
        verb = "would upload" if self.dry_run else "uploaded"
        lines = [f"{verb} {path} ({size:,} bytes)" for path, size in self.uploaded.items()]
        lines += [f"{'would delete' if self.dry_run else 'deleted'} {path}" for path in self.replaced]
        lines += [f"unchanged: {len(self.unchanged)} files"] if self.unchanged else []
        lines += [f"left out: {path}" for path in self.left_out]
        return "\n".join([*lines, self.url])


def push_folder(
    folder: str | Path,
    repo_id: str,
    *,
    private: bool | None = None,
    dry_run: bool = False,
    repo_type: str | None = None,
    revision: str | None = None,
    commit_message: str | None = None,
    token: str | None = None,
) -> Pushed:
    """Publish a folder: one commit with what is new or changed, none if nothing is.

    A model gets the code that people without this package need, and a card if it has none. Large files go up before the
    commit: after an interruption call it again, what has arrived is not sent a second time, and until the commit
    nobody sees any of it.

    Args:
        folder: of a pipeline, a network, result tables, pair lists or the `evaluate` module.
        repo_id: "user/name"; created if it does not exist.
        private: of a new repository; None for the account's default.
        dry_run: send nothing, create nothing.
        repo_type: "model", "dataset" or "space"; None to see it from the folder.
        revision: branch; created if it does not exist.
        commit_message: None for one that counts the files.
        token: None for the one that `hf auth login` stored, or HF_TOKEN.

    Raises:
        ValueError: if the folder holds nothing to publish.
        OSError: if the Hub refuses or cannot be reached.
    """
    folder, api = Path(folder), HfApi(token=token)
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder}")
    repo_type = repo_type or kind_of(folder)
    with tempfile.TemporaryDirectory() as staging:
        staged, left_out = _stage(folder, Path(staging), repo_type)
        there = _remote_hashes(api, repo_id, repo_type, revision)
        if repo_type == "model":
            add_code(staged)
        files = {file.relative_to(staged).as_posix(): file for file in sorted(staged.rglob("*")) if file.is_file()}
        changed = {path: file for path, file in files.items() if path != CARD and not _is(file, there.get(path))}
        files |= _card(staged, repo_id, rendered=any(path.endswith(WEIGHTS) for path in changed) or CARD not in there)
        changed |= {path: file for path, file in files.items() if path == CARD and not _is(file, there.get(path))}
        replaced = _replaced(changed, files, there)
        url = f"{api.endpoint}/{'' if repo_type == 'model' else repo_type + 's/'}{repo_id}"
        if changed and not dry_run:
            operations = [CommitOperationAdd(path, file) for path, file in changed.items()]
            operations += [CommitOperationDelete(path) for path in replaced]
            message = commit_message or f"Upload {len(changed)} files with difiqa_hf"
            url = _send(api, {"repo_id": repo_id, "repo_type": repo_type}, revision, private, operations, message)
        uploaded = {path: file.stat().st_size for path, file in changed.items()}
    unchanged = sorted(files.keys() - changed.keys())
    return Pushed(repo_id, repo_type, url, uploaded, replaced, unchanged, left_out, dry_run)


def push_to_hub(self, repo_id: str, *, variant: str | None = None, max_shard_size: int | str | None = None, **options):
    """Save and publish, with our card; arguments as `push_folder`, returns what it returns.

    The card of the checkpoint that this was loaded from goes along as long as the weights are those that it describes.

    Args:
        repo_id: "user/name".
        variant: put it into the names of the weight files, for example "fp16".
        max_shard_size: split larger weight files.
        options: of `push_folder`.
    """
    config = self.config if isinstance(self.config, dict) else vars(self.config)
    origin = Path(getattr(self, "name_or_path", None) or config.get("_name_or_path") or "")
    saving = {"variant": variant, "max_shard_size": max_shard_size}
    with tempfile.TemporaryDirectory() as folder:
        self.save_pretrained(folder, **{name: value for name, value in saving.items() if value is not None})
        card = origin / CARD
        if origin.name and card.is_file() and weights_digest(folder) in card.read_text(encoding="utf-8"):
            shutil.copyfile(card, Path(folder) / CARD)
        return push_folder(folder, repo_id, **options)


def kind_of(folder: Path) -> str:
    """ "model", "dataset" or "space", from what lies in a folder.

    Raises:
        ValueError: if it is none of them.
    """
    names = {path.name for path in [*folder.iterdir(), *folder.glob("*/*.json")]}
    if names & {"model_index.json", "config.json", "preprocessor_config.json"}:
        return "model"
    if "app.py" in names:
        return "space"
    if any(name.endswith((".parquet", ".csv")) for name in names):
        return "dataset"
    raise ValueError(f"{folder} holds no pipeline, network, tables or evaluate module; found {sorted(names)[:5]}")


def _card(staged: Path, repo_id: str, rendered: bool) -> dict[str, Path]:
    """The card of the folder, which learns the repository's name; without one, and if need be, a rendered one."""
    path = staged / CARD
    if not path.exists() and not (rendered and list(staged.rglob(f"*{WEIGHTS}"))):
        return {}
    text = path.read_text(encoding="utf-8") if path.exists() else card_of(staged).render()
    path.write_text(text.replace(PLACEHOLDER, repo_id), encoding="utf-8")
    return {CARD: path}


def _stage(folder: Path, staging: Path, repo_type: str) -> tuple[Path, list[str]]:
    """A folder like `folder` that may be changed: weights are links, what is not published stays behind."""
    left_out = []
    for file in sorted(folder.rglob("*")):
        relative = file.relative_to(folder)
        hidden = any(part.startswith((".", "__")) for part in relative.parts)
        if not file.is_file() or hidden:
            continue
        if file.suffix not in SUFFIXES[repo_type]:
            left_out.append(relative.as_posix())
            continue
        target = staging / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix == WEIGHTS:
            try:
                target.symlink_to(file.resolve())
                continue
            except OSError:  # not allowed on some Windows systems
                pass
        shutil.copyfile(file, target)
    return staging, left_out


def _remote_hashes(api: HfApi, repo_id: str, repo_type: str, revision: str | None) -> dict[str, str]:
    """Path -> SHA-256 of a large file, git's SHA-1 of another; {} without such a repository or branch."""
    try:
        tree = api.list_repo_tree(repo_id, recursive=True, repo_type=repo_type, revision=revision)
        return {item.path: item.lfs.sha256 if item.lfs else item.blob_id for item in tree if isinstance(item, RepoFile)}
    except (RepositoryNotFoundError, RevisionNotFoundError):
        return {}


def _replaced(changed: dict[str, Path], files: dict[str, Path], there: dict[str, str]) -> list[str]:
    """Weight files of the repository that would stand beside the same weights in other files, and be loaded instead."""

    def place(path: str) -> tuple[str, str]:
        return str(Path(path).parent), variant_of(path)

    places = {place(path) for path in changed if path.endswith(WEIGHTS)}
    weights = [path for path in there if path.endswith(WEIGHTS) or f"{WEIGHTS}.index." in path]
    return sorted(path for path in weights if path not in files and place(path) in places)


def _send(api: HfApi, repo: dict, revision: str | None, private: bool | None, operations: list, message: str) -> str:
    """One commit, whose address is returned; repository and branch are made if need be."""
    sdk = "gradio" if repo["repo_type"] == "space" else None
    api.create_repo(**repo, private=private, exist_ok=True, space_sdk=sdk)
    if revision is not None:
        api.create_branch(**repo, branch=revision, exist_ok=True)
    return api.create_commit(**repo, operations=operations, revision=revision, commit_message=message).commit_url


def _is(file: Path, expected: str | None) -> bool:
    """Whether the repository has this very content."""
    return expected is not None and hub_hash(file, len(expected)) == expected
