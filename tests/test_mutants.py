"""The edits of scripts/mutants, and that an interrupted run resumes."""

from __future__ import annotations

import subprocess
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import mutants
import mutations
import pytest

PYTHON = """
def least(values, most=3):
    if not values or most < 0:
        return None
    total = 0
    for value in values:
        total += value * 2
    print(total)
    return total if total is not None else most - 1
"""
C = """#include <string.h>
static const int table[2] = {7, 8};
#define TWICE(x) ((x) * 2)
int least(const int *values, int count) {
    int total = 0;
    if (!values || count < 0) { return -1; }
    for (int k = 0; k < count; k++) { total += values[k] << 1; }
    memcpy(&total, values, sizeof total);
    return TWICE(total) + table[count & 1];
}
"""
EVERY = {"relation", "arithmetic", "logic", "constant", "condition", "return", "statement"}


def test_edits_of_python_compile(tmp_path: Path) -> None:
    path = tmp_path / "least.py"
    path.write_text(PYTHON)
    found = mutations.edits(path)
    assert {edit.operator for edit in found} == EVERY
    texts = {mutations.applied(path.read_bytes(), edit) for edit in found}
    assert len(texts) == len(found)
    assert PYTHON.encode() not in texts
    for text in texts:
        compile(text, "least.py", "exec")


def test_edits_of_c_compile_and_leave_tables_and_macros_alone(tmp_path: Path) -> None:
    pytest.importorskip("clang.cindex", reason="libclang is not installed")
    path = tmp_path / "kernels" / "least.c"
    path.parent.mkdir()
    path.write_text(C)
    try:
        found = mutations.edits(path)
    except FileNotFoundError:
        pytest.skip("clang-19 is not installed")
    assert {edit.operator for edit in found} == EVERY
    untouched = C[: C.index("int least")].encode()
    for edit in found:
        text = mutations.applied(path.read_bytes(), edit)
        assert text.startswith(untouched)
        assert text != C.encode()
        subprocess.run(["cc", "-std=c11", "-fsyntax-only", "-x", "c", "-"], input=text, check=True)


def test_an_interrupted_run_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Subjects take turns; what was tried is not tried again, but for a source that changed."""
    tried: list[str] = []

    class Tests:
        def pass_unchanged(self, calls: list[str]) -> None:
            pass

    def outcome(mutant: mutants.Mutant, subject: mutants.Subject, tests: Any) -> dict[str, Any]:
        if len(tried) == interrupted:
            raise KeyboardInterrupt
        tried.append(mutant.file)
        kinds = ("killed", "survived", "not compiled", "same object")
        return {"status": kinds[len(tried) % 4], "by": "", "seconds": 1}

    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text(PYTHON)
    table = {name: mutants.Subject([tmp_path / f"{name}.py"], ["test_it.py"]) for name in ("one", "two")}
    monkeypatch.setattr(mutants, "ROOT", tmp_path)
    monkeypatch.setattr(mutants, "RESULTS", tmp_path / "results.jsonl")
    monkeypatch.setattr(mutants, "Tests", Tests)
    monkeypatch.setattr(mutants, "tried", outcome)
    monkeypatch.setattr(mutants, "subjects", lambda: (table, []))
    interrupted = 9
    with pytest.raises(KeyboardInterrupt):
        mutants.run(["one", "two"], limit=5, seed=1, again=False)
    assert {*tried} == {"one.py", "two.py"}
    interrupted = 1000
    mutants.run(["one", "two"], limit=5, seed=1, again=False)
    rows = [*mutants.results().values()]
    counted = Counter(row["subject"] for row in rows if row["status"] in ("killed", "survived"))
    assert counted == {"one": 5, "two": 5}
    assert len(rows) == len(tried)
    mutants.run(["one", "two"], limit=5, seed=1, again=False)
    assert len(rows) == len(tried)
    (tmp_path / "two.py").write_text(PYTHON + "\n")
    mutants.run(["one", "two"], limit=5, seed=1, again=False)
    assert {*tried[len(rows) :]} == {"two.py"}


def test_every_path_and_argued_line_is_in_the_tree() -> None:
    subjects, argued = mutants.subjects()
    table = tomllib.loads((mutants.ROOT / "scripts" / "mutants.toml").read_text("utf-8"))["subjects"]
    patterns = [one for subject in table.values() for one in subject["files"]]
    tests = [one for subject in subjects.values() for call in subject.tests for one in call.split()]
    assert [one for one in (*patterns, *tests) if not any(mutants.ROOT.glob(one.partition("::")[0]))] == []
    for one in argued:
        assert one["code"] in (mutants.ROOT / one["file"]).read_text("utf-8")


def test_annotations_make_no_difference(tmp_path: Path) -> None:
    path, before = tmp_path / "least.py", b"def least(a: int | None) -> int | None:\n    return a or 3\n"
    for now, changed in (
        (before.replace(b"|", b"&"), False),
        (before.replace(b"3", b"4"), True),
        (before.replace(b":", b"", 1), None),
    ):
        path.write_bytes(now)
        assert mutants.changed_module(path, before) is changed
