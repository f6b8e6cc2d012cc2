"""Training calls nobody: every method where there is no network, and no system call that would reach one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.train.killing import write_home
from tinsmith.train import methods

SCRIPT = Path(__file__).parent / "every_method.py"


def run(cache: Path, *command: str | Path) -> str:
    # What switches telemetry off is not set from outside.
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "DO_NOT"))}
    variables["PYTHONPATH"] = str(SCRIPT.parents[2])
    variables["TINSMITH_CACHE"] = str(cache)
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=variables)
    assert done.returncode == 0, done.stderr
    return done.stdout


def reached(log: Path) -> list[str]:
    """The calls that name an internet address, but for a bind: urllib3 asks so, when it is imported, whether
    this machine's loopback has IPv6."""
    return [line for line in log.read_text().splitlines() if re.match(r"\d+ +(?! |socket|bind).*AF_INET", line)]


@pytest.mark.slow
def test_every_method_trains_where_there_is_no_network_and_asks_for_none(
    offline: list[str], traced: Callable[[Path], list[str]], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    printed = run(tmp_path, *offline, *traced(log), sys.executable, SCRIPT, tmp_path / "runs")
    assert [line.split()[0] for line in printed.splitlines()] == list(methods.names())
    assert not reached(log)
    code = "import socket; socket.socket().connect_ex(('127.0.0.1', 9))"  # the tracer sees what it should see
    run(tmp_path, *traced(log), sys.executable, "-c", code)
    assert reached(log)


@pytest.mark.slow
def test_the_command_calls_nobody(
    offline: list[str], traced: Callable[[Path], list[str]], tmp_path: Path
) -> None:
    """With what logs it, and going on from what it trained."""
    pytest.importorskip("tensorboard")
    write_home(tmp_path)
    (tmp_path / "new.jsonl").write_text('{"input": "twice", "output": "2 2"}\n' * 2)
    recipe, more = (
        tmp_path / "lora.toml",
        ["--from", tmp_path / "run/adapter", "--data", tmp_path / "new.jsonl"],
    )
    for out, words in (("run", []), ("updated", more)):
        command = [
            sys.executable,
            "-m",
            "tinsmith",
            "make",
            "--until",
            "train",
            recipe,
            "--out",
            tmp_path / out,
            *words,
        ]
        run(tmp_path, *offline, *traced(tmp_path / "log"), *command, "--log", "tensorboard")
        assert not reached(tmp_path / "log")
        assert list((tmp_path / out / "logs").rglob("events.out.tfevents.*"))
