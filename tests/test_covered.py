"""What scripts/coverage counts as reached."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import covered
import pytest

SOURCE = """#define EACH(x) do { x; } while (0)
static int chosen(int x) {
    if (x > 5 && x < 9) {
        return 1;
    }
    EACH(x++);
    return sizeof(int) == 4 ? x : 0;
}

int main(void) {
    return chosen(7) - 1;
}
"""


def test_lines_and_branches_of_a_program(tmp_path: Path) -> None:
    """Both ways of each condition count; one that the compiler decides does not."""
    tools = [shutil.which(name) for name in ("clang-19", "llvm-profdata-19", "llvm-cov-19")]
    if None in tools:
        pytest.skip("clang-19 and llvm-19 are not installed")
    clang, profdata, cov = map(str, tools)
    (tmp_path / "a.c").write_text(SOURCE)

    def run(*words: str, **environment: str) -> bytes:
        return subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, check=True).stdout

    run(clang, *covered.FLAGS.split(), "a.c", "-o", "a", PATH="/usr/bin:/bin")
    run("./a", LLVM_PROFILE_FILE="a.profraw")
    run(profdata, "merge", "a.profraw", "-o", "a.profdata")
    (file,) = json.loads(run(cov, "export", "--skip-expansions", "a", "-instr-profile=a.profdata"))["data"][0][
        "files"
    ]
    lines = covered.covered_lines(file["segments"])
    assert {line for line, count in lines.items() if count} == {2, 3, 4, 5, 8, 10, 11, 12}
    assert {line for line, count in lines.items() if not count} >= {6, 7}
    branches = covered.covered_branches(file["branches"], file["segments"])
    ways = {place: bool(count) for place, count in branches.items() if place[0] == 3}
    assert ways == {
        (3, 9, "true"): True,
        (3, 9, "false"): False,
        (3, 18, "true"): True,
        (3, 18, "false"): False,
    }


def test_a_negative_count_is_unreached() -> None:
    assert covered.covered_lines([[1, 1, 1 << 63, True, True, False], [1, 9, 0, False, False, False]]) == {1: 0}


def test_sources_compiled_several_times_are_reached_by_any() -> None:
    segments = [[1, 1, 2, True, True, False], [1, 9, 0, False, False, False]]
    twice = [[1, 1, 1, 5, 3, 0, 0, 0, 4], [1, 1, 1, 5, 0, 2, 0, 0, 4]]
    assert covered.covered_branches(twice, segments) == {(1, 1, "true"): 3, (1, 1, "false"): 2}


def test_shares_are_of_all_and_of_each_folder() -> None:
    figures = covered.figures_of({"a/b.c": ({1: 1, 2: 0}, {(1, 1, "true"): 1}), "a/c/d.c": ({1: 4, 2: 1}, {})})
    assert (figures["all"]["lines_percent"], figures["a"]["lines_percent"]) == (75.0, 50.0)
    assert "branches_percent" not in figures["a/c"]
