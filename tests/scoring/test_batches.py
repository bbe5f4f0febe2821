"""Batches of columns, in this process and on a real cluster of Ray of two machines, of which one is killed."""

import io
import os
import signal
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from difiqa_hf import BatchScorer, FaceScorer
from toys import Brightness

IMAGES, BATCH = 1_500, 16


def png(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (112, 112), (value,) * 3).save(buffer, "PNG")
    return buffer.getvalue()


def column(*values) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def test_every_row_in_is_a_row_out():
    scorer = BatchScorer("image", method=Brightness())
    images = column(png(51), b"broken", None, np.full((112, 112, 3), 51, np.uint8), "nowhere.png", png(51))
    scored = scorer({"image": images, "id": np.arange(6)})
    assert scored["id"].tolist() == [0, 1, 2, 3, 4, 5] and scored["image"] is images
    assert scored["status"].tolist() == ["ok", "unreadable", "unreadable", "ok", "unreadable", "ok"]
    np.testing.assert_allclose(scored["quality"], [-0.6, np.nan, np.nan, -0.6, np.nan, -0.6], atol=1e-6)
    assert scored["percentile"][0] == pytest.approx(20) and set(scored["revision"]) == {Brightness.revision}
    assert [bool(reason) for reason in scored["reason"]] == [False, True, True, False, True, False]


def test_types_do_not_depend_on_the_batch():
    scorer = BatchScorer("image", method=Brightness(), keep=False)
    for batch in (column(), column(b"broken"), np.zeros((2, 112, 112, 3), np.uint8)):
        scored = scorer({"image": batch})
        assert {name: values.dtype.kind for name, values in scored.items()} == {
            "status": "O", "quality": "f", "percentile": "f", "reason": "O", "method": "O", "revision": "O",
        }  # fmt: skip
        assert {len(values) for values in scored.values()} == {len(batch)}


def test_wrong_columns_are_named():
    with pytest.raises(ValueError, match="no column 'image', only bytes, path"):
        BatchScorer("image", method=Brightness())({"bytes": column(), "path": column()})
    with pytest.raises(ValueError, match="a column status already"):
        BatchScorer(method=Brightness())({"bytes": column(), "status": column()})


@pytest.fixture(scope="module")
def faces(shared, tmp_path_factory) -> Path:
    """Loose real faces, every hundredth file broken."""
    folder = tmp_path_factory.mktemp("faces")
    with zipfile.ZipFile(shared / "data" / "lfw_aligned112.zip") as archive:
        for i, name in enumerate(sorted(n for n in archive.namelist() if n.endswith(".jpg"))[:IMAGES]):
            (folder / Path(name).name).write_bytes(b"broken" if i % 100 == 0 else archive.read(name))
    return folder


@pytest.fixture
def cluster(monkeypatch):
    """A head and two machines with one worker each: real daemons, each with an object store of its own."""
    ray = pytest.importorskip("ray", reason="needs the extra ray")
    from ray.cluster_utils import Cluster

    for name, value in {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "RAY_DATA_DISABLE_PROGRESS_BARS": "1"}.items():
        monkeypatch.setenv(name, value)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    cluster.workers = [cluster.add_node(num_cpus=1, resources={"scorer": 1}) for _ in range(2)]
    ray.init(address=cluster.address, log_to_driver=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["process", "machine"])
def test_a_worker_is_killed_in_the_middle(faces, cluster, tmp_path, victim):
    """No row is lost and none comes twice, in the files that are left; the scores are those of one process."""
    import ray.data
    from pyarrow.dataset import dataset

    journal = tmp_path / "journal"
    journal.mkdir()

    class Watched(BatchScorer):  # tells the test how far it is
        def __call__(self, batch):
            scored = super().__call__(batch)
            with (journal / f"{ray.get_runtime_context().get_node_id()} {os.getpid()}").open("a") as file:
                file.write("".join(f"{path}\n" for path in batch["path"]))
            return scored

    data = ray.data.read_binary_files(str(faces), include_paths=True, override_num_blocks=IMAGES // 50).map_batches(
        Watched, fn_constructor_kwargs={"keep": False}, batch_size=BATCH, num_cpus=1, resources={"scorer": 1},
        compute=ray.data.ActorPoolStrategy(size=2),
    )  # fmt: skip
    with ThreadPoolExecutor(1) as pool:
        written = pool.submit(data.write_parquet, str(tmp_path / "scores"))
        seen = wait_for_half(journal, written)
        node, pid = min(seen, key=lambda place: -seen[place]).split()
        if victim == "process":
            os.kill(int(pid), signal.SIGKILL)
        else:
            cluster.remove_node(next(n for n in cluster.workers if n.node_id == node), allow_graceful=False)
        assert not written.done(), "finished before the worker was killed"
        written.result()
    assert len(list(journal.iterdir())) >= (3 if victim == "process" else 2)
    check_complete(dataset(tmp_path / "scores").to_table().to_pylist(), faces)


def wait_for_half(journal: Path, written) -> dict[str, int]:
    """Worker -> images, as soon as half of all are scored and both workers have scored some."""
    while not written.done():
        seen = {file.name: file.read_text().count("\n") for file in journal.iterdir()}
        if len(seen) == 2 and sum(seen.values()) >= IMAGES / 2:
            return seen
        time.sleep(0.02)
    pytest.fail(f"ended before half was scored: {written.exception()}")


def check_complete(rows: list[dict], faces: Path) -> None:
    """Every file once, with the score that one process gives it."""
    names = sorted(path.name for path in faces.iterdir())
    rows = sorted(rows, key=lambda row: row["path"])
    assert [Path(row["path"]).name for row in rows] == names
    assert [row["status"] for row in rows] == ["unreadable" if i % 100 == 0 else "ok" for i in range(IMAGES)]
    alone = FaceScorer().many(faces / name for name in names[:60])
    quality = np.array([row.quality for row in alone], dtype=float)
    np.testing.assert_allclose([row["quality"] for row in rows[:60]], quality, atol=1e-5)  # other batches
