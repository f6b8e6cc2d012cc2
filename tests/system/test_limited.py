"""A child process with limits: what takes too long, too much memory or crashes ends with its own request."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tinsmith.system import limited

WORK = """
import os, signal, sys
from tinsmith.system import limited

def work(asked):
    print("noise of a library")
    os.write(1, b"more of it\\n")
    match asked["do"]:
        case "spin":
            while True:
                pass
        case "grow":
            try:
                bytearray(limited.MEMORY + 1)
            except MemoryError:
                return {"grew": False}
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "sleep":
            import time
            time.sleep(60)
    return {"pid": os.getpid(), "noted": asked.get("text")}

limited.serve(work)
"""
needs_limits = pytest.mark.skipif(sys.platform != "linux", reason="limits as Linux has them")


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> limited.Child:
    (tmp_path / "limited_work.py").write_text(WORK)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return limited.Child("limited_work")


def test_one_child_answers_all_requests_whatever_is_printed(child: limited.Child) -> None:
    first = child.ask({"do": "", "text": "a\nb\udcff"}, 10)
    assert first == child.ask({"do": "", "text": "a\nb\udcff"}, 10) and first["noted"] == "a\nb\udcff"
    child.close()


@needs_limits
def test_processor_time_is_limited_for_each_request(child: limited.Child) -> None:
    before = child.ask({"do": ""}, 10)["pid"]
    with pytest.raises(limited.Ended) as ended:
        child.ask({"do": "spin"}, 1)
    assert ended.value.late
    assert child.ask({"do": ""}, 10)["pid"] != before
    child.close()


@needs_limits
def test_memory_is_limited(child: limited.Child) -> None:
    assert child.ask({"do": "grow"}, 10) == {"grew": False}
    child.close()


def test_a_crash_is_told_from_a_limit(child: limited.Child) -> None:
    with pytest.raises(limited.Ended) as ended:
        child.ask({"do": "crash"}, 10)
    assert not ended.value.late and ended.value.status != 0
    assert child.ask({"do": ""}, 10)
    child.close()


def test_a_child_that_hangs_is_ended(child: limited.Child, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limited, "WALL", 1)
    with pytest.raises(limited.Ended) as ended:
        child.ask({"do": "sleep"}, 2)
    assert ended.value.late
