"""Loads what it is told to and says how every attempt ended. Run by test_safety.py and test_network.py."""

import json
import re
import sys
import warnings
from hashlib import sha1, sha256
from pathlib import Path

warnings.simplefilter("ignore")


def pipeline(repo, faces):
    from difiqa_hf import DifFIQAPipeline

    pipe = DifFIQAPipeline.from_pretrained(repo)
    pipe.set_progress_bar_config(disable=True)
    return pipe(faces).quality.tolist()


def recognizer(repo, faces):
    from difiqa_hf.recognizers import load_recognizer

    return type(load_recognizer(repo)).__name__


def method(repo, faces):
    from difiqa_hf import create_method

    return type(create_method("difiqa-r", checkpoint=repo)).__name__


def attempt(kind, repo, faces):
    try:
        return {"result": globals()[kind](repo, faces)}
    except Exception as error:  # whatever it is: the test says which it must be
        return {"error": type(error).__name__, "message": str(error)}


def cached_files(home):
    """Repository file names in the cache, and the blobs whose content is not what their name says."""
    snapshots = [path for path in Path(home).glob("hub/models--*/snapshots/*/**/*") if path.is_file()]
    broken = []
    for blob in Path(home).glob("hub/models--*/blobs/*"):
        content = blob.read_bytes()
        hashes = (sha256(content).hexdigest(), sha1(b"blob %d\0" % len(content) + content).hexdigest())
        if re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", blob.name) and blob.name not in hashes:
            broken.append(blob.name)
    return {"files": sorted({path.name for path in snapshots}), "broken": broken}


if __name__ == "__main__":
    given = json.load(sys.stdin)
    found = {f"{kind} {repo}": attempt(kind, repo, given["faces"]) for kind, repo in given["attempts"]}
    print(json.dumps(found | {"cache": cached_files(given["home"])}))
