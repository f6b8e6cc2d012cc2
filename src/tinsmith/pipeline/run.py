"""Stages of a run, brought up to date like a makefile's: skipped when nothing they read or made has changed.

A run is a folder. Its run.json says of each stage what it read (digests and recipe values), what it made
(digests; where it wrote over another stage's output, the digest of that too), its seconds and its facts. It is
replaced in one step after each stage, so a kill loses at most the stage under way, and the long stages resume
from files of their own.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import re
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from tinsmith import __version__, files, reading
from tinsmith.errors import FormatError, InputError
from tinsmith.pipeline.recipe import Recipe
from tinsmith.progress import Display, clock

LOCK = ".tinsmith.lock"
PACKAGES = ("torch", "transformers", "tokenizers", "peft", "numpy", "bm25s", "jinja2")


@dataclass(frozen=True)
class Made:
    """outputs: files a stage made or settled on, whose change makes it stale; facts: JSON values to keep."""

    outputs: list[Path]
    facts: dict[str, Any]


@dataclass(frozen=True)
class Stage:
    """needs: stages to bring up to date first; inputs: JSON values that decide the result; run: makes it."""

    name: str
    needs: tuple[str, ...]
    inputs: Callable[[Run], dict[str, Any]]
    run: Callable[[Run], Made]


class Run:
    """A recipe, the folder its results go to, and what run.json knows of the stages."""

    def __init__(self, recipe: Recipe, folder: Path, display: Display) -> None:
        self.recipe = recipe
        self.folder = folder
        self.display = display
        self.state = _read_state(folder / "run.json")
        self.state.setdefault("stages", {})

    def facts(self, stage: str) -> dict[str, Any]:
        facts: dict[str, Any] = self.state["stages"][stage]["facts"]
        return facts

    def digests(self, stage: str) -> dict[str, str]:
        """The SHA-256 of each output of a finished stage, by its name in run.json."""
        outputs = self.state["stages"][stage]["outputs"]
        return {name: entry["sha256"] for name, entry in outputs.items()}

    def update(self, stages: Sequence[Stage], goals: Sequence[str]) -> None:
        """Brings the goals, and whatever they need, up to date, in the order of `stages`."""
        wanted: set[str] = set()
        for stage in reversed(stages):
            if stage.name in goals or stage.name in wanted:
                wanted |= {stage.name, *stage.needs}
        earlier: list[str] = []
        for stage in stages:
            if stage.name in wanted:
                if self._current(stage):
                    self.display.line(f"{stage.name}: up to date")
                else:
                    self._run(stage, earlier)
            earlier.append(stage.name)

    def _current(self, stage: Stage) -> bool:
        record = self.state["stages"].get(stage.name)
        if record is None or record["inputs_sha256"] != _digest(self._inputs(stage)):
            return False
        return all(self._intact(name, self._latest(name, entry)) for name, entry in record["outputs"].items())

    def _latest(self, name: str, entry: dict[str, Any]) -> dict[str, Any]:
        """What is on disk if nothing changed: an output, or what a later stage wrote in its place."""
        for record in self.state["stages"].values():
            if record.get("rewrote", {}).get(name) == entry["sha256"]:
                rewritten: dict[str, Any] = record["outputs"][name]
                return rewritten
        return entry

    def _intact(self, name: str, entry: dict[str, Any]) -> bool:
        path = self.folder / name
        try:
            stat = path.stat()
        except OSError:
            return False
        if stat.st_size != entry["bytes"]:
            return False
        return bool(stat.st_mtime_ns == entry["mtime_ns"] or files.sha256_file(path) == entry["sha256"])

    def _run(self, stage: Stage, earlier: Sequence[str]) -> None:
        self.display.line(f"{stage.name}: …")
        start = time.monotonic()
        # Until it has finished again, the stage is not to be taken for done.
        if self.state["stages"].pop(stage.name, None) is not None:
            self._save()
        made = stage.run(self)
        seconds = time.monotonic() - start
        inputs = self._inputs(stage)
        outputs = {self._name(path): _entry(path) for path in made.outputs}
        rewrote = {
            name: entry["sha256"]
            for other in earlier
            for name, entry in self.state["stages"].get(other, {}).get("outputs", {}).items()
            if name in outputs
        }
        self.state["stages"][stage.name] = {
            "inputs": inputs,
            "inputs_sha256": _digest(inputs),
            "outputs": outputs,
            **({"rewrote": rewrote} if rewrote else {}),
            "facts": made.facts,
            "seconds": round(seconds, 3),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        self._save()
        self.display.line(f"{stage.name}: done in {clock(seconds)}")

    def _inputs(self, stage: Stage) -> dict[str, Any]:
        return {"tinsmith": __version__, **stage.inputs(self)}

    def _name(self, path: Path) -> str:
        """Relative to the run's folder where the file is in it, absolute elsewhere."""
        path = path.resolve()
        return str(path.relative_to(self.folder) if path.is_relative_to(self.folder) else path)

    def _save(self) -> None:
        recipe = self.recipe
        self.state = {
            "recipe": {"path": str(recipe.path), "sha256": recipe.sha256, "name": recipe.name},
            "machine": machine(),
            "versions": versions(),
            "command": ["tinsmith", *sys.argv[1:]],
            "stages": self.state["stages"],
        }
        text = json.dumps(self.state, indent=2, ensure_ascii=False)
        files.write_text(self.folder / "run.json", text + "\n")


@contextmanager
def opened(recipe: Recipe, folder: Path, display: Display) -> Iterator[Run]:
    """The run in `folder`, made if missing, and locked: two at a time would overwrite each other's files.

    The lock is the process's own, so a killed run leaves none behind. Raises InputError while another holds it.
    """
    folder = folder.resolve()
    try:
        files.make_folder(folder)
        lock = _open_lock(folder / LOCK)
    except OSError as error:
        raise files.write_fault(folder / LOCK, error) from error
    with lock:
        if not _try_lock(lock.fileno()):
            raise InputError(
                f"{folder}: another tinsmith is at work in it; wait for it, or give another folder with --out"
            )
        number = _number(lock, folder / LOCK)
        files.remove_leftovers(folder, number)
        with files.temporaries_of(number):
            yield Run(recipe, folder, display)


def _open_lock(path: Path) -> TextIO:
    """Neither through a link, which may lead to another program's file, nor waiting at a pipe."""
    more = os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    return open(path, "r+", encoding="ascii", opener=lambda name, flags: os.open(name, flags | more, 0o666))


def _number(lock: TextIO, path: Path) -> str:
    """What tells this run's temporary files from all others: kept in its lock, before there is any of them."""
    try:
        found = re.fullmatch(r"([0-9a-f]{16})\n", lock.read())
        if found:
            return found[1]
        number = secrets.token_hex(8)
        lock.seek(0)
        lock.truncate()
        lock.write(f"{number}\n")
        lock.flush()
        os.fsync(lock.fileno())
    except (OSError, ValueError) as error:
        fault = error if isinstance(error, OSError) else OSError(str(error))
        raise files.write_fault(path, fault) from error
    return number


def _try_lock(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _read_state(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    advice = "it is damaged, delete it to run every stage again"
    state = reading.read_table(path, FormatError, advice=advice)
    stages = state.get("stages", {})
    if not isinstance(stages, dict) or not all(map(_is_record, stages.values())):
        raise FormatError(f"{path}: is not a run's record; {advice}")
    return state


def _is_record(stage: Any) -> bool:
    """Whether it is what `Run._run` keeps of a finished stage."""
    if not isinstance(stage, dict) or not isinstance(stage.get("outputs"), dict):
        return False
    outputs = stage["outputs"].values()
    return (
        isinstance(stage.get("facts"), dict)
        and isinstance(stage.get("inputs_sha256"), str)
        and isinstance(stage.get("rewrote", {}), dict)
        and all(isinstance(one, dict) and one.keys() >= {"sha256", "bytes", "mtime_ns"} for one in outputs)
    )


def _entry(path: Path) -> dict[str, Any]:
    stat = path.stat()
    return {"sha256": files.sha256_file(path), "bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns}


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def versions() -> dict[str, str]:
    """Versions of Python and of the packages a run may use; those that are not installed are left out."""
    found = {"tinsmith": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """What the run's times were measured on. memory: bytes."""
    facts: dict[str, Any] = {
        "system": platform.system(),
        "architecture": platform.machine(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
    }
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        facts["memory"] = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return facts


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
