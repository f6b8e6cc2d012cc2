"""Workers: what one computes comes back, its errors too, and it stands still in between."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from tinsmith.bench.process import Worker
from tinsmith.errors import FormatError, InputError, TinsmithError


def state(worker: Worker) -> str:
    """The letter of /proc/PID/stat: T is stopped."""
    return Path(f"/proc/{worker._process.pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_worker_answers_and_stops(gguf: Path) -> None:
    with closing(Worker("native", gguf, None)) as worker:
        assert worker.opened["facts"]["format"] == "Q8_0"
        for _ in range(2):
            worker.call("prepare", 2, 0, 8, 4)
            assert worker.call("decode") > 0
            if sys.platform == "linux":
                until = time.monotonic() + 10
                while state(worker) != "T" and time.monotonic() < until:
                    time.sleep(0.001)
                assert state(worker) == "T"
        process = worker._process
    with pytest.raises(ValueError, match="closed|not running"):
        process.close()
        _ = process.pid


def test_an_error_comes_back_as_what_it_was(gguf: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="absent.gguf: no such file"):
        Worker("native", tmp_path / "absent.gguf", None)
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(gguf.read_bytes()[:1000])
    with pytest.raises(FormatError, match="damaged.gguf"):
        Worker("native", damaged, None)


def test_a_worker_that_dies_is_an_error(gguf: Path) -> None:
    with closing(Worker("native", gguf, None)) as worker:
        assert worker._process.pid is not None
        os.kill(worker._process.pid, signal.SIGKILL)
        worker._process.join()
        with pytest.raises(TinsmithError, match="native ended with status -9: it said nothing"):
            worker.call("decode")
