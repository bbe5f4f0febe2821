"""Scores of a benchmark image by image, a Parquet file a method: to publish, to draw, not to compute twice."""

import hashlib
import os
from pathlib import Path

import numpy as np

from difiqa_hf.benchmarks.available import Available
from difiqa_hf.benchmarks.store import Output
from difiqa_hf.methods import QualityMethod


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
