"""Every fuzzer of tests/kernels and the session machine of tests/runtime, in slices of a minute. scripts/fuzz
calls it and says how it is used."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests" / "kernels"
sys.path.insert(0, str(ROOT))

PLACE = ROOT / "build" / "fuzz"
FIGURES = ROOT / "benchmarks" / "figures" / "fuzz.json"
SLICE = 60  # seconds
PROGRAMS = 400  # of a slice of program_fuzz
CASES, STEPS = 60, 60  # of a slice of the session machine
AT_ONCE = 2

Entry = dict[str, int]  # executions, seconds of processor time, inputs that are kept, findings


@dataclass(frozen=True)
class Fuzzer:
    """name: that of its figures. program: its source without _fuzz.c, "session" for the session machine. tin:
    makes what it starts from."""

    name: str
    program: str
    tin: Callable[[Path], object] | None = None


def fuzzers() -> list[Fuzzer]:
    """Each with every kind of model that changes what it reaches."""
    from tests.kernels import safety
    from tests.kernels.test_fuzz import FUZZERS, RECURRENT
    from tests.kernels.tokenizer_kinds import tiny
    from tests.runtime.test_session_machine import KINDS

    from tinsmith.tokenizer.packed import MODELS

    def recurrent(family: str) -> Callable[[Path], object]:
        return lambda path: safety.small_tin(path, "Q8_0", family)

    def text(model: str) -> Callable[[Path], object]:
        return lambda path: safety.text_tin(path, tiny(model))

    made = [Fuzzer(name, name, safety.small_tin) for name in FUZZERS]
    made.append(Fuzzer("vision", "vision", safety.vision_tin))
    made.append(Fuzzer("program", "program", safety.small_tin))
    made += [Fuzzer(f"text-{model}", "text", text(model)) for model in MODELS]
    made += [Fuzzer(f"{name}-{one}", name, recurrent(one)) for name in ("file", "restore") for one in RECURRENT]
    return [*made, *(Fuzzer(f"session-{kind}", "session") for kind in KINDS)]


class Figures:
    """Those of one commit, added up over runs and written after each slice."""

    def __init__(self, path: Path, commit: str) -> None:
        self.path = path
        self.all: dict[str, dict[str, Any]] = json.loads(path.read_text("utf-8")) if path.exists() else {}
        self.mine = self.all.setdefault(commit, {"fuzzers": {}})

    def of(self, name: str) -> Entry:
        entry: Entry = self.mine["fuzzers"].setdefault(name, {"executions": 0, "seconds": 0, "findings": 0})
        return entry

    def add(self, name: str, part: Mapping[str, int]) -> None:
        """inputs: how many there are now; the rest is added."""
        entry = self.of(name)
        for key, value in part.items():
            entry[key] = value if key == "inputs" else entry.get(key, 0) + value
        every = self.mine["fuzzers"].values()
        self.mine["last"] = time.strftime("%Y-%m-%d", time.gmtime())
        for key in ("executions", "seconds", "findings"):
            self.mine[key] = sum(one[key] for one in every)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part_path = self.path.with_suffix(".part")
        part_path.write_text(json.dumps(self.all, indent=1) + "\n", "utf-8")
        part_path.replace(self.path)


def next_of(names: Sequence[str], seconds: Mapping[str, float], busy: set[str]) -> str | None:
    """The one that had least time, among those that nobody is at."""
    waiting = [name for name in names if name not in busy]
    return min(waiting, key=lambda name: seconds[name], default=None)


@dataclass
class Run:
    """What one call of the script does. left: seconds of processor time."""

    fuzzers: dict[str, Fuzzer]
    figures: Figures
    left: float
    busy: set[str] = field(default_factory=set)
    spent: dict[str, float] = field(default_factory=dict)
    found: int = 0

    def go(self) -> None:
        """Slices, AT_ONCE of them at a time, until the time is spent."""
        self.spent = {name: self.figures.of(name)["seconds"] for name in self.fuzzers}
        played: set[str] = set()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            pending: dict[Any, str] = {}
            while True:
                while len(pending) < AT_ONCE and self.left > 0:
                    name = next_of([*self.fuzzers], self.spent, self.busy)
                    if name is None:
                        break
                    self.busy.add(name)
                    played.add(name)
                    pending[pool.submit(slice_of, self.fuzzers[name], self.figures.of(name))] = name
                if not pending:
                    break
                while not any(one.done() for one in pending):
                    time.sleep(0.2)
                for one in [one for one in pending if one.done()]:
                    name = pending.pop(one)
                    seconds, part = one.result()
                    self.busy.discard(name)
                    self.left -= seconds
                    self.spent[name] += max(seconds, 1.0)
                    self.found += part["findings"]
                    self.figures.add(name, {**part, "seconds": round(seconds)})
            for name in played:
                pool.submit(merged, self.fuzzers[name])


def slice_of(fuzzer: Fuzzer, before: Entry) -> tuple[float, dict[str, int]]:
    """The processor time it took, and what to add to its figures."""
    if fuzzer.program == "session":
        # A finding fails the assertion of a rule, which prints the calls that lead to it.
        name = fuzzer.name.partition("-")[2]
        command = [sys.executable, __file__, "--session", name]
    elif fuzzer.program == "program":
        command = [str(program(fuzzer)), str(before["executions"] + 1), str(PROGRAMS)]
    else:
        command = [str(program(fuzzer)), *_options(fuzzer), str(corpus(fuzzer))]
    seconds, status, said = _timed(command, fuzzer)
    part = {"executions": executions(fuzzer.program, said), "findings": 0}
    if status and -status not in (signal.SIGINT, signal.SIGTERM):  # those end this run
        part["findings"] = 1
        place = PLACE / "findings" / f"{fuzzer.name}-{time.time_ns()}.txt"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"{' '.join(command)}\nstatus {status}\n{said}", "utf-8")
        print(f"{fuzzer.name}: found something, see {place.relative_to(ROOT)}", file=sys.stderr, flush=True)
    if corpus(fuzzer).is_dir():
        part["inputs"] = len(list(corpus(fuzzer).iterdir()))
    return seconds, part


def executions(kind: str, said: str) -> int:
    """By what it printed: libFuzzer's count, programs that were played or refused, or calls of sessions."""
    if kind == "program":
        counts = re.findall(r"^(\d+) (\d+) \d+", said, flags=re.M)
        return sum(map(int, counts[-1])) if counts else 0
    pattern = r"^calls: (\d+)" if kind == "session" else r"^stat::number_of_executed_units:\s+(\d+)"
    return sum(map(int, re.findall(pattern, said, flags=re.M)))


def _options(fuzzer: Fuzzer) -> list[str]:
    from tests.kernels.test_fuzz import LONGEST

    findings = PLACE / "findings"
    findings.mkdir(parents=True, exist_ok=True)
    options = [f"-max_total_time={SLICE}", f"-max_len={LONGEST.get(fuzzer.program, 400)}", "-len_control=0"]
    options += ["-timeout=60", "-rss_limit_mb=2500", "-print_final_stats=1"]
    return [*options, f"-artifact_prefix={findings}/{fuzzer.name}-"]


def _timed(command: Sequence[str], fuzzer: Fuzzer) -> tuple[float, int, str]:
    """Processor time, status and words of a command. Behind a shell: a process's peak memory, which libFuzzer
    limits, begins with that of what started it."""
    environment = os.environ | ({"TIN_BASE": str(tin(fuzzer))} if fuzzer.tin else {})
    shell = ["sh", "-c", '"$0" "$@"; exit $?']
    log = PLACE / "logs" / f"{fuzzer.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as out:
        child = subprocess.Popen([*shell, *command], stdout=out, stderr=out, env=environment, cwd=PLACE)
        _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime, child.returncode, log.read_text("utf-8", "replace")


def corpus(fuzzer: Fuzzer) -> Path:
    return PLACE / "corpus" / fuzzer.name


def tin(fuzzer: Fuzzer) -> Path:
    return PLACE / "tins" / f"{fuzzer.name}.tin"


def program(fuzzer: Fuzzer) -> Path:
    return PLACE / "programs" / f"{fuzzer.program}_fuzz"


def prepare(wanted: Sequence[Fuzzer]) -> None:
    """Programs and tins of the tree as it is; corpora that begin with those of tests/kernels."""
    from tests.kernels import safety

    for folder in ("programs", "tins", "corpus"):
        (PLACE / folder).mkdir(parents=True, exist_ok=True)
    kernels = [one for one in wanted if one.tin]
    parts = safety.sanitized() if kernels else []
    for one in {one.program: one for one in kernels}.values():
        flags = [*safety.SANITIZE, *([] if one.program == "program" else ["-fsanitize=fuzzer"])]
        safety.link(safety.clang(), program(one), f"{one.program}_fuzz.c", parts, *flags)
    for one in kernels:
        assert one.tin
        one.tin(tin(one))
        begun = TESTS / "corpus" / one.program
        if begun.is_dir():
            shutil.copytree(begun, corpus(one), dirs_exist_ok=True)


def merged(fuzzer: Fuzzer) -> None:
    """Of a corpus the least inputs that reach the same."""
    if not corpus(fuzzer).is_dir():
        return
    least = PLACE / "corpus" / f"{fuzzer.name}.least"
    shutil.rmtree(least, ignore_errors=True)
    least.mkdir()
    _, status, _ = _timed(
        [str(program(fuzzer)), "-merge=1", *_options(fuzzer)[1:], str(least), str(corpus(fuzzer))], fuzzer
    )
    if status == 0 and any(least.iterdir()):
        shutil.rmtree(corpus(fuzzer))
        least.rename(corpus(fuzzer))
    else:
        shutil.rmtree(least)


def play_sessions(kind: str) -> int:
    """Random calls of sessions; their count goes to stdout. The exit status is 1 where one is wrong."""
    from hypothesis.stateful import invariant
    from tests.runtime import test_session_machine as machine

    calls = 0

    class Counted(machine.KINDS[kind]):  # type: ignore[misc]
        @invariant()
        def counts(self) -> None:
            nonlocal calls
            calls += 1

    machine.KINDS[kind] = Counted
    try:
        machine.explore(kind, CASES, STEPS)
    finally:
        print(f"calls: {calls}", flush=True)
    return 0


def commit() -> str:
    """That which last changed what is fuzzed; with a + where the tree has further changes of it."""

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.strip()

    core = ("kernels", ":!kernels/python", ":!kernels/wasm")
    changed = git("status", "--porcelain", "--untracked-files=no", "--", *core)
    return git("log", "-1", "--format=%h", "--", *core) + ("+" if changed else "")


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/fuzz")
    parser.add_argument("hours", nargs="?", type=float, default=8.0, metavar="HOURS", help="of processor time")
    parser.add_argument("names", nargs="*", metavar="NAME", help="of fuzzers; all of them without one")
    parser.add_argument("--session", metavar="KIND", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.session:
        return play_sessions(given.session)
    known = {one.name: one for one in fuzzers()}
    for name in given.names:
        if name not in known:
            parser.error(f"unknown fuzzer {name}; there are {', '.join(known)}")
    wanted = {name: known[name] for name in given.names or known}
    prepare([*wanted.values()])
    figures = Figures(FIGURES, commit())
    run = Run(wanted, figures, given.hours * 3600)
    run.go()
    print(json.dumps(figures.mine))
    return 1 if run.found else 0


if __name__ == "__main__":
    sys.exit(main())
