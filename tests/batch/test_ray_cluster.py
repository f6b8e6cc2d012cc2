"""A Ray cluster gives the same bytes as one machine, also when a node is killed during the run. Needs the extra
`ray`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tinsmith.batch import run as engine
from tinsmith.batch.journal import Journal

pytestmark = pytest.mark.slow
Run = Callable[..., int]
STORE = 80 << 20  # bytes of each node's object store, the least that Ray takes


@pytest.fixture
def cluster() -> Iterator[Any]:
    """Two nodes of one processor, on loopback."""
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": STORE})
    made.second = made.add_node(num_cpus=1, object_store_memory=STORE)
    made.wait_for_nodes()
    ray.init(address=made.address, log_to_driver=False)
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture
def many(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps({"input": f"what is {k}?"}) + "\n" for k in range(3000)))
    return path


def test_a_node_that_is_killed_changes_no_byte(
    batch: Run, many: Path, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "MOST", 64)
    whole, out = many.with_name("whole.jsonl"), many.with_name("out.jsonl")
    batch(many, whole)
    add, windows = Journal.add, 0

    def killing(self: Journal, done: Any) -> None:
        nonlocal windows
        windows += 1
        if windows == 6:
            cluster.remove_node(cluster.second, allow_graceful=False)
        add(self, done)

    monkeypatch.setattr(Journal, "add", killing)
    assert batch(many, out, "--ray", cluster.address) == 0
    assert windows > 12
    assert out.read_bytes() == whole.read_bytes()


def test_a_dataset_is_answered_and_resumes_from_its_blocks(
    batch: Run, tiny_tin: Path, many: Path, cluster: Any, tmp_path: Path
) -> None:
    import ray

    from tinsmith.batch import ray as batches

    out, kept = tmp_path / "out.jsonl", tmp_path / "kept"
    batch(many, out, "--limit", 300)
    questions = [json.loads(line) for line in many.read_text().splitlines()[:300]]
    expected = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]

    def answers() -> list[dict[str, Any]]:
        dataset = ray.data.from_items(questions, override_num_blocks=6)
        made = batches.map(dataset, tiny_tin, max_tokens=4, checkpoint=kept, window=50).take_all()
        return sorted(made, key=lambda row: int(row["input"][8:-1]))

    first = answers()
    assert [(row["text"], row["receipt"]) for row in first] == [
        (row["text"], row["receipt"]) for row in expected
    ]
    files = sorted(kept.rglob("*.jsonl"))
    assert len(files) == 6
    for number, path in enumerate(files):  # what is kept is taken; what is missing is made again
        if number % 2:
            path.unlink()
        else:
            path.write_text(path.read_text(encoding="utf-8").replace('"receipt": "', '"receipt": "kept'))
    again = answers()
    assert sum(row["receipt"].startswith("kept") for row in again) == 150
    assert [row["text"] for row in again] == [row["text"] for row in first]


DRIVER = """
import sys, ray
ray.init(address=sys.argv[1], log_to_driver=False)
from tinsmith.batch import ray as batches
dataset = ray.data.read_json(sys.argv[2], override_num_blocks=40)
batches.map(dataset, sys.argv[3], max_tokens=4, checkpoint=sys.argv[4], window=75, slots=2).take_all()
"""


def test_a_driver_that_was_killed_resumes(tiny_tin: Path, many: Path, cluster: Any, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    command = [sys.executable, "-c", DRIVER, cluster.address, many, tiny_tin, kept]
    driver = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while driver.poll() is None and len(list(kept.rglob("*.jsonl"))) < 5:
        time.sleep(0.02)
    driver.kill()
    assert driver.wait() == -9
    time.sleep(1)
    before = {path: path.stat().st_mtime_ns for path in kept.rglob("*.jsonl")}
    assert 5 <= len(before) < 40
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    after = {path: path.stat().st_mtime_ns for path in kept.rglob("*.jsonl")}
    assert len(after) == 40
    assert sum(len(path.read_bytes().splitlines()) for path in after) == 3000
    assert before.items() <= after.items()
