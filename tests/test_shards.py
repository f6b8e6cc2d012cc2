"""Every slow test has one turn; the others have each."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
BOTH = "import pytest\n@pytest.mark.slow\ndef test_slow(): pass\ndef test_quick(): pass\n"


def collected(folder: Path, *arguments: str) -> set[str]:
    command = [sys.executable, "-m", "pytest", "-c", ROOT / "pyproject.toml", "--rootdir", folder]
    command += ["--collect-only", "-q", "-m", "", *arguments, folder]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(re.findall(r"test_\w+\.py::\w+", done.stdout))


def test_each_slow_test_has_one_turn(tmp_path: Path) -> None:
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)
    for name in "abcd":
        (tmp_path / f"test_{name}.py").write_text(BOTH)
    slow, quick = ({f"test_{name}.py::test_{kind}" for name in "abcd"} for kind in ("slow", "quick"))
    assert collected(tmp_path) == slow | quick
    turns = [collected(tmp_path, f"--turn={960 + turn}") for turn in range(3)]
    assert set.union(*turns) == slow | quick
    assert all(found > quick for found in turns)
    assert sum(len(found - quick) for found in turns) == len(slow)
