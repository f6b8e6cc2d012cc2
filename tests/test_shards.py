"""CI's second run: each slow test in one shard, and what the first run skipped."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
TESTS = """
import pytest
@pytest.mark.slow
def test_slow(): pass
def test_quick(): pass
def test_peer(): pytest.importorskip("no_such_peer")
"""
MODULE = "import pytest\npytest.importorskip('no_such_peer')\ndef test_inside(): pass\n"


def pytest_in(folder: Path, *arguments: str) -> str:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-c",
        str(ROOT / "pyproject.toml"),
        "--rootdir",
        str(folder),
        "-q",
    ]
    return subprocess.run([*command, *arguments, folder], capture_output=True, text=True, check=True).stdout


def collected(folder: Path, *arguments: str) -> set[str]:
    return set(re.findall(r"test_\w+\.py::\w+", pytest_in(folder, "--collect-only", "-m", "", *arguments)))


def test_each_slow_test_is_in_one_shard(tmp_path: Path) -> None:
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)
    for name in "abcd":
        (tmp_path / f"test_{name}.py").write_text(TESTS)
    slow = {f"test_{name}.py::test_slow" for name in "abcd"}
    assert collected(tmp_path) > slow
    shards = [collected(tmp_path, f"--shard={960 + shard}") for shard in range(3)]
    assert set.union(*shards) == slow
    assert all(shards)
    assert sum(map(len, shards)) == len(slow)


def test_a_shard_runs_what_the_first_run_skipped(tmp_path: Path) -> None:
    """Tests and whole modules, by one process and by two workers."""
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)
    (tmp_path / "test_a.py").write_text(TESTS)
    (tmp_path / "test_b.py").write_text(MODULE)
    for workers in ("0", "2"):
        skips = tmp_path / f"skips-{workers}"
        pytest_in(tmp_path, "-n", workers, f"--skips-to={skips}")
        assert skips.read_text().splitlines() == ["test_a.py::test_peer", "test_b.py"]
    (tmp_path / "test_b.py").write_text(MODULE.replace("no_such_peer", "json"))
    found = collected(tmp_path, "--shard=0", f"--skips-from={tmp_path / 'skips-2'}")
    assert found == {"test_a.py::test_slow", "test_a.py::test_peer", "test_b.py::test_inside"}
