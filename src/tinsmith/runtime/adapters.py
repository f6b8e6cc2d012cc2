"""A model's adapters, which its sessions add to the base while they compute."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from tinsmith import _core
from tinsmith.checks import real
from tinsmith.errors import FormatError, InputError, RuntimeFault, UnsupportedError
from tinsmith.formats.tin import ADAPTERS, Tin
from tinsmith.runtime.engine import Engine, OutsideAdapter
from tinsmith.runtime.skill import Skill
from tinsmith.spec import Buffer, Tokenizer
from tinsmith.system.files import map_file

FOLDER, SUFFIX = "adapter/", ".bin"  # of adapters' entries in a tin; FOLDER/<name>/: other entries of one
_READER = "tinsmith.train.adapters.bin"  # reads folders and GGUF files; imported on use
_WRITER = "tinsmith.train.adapters.gguf"  # writes GGUF files for another runtime
_MOST_SCALE = 65535.0

# An adapter's name, the scales of several by name, or none.
Chosen = str | Mapping[str, float] | None
# Open adapters and their scales, in the order in which the model adds them.
Opened = _core.Adapter | OutsideAdapter
Applied = tuple[tuple[Any, float], ...]
Words = Callable[[], "Tokenizer"]


@dataclass(frozen=True)
class AdapterInfo:
    """The facts of an adapter. bytes: of its factors, or of its prefix."""

    matrices: int  #: Number of the model's matrices that it changes.
    rank: int  #: Its highest rank, in whole tiles.
    bytes: int
    prefix: int = 0  #: Tokens that a prefix stands for; 0 for LoRA.


@dataclass
class _Entry:
    data: Buffer  # compiled; empty in another runtime
    template: str | None = None  # the chat template that an added adapter was trained with
    opened: Opened | None = None
    skill: Skill | None = None
    digest: str = ""


class Adapters(Mapping[str, AdapterInfo]):
    """A model's adapters by name: those in its file, and those added. Each is opened on first use."""

    def __init__(
        self, core: _core.Model, tin: Tin, base: Skill, words: Words | None = None, engine: Engine | None = None
    ) -> None:
        """tin: the model's file, with its adapters. base: the file's skill. words, engine: as Loaded's."""
        self._core, self._tin, self._base, self._words, self._engine = core, tin, base, words, engine
        self._entries = {name: _Entry(tin.entry(entry(name))) for name in named(tin)}

    def add(self, name: str, source: str | Path | Buffer) -> None:
        """Adds an adapter under a name.

        source: a folder (peft's format, or a trained prefix), a GGUF file, or a compiled adapter as a file or
        bytes. A folder or GGUF file that names its chat template brings it. The back end llama.cpp takes peft
        folders and GGUF files.

        Raises InputError for a taken name or another base's adapter, FormatError for a damaged one; the model
        stays as it was.
        """
        if not name or name in self._entries:
            raise InputError(
                f"an adapter can't be named {name!r}: " + ("it is taken" if name else "it is empty")
            )
        added = self._read(source) if self._engine is None else self._outside(self._engine, source)
        self._open(name, added)
        self._entries[name] = added

    def _read(self, source: str | Path | Buffer) -> _Entry:
        if not isinstance(source, str | Path):
            return _Entry(aligned(source))
        path = Path(source)
        if not path.exists():
            raise InputError(
                f"{path}: no such adapter; give a folder in peft's format or of a prefix, a GGUF file, or a "
                "compiled one"
            )
        reader = import_module(_READER)
        if reader.is_source(path):
            return _Entry(aligned(reader.compiled(path, self._tin)), reader.template(path))
        return _Entry(map_file(path))

    def _outside(self, engine: Engine, source: str | Path | Buffer) -> _Entry:
        """Opens an adapter in another runtime; a folder is converted to a GGUF file first."""
        base = _base_of(engine)
        if not isinstance(source, str | Path) or not Path(source).exists():
            raise InputError(
                f"{source!r}: llama.cpp takes an adapter's folder in peft's format, or its GGUF file"
            )
        path, writer = Path(source), import_module(_WRITER)
        writer.check_base(path, base)
        if not path.is_dir():
            return _Entry(b"", writer.template(path), engine.adapter(path))
        from tempfile import TemporaryDirectory

        from tinsmith import models

        with TemporaryDirectory() as scratch:
            file = Path(scratch, f"{path.name}.gguf")
            writer.write(path, models.load(base), file)
            return _Entry(b"", import_module(_READER).template(path), engine.adapter(file))

    def _sealed(self, engine: Engine, name: str, data: Buffer) -> OutsideAdapter:
        """Opens one of the file's adapters in another runtime."""
        _base_of(engine)
        from tempfile import TemporaryDirectory

        with TemporaryDirectory() as scratch:
            path = Path(scratch, f"{name}.gguf")
            import_module(_WRITER).write_sealed(data, self._tin, path, f"adapter {name}")
            return engine.adapter(path)

    def _open(self, name: str, one: _Entry) -> Opened:
        if one.opened is None and self._engine is not None:
            one.opened = self._sealed(self._engine, name, one.data)
        elif one.opened is None:
            with explained(f"adapter {name}"):
                one.opened = _core.Adapter(self._core, one.data)
        return one.opened

    def opened(self, name: str) -> Opened:
        if name not in self._entries:
            known = ", ".join(self._entries) or "none"
            raise InputError(f"the model has no adapter {name!r}; it has: {known}")
        return self._open(name, self._entries[name])

    def applied(self, chosen: Chosen) -> Applied:
        """Opens the chosen adapters, without those of scale 0.

        Raises InputError for a second prefix or a scaled one.
        """
        scales = _scales(chosen)
        opened = {name: self.opened(name) for name in scales}
        prefixes = [name for name, adapter in opened.items() if adapter.info()["prefix"]]
        if len(prefixes) > 1:
            raise InputError(f"{' and '.join(prefixes)} are prefixes; choose one of them")
        if prefixes and scales[prefixes[0]] != 1:
            raise InputError(f"{prefixes[0]} is a prefix, whose scale is always 1; leave the scale out")
        return tuple((opened[name], scale) for name, scale in scales.items())

    def has(self, applied: Applied) -> bool:
        """Whether all of them were opened here."""
        own = {id(one.opened) for one in self._entries.values()}
        return all(id(adapter) in own for adapter, _ in applied)

    def chosen(self, applied: Applied) -> dict[str, float]:
        """The names and scales that `applied` opened. Raises InputError for an adapter opened elsewhere."""
        if not self.has(applied):
            raise InputError("unknown adapter; take it from model.applied")
        names = {id(one.opened): name for name, one in self._entries.items()}
        return {names[id(adapter)]: scale for adapter, scale in applied}

    def digest(self, adapter: Opened) -> str:
        """SHA-256 of a compiled adapter."""
        (name,) = self.chosen(((adapter, 1.0),))
        one = self._entries[name]
        if not one.digest:
            import hashlib

            one.digest = hashlib.sha256(one.data).hexdigest()
        return one.digest

    def skill(self, chosen: Chosen) -> Skill:
        """The skill of the first chosen adapter; the file's for none."""
        name = next(iter(_scales(chosen)), None)
        if name is None:
            return self._base
        self.opened(name)
        one = self._entries[name]
        one.skill = one.skill or self._skill(name, one.template)
        return one.skill

    def alone(self, chosen: Chosen) -> Skill | None:
        """The skill of one unscaled adapter, or of none; None for several or a scaled one."""
        return self.skill(chosen) if list(_scales(chosen).values()) in ([], [1.0]) else None

    def _skill(self, name: str, template: str | None) -> Skill:
        if template is None:
            facts = self._tin.manifest.get(ADAPTERS, {}).get(name, {})
            return Skill.of_tin(self._tin, facts, folder(name), self._base)
        from tinsmith.chat import jinja_process
        from tinsmith.compiler.build import template_entries
        from tinsmith.compiler.unpack import words_of

        tokenizer = self._words() if self._words else words_of(self._tin)[0]
        try:
            entries, facts = template_entries(tokenizer, template, name)
        finally:
            jinja_process.close()  # a loaded model renders from its table
        return Skill(entries, facts, self._base)

    def __getitem__(self, name: str) -> AdapterInfo:
        if name not in self._entries:
            raise KeyError(name)
        info = self.opened(name).info()
        return AdapterInfo(info["matrices"], info["rank"], info["factor_bytes"], info["prefix"])

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def _base_of(engine: Engine) -> Path:
    """The base of the engine's adapters. Raises UnsupportedError for an engine without adapters."""
    if engine.base is None:
        raise UnsupportedError(
            f"{engine.runtime} takes no adapters; merge it into its base (tinsmith make --until merge), or use "
            "the back end native or llama.cpp"
        )
    return engine.base


def entry(name: str) -> str:
    """The tin entry of an adapter's factors."""
    return f"{FOLDER}{name}{SUFFIX}"


def folder(name: str) -> str:
    """The prefix of an adapter's other tin entries."""
    return f"{FOLDER}{name}/"


def named(tin: Tin) -> list[str]:
    """The adapters in a tin."""
    names = [name[len(FOLDER) : -len(SUFFIX)] for name in tin.names if name.startswith(FOLDER)]
    return [name for name in names if "/" not in name and entry(name) in tin.names]


def _scales(chosen: Chosen) -> dict[str, float]:
    """Checked scales by name, without those of scale 0."""
    if not isinstance(chosen, str | Mapping | None):
        raise InputError(f"adapter is {chosen!r:.60}; give a name, or {{name: its scale}}")
    scales = {} if chosen is None else {chosen: 1.0} if isinstance(chosen, str) else dict(chosen)
    checked = {
        name: real(f"the scale of adapter {name}", scale, -_MOST_SCALE, _MOST_SCALE)
        for name, scale in scales.items()
    }
    return {name: scale for name, scale in checked.items() if scale}


def rank_of(applied: Applied) -> int:
    """Their share of a session's adapter_rank."""
    return sum(adapter.info()["rank"] for adapter, _ in applied)


def prefix_of(applied: Applied) -> int:
    """Their share of a session's context."""
    return sum(adapter.info()["prefix"] for adapter, _ in applied)


def set_adapters(session: _core.Session, applied: Applied) -> None:
    """Gives a session these adapters and no others."""
    session.adapter(None)
    for adapter, scale in applied:
        session.adapter(adapter, scale)


def aligned(data: Buffer) -> memoryview:
    """A page-aligned copy."""
    block = mmap.mmap(-1, max(1, memoryview(data).nbytes))
    block.write(data)
    return memoryview(block)[: memoryview(data).nbytes]


@contextmanager
def explained(where: object) -> Iterator[None]:
    """Within the block the core's faults with an adapter or router become InputError or FormatError."""
    try:
        yield
    except RuntimeFault as fault:
        kind = InputError if fault.status == "TIN_ERR_ARGUMENT" else FormatError
        raise kind(f"{where}: {fault}") from fault
