"""Scores of a benchmark image by image, a Parquet file a method: to publish, to draw, not to compute twice."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from difiqa_hf.benchmarks.available import Available
from difiqa_hf.benchmarks.store import Output
from difiqa_hf.methods import QualityMethod


@dataclass(frozen=True)
class Recalled:
    """A method of which only the scores on file are at hand, not the weights.

    Attributes:
        name, fingerprint, revision: as in `QualityMethod`.
    """

    name: str
    fingerprint: str
    revision: str

    def __call__(self, pixel_values):
        """Nothing can be computed.

        Raises:
            FileNotFoundError: always.
        """
        raise FileNotFoundError(
            f"{self.name} {self.revision} has no scores on file for these images, and its weights are not at hand: "
            "leave the benchmark or the method out, or name a checkpoint instead of `recall`"
        )


def recall(folder: str | Path, name: str, revision: str) -> Recalled:
    """The method whose scores `write_scores` wrote.

    Args:
        folder: of the scores, all benchmarks.
        name: of the method.
        revision: of its weights, or what else only its fingerprint has; as many characters as tell it from others.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if several are meant.
    """
    from pyarrow.parquet import read_schema

    found = {}
    for path in sorted(Path(folder).glob(f"*/{name}-*.parquet")):
        facts = {key.decode(): value.decode() for key, value in (read_schema(path).metadata or {}).items()}
        if facts.get("method") == name:
            found[facts["fingerprint"]] = facts["method_revision"]
    meant = [fingerprint for fingerprint in found if revision in fingerprint]
    if not meant:
        raise FileNotFoundError(f"no scores of {name} {revision} in {folder}; of {name} there are {sorted(found)}")
    if len(meant) > 1:
        raise ValueError(f"{name} {revision} may be any of {sorted(meant)} in {folder}; say more of one of them")
    return Recalled(name, meant[0], found[meant[0]])


def scores_file(folder: str | Path, available: Available, method: QualityMethod) -> Path:
    """`folder/<benchmark>/<method>-<hash of the images and of all that its scores depend on>.parquet`."""
    digest = hashlib.sha256(f"{available.content}\n{method.fingerprint}".encode()).hexdigest()[:8]
    return Path(folder) / available.benchmark.name / f"{method.name}-{digest}.parquet"


def read_scores(folder: str | Path, available: Available, method: QualityMethod) -> Output | None:
    """What `write_scores` wrote for this very method and these very images, or None."""
    path = scores_file(folder, available, method)
    if not method.fingerprint or not path.is_file():
        return None
    from pyarrow.parquet import read_table

    table = read_table(path)
    facts = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
    if (facts.get("content"), facts.get("fingerprint")) != (available.content, method.fingerprint):
        return None
    return Output(table["score"].to_numpy(), float(facts["seconds"]), cached=True)


def write_scores(folder: str | Path, available: Available, method: QualityMethod, output: Output) -> Path | None:
    """Columns `image` and `score`, in the order of the benchmark, and where they come from as metadata of the schema.

    Whole or not at all; None for a method without fingerprint.
    """
    if not method.fingerprint:
        return None
    import pyarrow as pa
    from pyarrow.parquet import write_table

    names = pa.array(available.benchmark.images, pa.string())
    facts = {"benchmark": available.benchmark.name, "content": available.content, "method": method.name}
    facts |= {"method_revision": method.revision, "fingerprint": method.fingerprint}
    facts |= {"seconds": str(round(output.seconds, 3))}
    table = pa.table({"image": names, "score": np.asarray(output.values, np.float32)}).replace_schema_metadata(facts)
    path = scores_file(folder, available, method)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    write_table(table, partial, compression="zstd", use_dictionary=False, column_encoding={"image": "DELTA_BYTE_ARRAY"})
    partial.replace(path)
    return path
