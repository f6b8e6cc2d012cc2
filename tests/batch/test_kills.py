"""A batch that is killed at random moments gives the same OUT as an undisturbed one."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
KILLS = 6


def test_killed_runs_lose_and_double_nothing(tiny_tin: Path, tmp_path: Path) -> None:
    given = tmp_path / "in.jsonl"
    given.write_text("".join(json.dumps({"input": f"what is {k}?"}) + "\n" for k in range(6000)))

    def start(out: Path) -> subprocess.Popen[bytes]:
        words = ["batch", tiny_tin, given, out, "--max-tokens", "6", "--workers", "2"]
        command = [sys.executable, "-m", "tinsmith", *map(str, words)]
        return subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)

    whole, out = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    assert start(whole).wait() == 0
    part, chance, killed = out.with_name("out.jsonl.part"), random.Random(0), 0
    while killed < KILLS:
        running, share = start(out), chance.uniform(0, 0.9) * whole.stat().st_size
        while running.poll() is None and not (part.exists() and part.stat().st_size > share):
            time.sleep(0.002)
        if running.poll() is None:
            if killed % 2:  # the workers with it, or they find themselves alone
                os.killpg(running.pid, signal.SIGKILL)
            else:
                running.kill()
            assert running.wait() == -9
            killed += 1
            if not out.exists():
                continue
        assert start(out).wait() == 0
        assert out.read_bytes() == whole.read_bytes()
        out.unlink()
        out.with_name("out.jsonl.journal").unlink()
    start(out).wait()
    assert out.read_bytes() == whole.read_bytes()


def test_no_worker_outlives_its_run(tiny_tin: Path, tmp_path: Path) -> None:
    given = tmp_path / "in.txt"
    given.write_text("what?\n" * 5 + "".join(f"{k}\n" for k in range(50_000)))
    command = [
        sys.executable,
        "-m",
        "tinsmith",
        "batch",
        tiny_tin,
        given,
        tmp_path / "out.jsonl",
        "--workers",
        "2",
    ]
    running = subprocess.Popen(list(map(str, command)), stderr=subprocess.DEVNULL, start_new_session=True)
    journal = tmp_path / "out.jsonl.journal"
    while not (journal.exists() and journal.read_bytes().count(b"\n") > 3):
        time.sleep(0.05)
    running.kill()
    running.wait()
    for _ in range(100):
        try:
            os.killpg(running.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("workers of a run that was killed are still there")
