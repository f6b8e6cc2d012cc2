"""A peer of another vendor's DDS."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from robot import TINY, Robot


def test_cyclone_dds_asks_and_is_answered(tmp_path):
    program = Path(__file__).with_name("foreign.py")
    with Robot(tmp_path, file=TINY, max_tokens=8).started() as robot:
        told = subprocess.run(
            [sys.executable, program, robot.name, "hello"], capture_output=True, text=True, timeout=150
        )
        assert told.returncode == 0, told.stderr
        assert json.loads(told.stdout) == robot.ask("hello").text
