"""A run: a folder, its record, and which stages are stale.

A stage runs again when something it read or made has changed, as in a makefile. run.json records for each stage
its inputs (digests and recipe values), the digests of its outputs, its seconds and its facts. It is replaced
atomically after each stage: a kill loses at most the stage under way, and long stages resume from files of
their own.

run.json also names each file and folder of the run before the run first writes it. The run never replaces
another file in the folder, nor a file that the recipe reads."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import platform
import re
import secrets
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any, Generic, TextIO, TypeVar

from tinsmith import __version__, hub
from tinsmith.errors import FormatError, InputError
from tinsmith.pipeline.recipe.values import Recipe
from tinsmith.pipeline.stage import Facts, Made, Reporter
from tinsmith.system import files, reading
from tinsmith.system.from_json import digest_of, from_json
from tinsmith.system.machine import cpu
from tinsmith.system.memory import total
from tinsmith.system.progress import Display, clock

LOCK = ".tinsmith.lock"
STATE = "run.json"
PACKAGES = ("torch", "transformers", "tokenizers", "peft", "numpy", "bm25s", "jinja2")

Inputs = TypeVar("Inputs")


@dataclass(frozen=True)
class Output:
    """A file when its stage ended."""

    sha256: str
    bytes: int
    mtime_ns: int


@dataclass(frozen=True)
class Record(Generic[Facts]):
    """A finished stage in run.json. outputs: by their name in the run's folder, or by their absolute path."""

    inputs: dict[str, Any]
    inputs_sha256: str
    outputs: dict[str, Output]
    facts: Facts
    seconds: float
    finished: str

    @property
    def digests(self) -> dict[str, str]:
        return {name: output.sha256 for name, output in self.outputs.items()}

    @classmethod
    def read(cls, kind: type[Facts], value: Any) -> Record[Facts]:
        """Raises ValueError for a value that is no record with this kind of facts."""
        record: Record[Any] = from_json(cls, value)
        return dataclasses.replace(record, facts=from_json(kind, record.facts))


@dataclass(frozen=True)
class Stage(Generic[Inputs, Facts]):
    """after: the names of the stages before it; facts: the type of its facts; inputs: collects its inputs once
    the stages before it are up to date; digests: the JSON values of the inputs that decide the result; make:
    runs the stage; check: raises what should be refused before it runs.

    ships: its outputs are results for users. An output that a changed recipe no longer makes is removed.

    outlives_version: another version of tinsmith keeps its result, which is too slow to make again."""

    name: str
    after: tuple[str, ...]
    facts: type[Facts]
    inputs: Callable[[Run], Inputs]
    digests: Callable[[Inputs], dict[str, Any]]
    make: Callable[[Inputs, Path, Reporter], Made[Facts]]
    check: Callable[[Run], None] | None = None
    ships: bool = False
    outlives_version: bool = False

    def decides(self, given: Inputs) -> dict[str, Any]:
        """All that decides the result, as run.json keeps it."""
        version = {} if self.outlives_version else {"tinsmith": __version__}
        return {**version, **self.digests(given)}


class Run:
    """A recipe, its folder, and the record of the stages and of files of earlier stages. log: the kind of files
    that training writes its curves to, which no stage depends on."""

    def __init__(self, recipe: Recipe, folder: Path, display: Display) -> None:
        self.recipe = recipe
        self.folder = folder
        self.display = display
        self.reporter = Reporter(display)
        self.log: str | None = None
        self.state = _read_state(folder / STATE)

    def record(self, stage: Stage[Any, Facts]) -> Record[Facts] | None:
        """None for a stage that never finished, or whose facts have another form."""
        try:
            return Record.read(stage.facts, self.state["stages"][stage.name])
        except (KeyError, ValueError):
            return None

    def done(self, stage: Stage[Any, Facts]) -> Record[Facts]:
        """The record of a stage that is up to date."""
        record = self.record(stage)
        assert record is not None, f"{stage.name} was brought up to date"
        return record

    def update(self, stages: Sequence[Stage[Any, Any]], goals: Sequence[str]) -> None:
        """Brings the goals, and the stages they need, up to date, in the order of `stages`."""
        wanted: set[str] = set()
        for stage in reversed(stages):
            if stage.name in goals or stage.name in wanted:
                wanted |= {stage.name, *stage.after}
        for stage in stages:
            if stage.name not in wanted:
                continue
            if self.is_current(stage):
                self.display.line(f"{stage.name}: up to date")
            else:
                self._make(stage)

    def is_current(self, stage: Stage[Any, Any]) -> bool:
        """Whether its inputs and outputs are unchanged. The stages before it are up to date."""
        record = self.record(stage)
        if record is None or record.inputs_sha256 != digest_of(stage.decides(stage.inputs(self))):
            return False
        return self.is_intact(record)

    def is_intact(self, record: Record[Any]) -> bool:
        """Whether the stage's outputs are unchanged."""
        return all(self._is_same(name, output) for name, output in record.outputs.items())

    def _is_same(self, name: str, output: Output) -> bool:
        path = self.folder / name
        try:
            stat = path.stat()
        except OSError:
            return False
        if stat.st_size != output.bytes:
            return False
        return stat.st_mtime_ns == output.mtime_ns or files.sha256_file(path) == output.sha256

    def _make(self, stage: Stage[Any, Any]) -> None:
        self.display.line(f"{stage.name}: …")
        start = time.monotonic()
        # The stage does not count as done until it has finished again.
        self.forget(stage)
        if stage.check is not None:
            stage.check(self)
        given = stage.inputs(self)
        found = stage.decides(given)
        made = stage.make(given, self.folder, self.reporter)
        seconds = time.monotonic() - start
        inputs = _as_read(found, stage.decides(stage.inputs(self)))
        record = Record(
            inputs=inputs,
            inputs_sha256=digest_of(inputs),
            outputs={self._name(path): _output(path) for path in made.outputs},
            facts=made.facts,
            seconds=round(seconds, 3),
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        self.state["stages"][stage.name] = dataclasses.asdict(record)
        self._save()
        self.display.line(f"{stage.name}: done in {clock(seconds)}")

    def forget(self, stage: Stage[Any, Any]) -> None:
        """Drops the stage's record."""
        record = self.state["stages"].pop(stage.name, None)
        if record is not None:
            if stage.ships:
                self.state["earlier"] |= record.get("outputs", {})
            self._save()

    def note(self, paths: Sequence[Path]) -> None:
        """Records files that the run made outside of a stage."""
        self.state["earlier"] |= {self._name(path): dataclasses.asdict(_output(path)) for path in paths}
        self._save()

    def remove_earlier(self, kept: Collection[str]) -> None:
        """Removes the files of earlier stages, except for a stage's current output, a name in `kept`, a file
        outside the run's folder, and one that somebody changed."""
        named = {name for stage in self.state["stages"].values() for name in stage.get("outputs", ())}
        left = {}
        for name, value in self.state["earlier"].items():
            if name in kept:
                left[name] = value
            elif name not in named and self._is_ours(name, value["sha256"]):
                try:
                    (self.folder / name).unlink()
                    self.state["files"] = [one for one in self.state["files"] if one != name]
                    self.display.line(f"{name}: removed, the recipe makes it no more")
                except OSError as error:
                    left[name] = value
                    self.display.line(f"{name}: is of an earlier recipe, and stays: {error.strerror or error}")
        if left != self.state["earlier"]:
            self.state["earlier"] = left
            self._save()

    @cached_property
    def _read(self) -> set[Path]:
        return inputs(self.recipe)

    def claim(self, path: Path) -> None:
        """Records a file or folder as the run's before it is written. Raises InputError as `check` does."""
        self.check(path)
        name = self._own_name(path)
        if name is not None and not self._is_named(name):
            self.state["files"] = sorted({*self.state["files"], name.as_posix()})
            self._save()

    def check(self, path: Path) -> None:
        """Raises InputError for a path that the run must not write: an input of its recipe, or an existing file
        that is not the run's."""
        real = files.resolved(path)
        read = next((one for one in self._read if real.is_relative_to(one)), None)
        if read is not None:
            raise InputError(
                f"{path}: the run would replace it, and {self.recipe.path} reads {read}; give another folder "
                "with --out"
            )
        name = self._own_name(path)
        if name is None or not os.path.lexists(path) or (self._is_named(name) and not path.is_symlink()):
            return
        raise InputError(
            f"{path}: is there, and the run did not make it; move it away, or give another folder with --out"
        )

    def _own_name(self, path: Path) -> PurePath | None:
        """The name of a path in the run's folder; None for others, run.json, and a cache of models there."""
        if not path.is_relative_to(self.folder) or path == self.folder / STATE:
            return None
        if any(files.is_inside(path, place) for place in hub.places()):
            return None
        return path.relative_to(self.folder)

    def _is_named(self, name: PurePath) -> bool:
        outputs = (stage.get("outputs", ()) for stage in self.state["stages"].values())
        named = {*self.state["files"], *self.state["earlier"], *(one for made in outputs for one in made)}
        return not named.isdisjoint(one.as_posix() for one in (name, *name.parents))

    def _is_ours(self, name: str, sha256: str) -> bool:
        path = self.folder / name
        inside = files.is_inside(path.parent, self.folder) and not path.is_symlink()
        return inside and path.is_file() and files.sha256_file(path) == sha256

    def _name(self, path: Path) -> str:
        """Relative to the run's folder where the file is in it, absolute elsewhere."""
        path = files.resolved(path)
        return str(path.relative_to(self.folder) if path.is_relative_to(self.folder) else path)

    def _save(self) -> None:
        recipe = self.recipe
        self.state = {
            "recipe": {"path": str(recipe.path), "sha256": recipe.sha256, "name": recipe.name},
            "machine": machine(),
            "versions": versions(),
            "command": ["tinsmith", *sys.argv[1:]],
            "stages": self.state["stages"],
            "earlier": self.state["earlier"],
            "files": self.state["files"],
        }
        text = json.dumps(self.state, indent=2, ensure_ascii=False)
        files.write_text(self.folder / STATE, text + "\n")


@contextmanager
def opened(recipe: Recipe, folder: Path, display: Display) -> Iterator[Run]:
    """The run in `folder`, made if missing, and locked: two at a time would overwrite each other's files.

    The lock is the process's own, so a killed run leaves none behind. Raises InputError while another holds it.
    """
    folder = files.resolved(folder)
    try:
        files.make_folder(folder)
        lock = _open_lock(folder / LOCK)
    except OSError as error:
        raise files.write_fault(folder / LOCK, error) from error
    with lock:
        if not files.lock(lock.fileno(), wait=False):
            raise InputError(
                f"{folder}: another tinsmith is at work in it; wait for it, or give another folder with --out"
            )
        number = _number(lock, folder / LOCK)
        files.remove_leftovers(folder, number)
        run = Run(recipe, folder, display)
        with files.temporaries_of(number), files.claims(run.claim):
            yield run


def inputs(recipe: Recipe) -> set[Path]:
    """The paths that a run of the recipe reads: the files that it names, its examples, even before a command
    makes them, and the folder of an adapter."""
    tables = json.loads(json.dumps(dataclasses.asdict(recipe), default=str))
    texts = (text for place, text in reading.leaves(tables) if not place.startswith("a key"))
    named = {recipe.resolve(text) for text in texts if isinstance(text, str)}
    found = {path for path in named if os.path.isfile(path)}  # noqa: PTH113  pathlib's raises for a long text
    data, update = recipe.data, recipe.update
    examples = (data.train, data.validation, data.test, update.adapter if update else None)
    found |= {recipe.resolve(path) for path in examples if path}
    return {files.resolved(path) for path in (recipe.path, *found)}


def _open_lock(path: Path) -> TextIO:
    """Follows no link, which may lead to another program's file, and never waits at a pipe."""
    more = os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    return open(path, "r+", encoding="ascii", opener=lambda name, flags: os.open(name, flags | more, 0o666))


def _number(lock: TextIO, path: Path) -> str:
    """The number that marks this run's temporary files. Its lock keeps it from before the first of them."""
    try:
        match = re.fullmatch(r"([0-9a-f]{16})\n", lock.read())
        if match:
            return match[1]
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


def _read_state(path: Path) -> dict[str, Any]:
    if not path.exists():
        return dataclasses.asdict(_State({}))
    advice = "it is damaged: move the folder away, or give another with --out"
    state = reading.read_table(path, FormatError, unique=True, advice=advice)
    try:
        from_json(_State, state)
    except ValueError:
        raise FormatError(f"{path}: is not a run's record; {advice}") from None
    return {"earlier": {}, "files": [], **state}


@dataclass(frozen=True)
class _Stage:
    """The form of the parts of a stage's record that are read without running the stage again."""

    inputs: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Output] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _State:
    """The form of run.json. earlier: outputs of earlier stages; files: all that the run wrote."""

    stages: dict[str, _Stage]
    earlier: dict[str, Output] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)


def _output(path: Path) -> Output:
    stat = path.stat()
    return Output(files.sha256_file(path), stat.st_size, stat.st_mtime_ns)


def _as_read(found: Any, left: Any) -> Any:
    """The inputs as the stage found them, not as somebody changed them meanwhile; or as it made them itself."""
    if isinstance(found, dict) and isinstance(left, dict):
        return {**found, **{key: _as_read(found.get(key), value) for key, value in left.items()}}
    if isinstance(found, list) and isinstance(left, list) and len(found) == len(left):
        return [_as_read(one, other) for one, other in zip(found, left, strict=True)]
    return left if found is None else found


def versions() -> dict[str, str]:
    """Versions of Python and of the installed packages that a run may use."""
    installed = {"tinsmith": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            installed[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return installed


def machine() -> dict[str, Any]:
    """The machine that the run's times are of. memory: bytes."""
    facts: dict[str, Any] = {
        "system": platform.system(),
        "architecture": platform.machine(),
        "cpu": cpu(),
        "cores": os.cpu_count(),
    }
    whole = total()
    return facts if whole is None else {**facts, "memory": whole}
