"""The demo: the rover obeys, its log replays to the bit, and it hears ROS."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from robot import PATIENCE, Peer, said, until
from std_msgs.msg import String

DEMO = Path(__file__).parents[1] / "demo"
ROVER = os.environ["ROVER"]


def rover(*arguments, **options):
    program = [sys.executable, str(DEMO / "rover.py"), "--file", ROVER, *map(str, arguments)]
    return subprocess.run(program, capture_output=True, text=True, timeout=300, **options)


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """Of the demo's own script."""
    path = tmp_path_factory.mktemp("rover") / "run.jsonl"
    done = rover("--fast", "--log", path)
    assert done.returncode == 0, done.stderr
    return path


def lines(log):
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_it_obeys(log):
    calls = [(line["name"], line["arguments"]) for line in lines(log) if "command" in line]
    assert calls == [
        ("go", {"to": "charger"}),
        ("turn", {"way": "left", "degrees": 90}),
        ("drive", {"way": "forward", "centimetres": 120}),
        ("go", {"to": "door"}),
        ("pace", {"speed": "fast"}),
        ("go", {"to": "table"}),
        ("stop", {}),
        ("drive", {"way": "back", "centimetres": 50}),
        ("go", {"to": "home"}),
    ]


def test_the_log_replays_bit_for_bit(log):
    done = rover("--replay", log)
    assert done.returncode == 0 and "bit for bit" in done.stdout, done.stdout + done.stderr
    scalar = rover("--replay", log, env={**os.environ, "TIN_FORCE_ISA": "scalar"})
    assert scalar.returncode == 0, scalar.stdout + scalar.stderr


@pytest.mark.parametrize("what", ["state", "digest"])
def test_a_log_that_was_changed_is_found_out(log, tmp_path, what):
    told = lines(log)
    line = next(line for line in told[5:] if what in line)
    line[what] = line[what][::-1]
    changed = tmp_path / "changed.jsonl"
    changed.write_text("".join(json.dumps(line) + "\n" for line in told))
    done = rover("--replay", changed)
    assert done.returncode == 1 and ("another state" if what == "state" else "answered by") in done.stdout


def test_the_period_is_told_beside_an_idle_loops(tmp_path):
    path = tmp_path / "run.json"
    done = rover("--always", "--seconds", os.environ.get("ROVER_SECONDS", "6"), "--json", path)
    assert done.returncode == 0, done.stderr
    told = json.loads(path.read_text())
    assert told["answers"] > 0 and set(told["control"]) >= {"p50", "p99_9", "worst", "histogram"}
    assert told["control"]["ticks"] == told["idle_loop"]["ticks"]


def test_it_hears_ros():
    peer, heard = Peer(), []
    peer.node.create_subscription(String, "rover/calls", heard.append, 10)
    commands = peer.node.create_publisher(String, "rover/commands", 10)
    program = [sys.executable, str(DEMO / "rover.py"), "--file", ROVER, "--ros", "--seconds", "20"]
    with subprocess.Popen(program, stdout=subprocess.DEVNULL) as process:
        assert until(lambda: said(commands, "go to the window please", heard))
        assert process.wait(PATIENCE + 60) == 0
    peer.close()
    assert json.loads(heard[0].data)["arguments"] == {"to": "window"}
