"""Mutation testing: small edits of what must not be wrong, and whether the tests notice each.

    scripts/mutants [--subject NAME]... [--limit 60] [--seed 1] [--again] [--report]

Of each subject of scripts/mutants.toml, --limit edits (scripts/mutations.py) are drawn by the seed, the same
ones each time. Each is made in a copy of the checkout in build/mutants, where the extension is linked with the
one source that changed, and the subject's tests run until one fails: the edit is killed. It is, too, where they
take ten times as long as usual. An edit that does not compile is not counted, nor one that compiles to the same
object: another is drawn in its place. A compiler's warning kills none. Results are kept by the edit and its
source in build/mutants/results.jsonl, so that an interrupted run resumes and the edits of a source that changed
are tried anew. --again tries once more what survived, after tests were added; --report tries nothing.

Survivors that no test can kill are argued one by one in scripts/mutants.toml. Prints the other survivors,
writes the figures to benchmarks/figures/mutants.json, and prints these.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections import Counter
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import measured
import mutations
from measured import ROOT

BUILD = ROOT / "build" / "mutants"
TREE, CMAKE, TOOLS, RESULTS = BUILD / "tree", BUILD / "cmake", BUILD / "bin", BUILD / "results.jsonl"
USUAL = BUILD / "usual.json"
WRAPPER = '#!/bin/sh\nexec {compiler} "$@" -Wno-error\n'


class Subject(NamedTuple):
    files: list[Path]
    tests: list[str]  # each a call of pytest, the cheapest first


class Mutant(NamedTuple):
    file: str
    edit: mutations.Edit
    text: bytes  # of the whole source

    @property
    def place(self) -> dict[str, Any]:
        line = self.text.count(b"\n", 0, self.edit.start) + 1
        words = {"file": self.file, "line": line, "code": self.text.splitlines()[line - 1].decode().strip()}
        old = self.text[self.edit.start : self.edit.end].decode()
        return words | {"operator": self.edit.operator, "old": old, "new": self.edit.new}

    @property
    def key(self) -> str:
        return hashlib.sha256(repr(self).encode()).hexdigest()[:24]


def subjects() -> tuple[dict[str, Subject], list[dict[str, str]]]:
    """By their names; and the survivors that are argued."""
    table = tomllib.loads((ROOT / "scripts" / "mutants.toml").read_text("utf-8"))
    found = {
        name: Subject(sorted(path for one in subject["files"] for path in ROOT.glob(one)), subject["tests"])
        for name, subject in table["subjects"].items()
    }
    return found, table.get("argued", [])


def drawn(subject: Subject, name: str, seed: int) -> list[Mutant]:
    """Every edit, in the order in which they are tried."""
    texts = {path: path.read_bytes() for path in subject.files}
    found = [
        Mutant(str(path.relative_to(ROOT)), edit, text)
        for path, text in texts.items()
        for edit in mutations.edits(path)
    ]
    random.Random(f"{seed} {name}").shuffle(found)
    return found


def set_up() -> tuple[Path, dict[str, str]]:
    """The copy with its own build; the Python that has it, and the environment of the tests."""
    TOOLS.mkdir(parents=True, exist_ok=True)
    for name in ("cc", "clang", "clang-19"):
        if compiler := shutil.which(name):
            (TOOLS / name).write_text(WRAPPER.format(compiler=compiler))
            (TOOLS / name).chmod(0o755)
    path = os.pathsep.join([str(BUILD / "venv" / "bin"), str(TOOLS), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "CC": "cc"}
    files = measured.sources(".")
    wanted = {TREE / path.relative_to(ROOT): path for path in files}
    for there in [path for path in TREE.rglob("*") if path.is_file() and path not in wanted]:
        if not {"build", "__pycache__"} & {*there.relative_to(TREE).parts}:
            there.unlink()
    for there, path in wanted.items():
        if not there.exists() or there.read_bytes() != path.read_bytes():
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, there)
    stamp, now = BUILD / "sources", measured.digest(measured.sources("kernels", "src", "CMakeLists.txt"))
    if not stamp.exists() or stamp.read_text() != now:
        USUAL.unlink(missing_ok=True)
        measured.install(TREE, BUILD / "venv", environment)
        stamp.write_text(now)
    use(CMAKE / "_core.abi3.so")
    return BUILD / "venv" / "bin" / "python", environment


def changed_object(source: Path) -> bool | None:
    """Compiles a source of the copy and links the extension with it. None where that fails; else whether the
    object is another than before."""
    commands = json.loads((CMAKE / "compile_commands.json").read_text())
    (command,) = [one for one in commands if one["file"] == str(source)]
    words, output = shlex.split(command["command"]), BUILD / "mutant.o"
    at = words.index("-o") + 1
    before = Path(command["directory"]) / words[at]
    words[at] = str(output)
    if subprocess.run(words, cwd=command["directory"], capture_output=True).returncode:
        return None
    if output.read_bytes() == before.read_bytes():
        return False
    objects = [path for path in CMAKE.rglob("*.o") if path != before]
    subprocess.run(["cc", "-shared", "-pthread", "-o", BUILD / "core.so", output, *objects], check=True)
    use(BUILD / "core.so")
    return True


def use(library: Path) -> None:
    """As the extension of the tests."""
    there = measured.site(BUILD / "venv") / "tinsmith" / "_core.abi3.so"
    shutil.copy(library, there.with_suffix(".new"))
    there.with_suffix(".new").replace(there)


class Tests:
    """Runs tests in the copy, and knows how long each call of pytest takes where nothing is wrong."""

    def __init__(self) -> None:
        self.python, self.environment = set_up()
        self.usual: dict[str, float] = json.loads(USUAL.read_text()) if USUAL.exists() else {}

    def pass_unchanged(self, calls: list[str]) -> None:
        for call in calls:
            if self._key(call) not in self.usual:
                began = time.monotonic()
                if how := self._failed(call, 3600):
                    sys.exit(f"error: the tests fail without an edit: {how} (all of it: {BUILD / 'tests.txt'})")
                self.usual[self._key(call)] = time.monotonic() - began
                USUAL.write_text(json.dumps(self.usual))

    @staticmethod
    @cache
    def _key(call: str) -> str:
        """With a digest of its tests and what stands beside them: one that fails by itself must not count as a
        killer."""
        files = [word.partition("::")[0] for word in call.split()]
        named = {ROOT / file for file in files}
        beside = measured.sources(*{str(Path(file).parent) for file in files})
        tests = [path for path in beside if path in named or not path.name.startswith("test_")]
        return f"{call} {measured.digest(tests)}"

    def killer(self, calls: list[str]) -> str:
        """What fails; "" where nothing does."""
        return next(
            (how for call in calls if (how := self._failed(call, 60 + 10 * self.usual[self._key(call)]))), ""
        )

    def _failed(self, call: str, most: float) -> str:
        """most: seconds of CPU time of each process, so that a busy machine kills no edit; a deadlock gets ten
        times as many on the clock."""
        words = ["sh", "-c", f'ulimit -t {most:.0f}; exec "$@"', "sh", self.python, "-m", "pytest"]
        words += ["-q", "-x", "--tb=line", "-rfE", *call.split()]
        with (BUILD / "tests.txt").open("w") as log:
            child = subprocess.Popen(
                words, cwd=TREE, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
            try:
                status = child.wait(10 * most)
            except subprocess.TimeoutExpired:
                return "too slow"
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
                child.wait()
        lines = (BUILD / "tests.txt").read_text("utf-8", "replace").splitlines()
        named = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
        return "" if status == 0 else (named[-1][:200] if named else f"pytest ended with {status}")


def tried(mutant: Mutant, subject: Subject, tests: Tests) -> dict[str, Any]:
    path, began = TREE / mutant.file, time.monotonic()
    try:
        write(path, mutations.applied(mutant.text, mutant.edit))
        changed = changed_object(path) if path.suffix == ".c" else changed_module(path, mutant.text)
        if not changed:
            return {"status": "not compiled" if changed is None else "same object"}
        by = tests.killer(subject.tests)
        return {"status": "killed" if by else "survived", "by": by, "seconds": round(time.monotonic() - began)}
    finally:
        write(path, mutant.text)
        use(CMAKE / "_core.abi3.so")


def write(path: Path, text: bytes) -> None:
    path.write_bytes(text)
    for compiled in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):  # two edits in one second look alike
        compiled.unlink()


def changed_module(path: Path, before: bytes) -> bool | None:
    """As changed_object, of a Python source. Annotations, which nothing evaluates, make no difference."""
    try:
        compile(path.read_bytes(), path.name, "exec")
    except SyntaxError:
        return None
    return _without_annotations(path.read_bytes()) != _without_annotations(before)


def _without_annotations(source: bytes) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.returns = None
        if isinstance(node, ast.arg):
            node.annotation = None
    return ast.dump(tree)


def results() -> dict[str, dict[str, Any]]:
    lines = RESULTS.read_text("utf-8").splitlines() if RESULTS.exists() else []
    return {row["key"]: row for row in map(json.loads, lines)}


def run(names: list[str], limit: int, seed: int, again: bool) -> None:
    table, tests, known = subjects()[0], Tests(), results()
    left = {name: drawn(table[name], name, seed) for name in names}
    counted: Counter[str] = Counter()
    while any(left.values()):  # by turns, so that an interrupted run is spread evenly
        for name, mutants in left.items():
            while mutants and counted[name] < limit:
                mutant = mutants.pop(0)
                row = known.get(mutant.key)
                if row is None or (again and row["status"] == "survived"):
                    tests.pass_unchanged(table[name].tests)
                    row = {"key": mutant.key, "subject": name, **mutant.place}
                    row |= tried(mutant, table[name], tests)
                    with RESULTS.open("a", encoding="utf-8") as out:
                        out.write(json.dumps(row) + "\n")
                    print(described(row), file=sys.stderr)
                if row["status"] in ("killed", "survived"):
                    counted[name] += 1
                    break
            if counted[name] >= limit:
                mutants.clear()


def described(row: dict[str, Any]) -> str:
    return f"{row['status']}: {row['file']}:{row['line']}: {row['code']}: {row['old']!r} -> {row['new']!r}"


def report(limit: int, seed: int) -> None:
    known, figures = results(), {}
    table, reasons = subjects()
    for name, subject in table.items():
        rows = [known[one.key] for one in drawn(subject, name, seed) if one.key in known]
        counted = [row for row in rows if row["status"] in ("killed", "survived")][:limit]
        survived = [row for row in counted if row["status"] == "survived"]
        open_ = [row for row in survived if not any(is_of(reason, row) for reason in reasons)]
        print(*map(described, open_), sep="\n", end="\n" if open_ else "")
        statuses = Counter(row["status"] for row in rows)
        figures[name] = {"edits": len(drawn(subject, name, seed)), "counted": len(counted)}
        figures[name] |= {"killed": len(counted) - len(survived), "survived": len(survived)}
        figures[name] |= {"argued": len(survived) - len(open_)}
        figures[name] |= {key.replace(" ", "_"): statuses[key] for key in ("not compiled", "same object")}
    total = {key: sum(one[key] for one in figures.values()) for key in figures["seal"]}
    measured.record("mutants", {"seed": seed, "all": total, **figures})


def is_of(reason: dict[str, str], row: dict[str, Any]) -> bool:
    return all(reason[key] == row[key] for key in ("file", "code", "old", "new"))


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="scripts/mutants", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--subject", action="append", choices=[*subjects()[0]])
    parser.add_argument("--limit", type=int, default=60, help="mutants of each subject")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--again", action="store_true", help="tries survivors again")
    parser.add_argument("--report", action="store_true", help="of what was tried before; tries nothing")
    options = parser.parse_args()
    if not options.report:
        run(options.subject or [*subjects()[0]], options.limit, options.seed, options.again)
    report(options.limit, options.seed)


if __name__ == "__main__":
    main()
