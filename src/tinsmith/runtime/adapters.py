"""A model's adapters: skills that its sessions add to the base while they compute, by name."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinsmith import _core
from tinsmith.checks import real
from tinsmith.errors import FormatError, InputError, RuntimeFault, UnsupportedError
from tinsmith.formats.tin import ADAPTERS
from tinsmith.runtime.engine import Engine, OutsideAdapter
from tinsmith.runtime.skill import Skill
from tinsmith.system.files import map_file

if TYPE_CHECKING:
    from tinsmith.formats.tin import Tin
    from tinsmith.spec import Buffer, Tokenizer

FOLDER, SUFFIX = "adapter/", ".bin"  # of a tin's entries that are adapters; FOLDER/<name>/ has what one brings
_READER = "tinsmith.train.adapters.bin"  # of folders and GGUF files; imported when one is added
_WRITER = "tinsmith.train.adapters.gguf"  # of what another runtime takes of them
_MOST_SCALE = 65535.0

# What a generation is asked under: an adapter's name, names with the scales of several, or none.
Chosen = str | Mapping[str, float] | None
# Open adapters and their scales, in the order in which they are added: part of what shapes a cache.
Opened = _core.Adapter | OutsideAdapter
Applied = tuple[tuple[Any, float], ...]
Words = Callable[[], "Tokenizer"]


@dataclass(frozen=True)
class AdapterInfo:
    """matrices: how many of the model's it adds to; rank: the highest, in whole tiles; bytes: of factors, or of
    a prefix; prefix: tokens that a prefix stands for, 0 for an adapter of the other kind."""

    matrices: int
    rank: int
    bytes: int
    prefix: int = 0


class Adapters(Mapping[str, AdapterInfo]):
    """Those in the model's file, and those that were added. Each is opened when it is first asked for."""

    def __init__(
        self,
        core: _core.Model,
        tin: Tin,
        base: Skill,
        words: Words | None = None,
        engine: Engine | None = None,
    ) -> None:
        """tin: the model's file, whose adapters they are. base: its own skill. words, engine: as Loaded's."""
        self._core, self._tin, self._base, self._words, self._engine = core, tin, base, words, engine
        self._data: dict[str, Buffer] = {name: tin.entry(entry(name)) for name in named(tin)}
        self._open: dict[str, Opened] = {}
        self._templates: dict[str, str] = {}  # of those that were added, what they were trained under
        self._skills: dict[str, Skill] = {}
        self._digests: dict[str, str] = {}

    def add(self, name: str, source: str | Path | Buffer) -> None:
        """An adapter from a folder, in peft's format or a prefix as training leaves it, or a GGUF file, which
        are asked by the chat template that they were trained under where they say it, or a compiled one: its
        file or its bytes. The back end llama.cpp takes folders in peft's format and GGUF files.

        Raises InputError where the name is taken or the adapter belongs to another base, FormatError where it
        is damaged; the model is then as it was.
        """
        if not name or name in self._data:
            raise InputError(
                f"an adapter can't be named {name!r}: " + ("it is taken" if name else "it is empty")
            )
        if self._engine is not None:
            self._open[name], template = self._outside(self._engine, source)
            self._data[name] = b""  # the runtime has it
        else:
            self._data[name], template = self._read(source)
        try:
            self.opened(name)
        except BaseException:
            del self._data[name]
            raise
        if template is not None:
            self._templates[name] = template

    def _read(self, source: str | Path | Buffer) -> tuple[Buffer, str | None]:
        if not isinstance(source, str | Path):
            return aligned(source), None
        path = Path(source)
        if not path.exists():
            raise InputError(
                f"{path}: no such adapter; give a folder in peft's format or of a prefix, a GGUF file, or a "
                "compiled one"
            )
        reader = import_module(_READER)
        if reader.is_source(path):
            return aligned(reader.compiled(path, self._tin)), reader.template(path)
        return map_file(path), None

    def _outside(self, engine: Engine, source: str | Path | Buffer) -> tuple[OutsideAdapter, str | None]:
        """Open in another runtime, from a GGUF file, which is made of a folder first."""
        base = _base_of(engine)
        if not isinstance(source, str | Path) or not Path(source).exists():
            raise InputError(
                f"{source!r}: llama.cpp takes an adapter's folder in peft's format, or its GGUF file"
            )
        path, writer = Path(source), import_module(_WRITER)
        writer.check_base(path, base)
        if not path.is_dir():
            return engine.adapter(path), writer.template(path)
        from tempfile import TemporaryDirectory

        from tinsmith import models

        with TemporaryDirectory() as scratch:
            file = Path(scratch, f"{path.name}.gguf")
            writer.write(path, models.load(base), file)
            return engine.adapter(file), import_module(_READER).template(path)

    def _sealed(self, engine: Engine, name: str) -> OutsideAdapter:
        """One of the file's own, open in another runtime."""
        _base_of(engine)
        from tempfile import TemporaryDirectory

        with TemporaryDirectory() as scratch:
            path = Path(scratch, f"{name}.gguf")
            import_module(_WRITER).write_sealed(self._data[name], self._tin, path, f"adapter {name}")
            return engine.adapter(path)

    def opened(self, name: str) -> Opened:
        if name not in self._data:
            known = ", ".join(self._data) or "none"
            raise InputError(f"the model has no adapter {name!r}; it has: {known}")
        if name not in self._open:
            if self._engine is not None:
                self._open[name] = self._sealed(self._engine, name)
                return self._open[name]
            try:
                self._open[name] = _core.Adapter(self._core, self._data[name])
            except RuntimeFault as fault:
                kind = InputError if fault.status == "TIN_ERR_ARGUMENT" else FormatError
                raise kind(f"adapter {name}: {fault}") from fault
        return self._open[name]

    def applied(self, chosen: Chosen) -> Applied:
        """What is chosen, open. Those of scale 0 are left out.

        Raises InputError for a second prefix, and for one that is scaled.
        """
        scales = _scales(chosen)
        opened = {name: self.opened(name) for name in scales}
        prefixes = [name for name, adapter in opened.items() if adapter.info()["prefix"]]
        if len(prefixes) > 1:
            raise InputError(f"{' and '.join(prefixes)} are prefixes, of which one at a time can be chosen")
        if prefixes and scales[prefixes[0]] != 1:
            raise InputError(f"{prefixes[0]} is a prefix, which has no other scale than 1; leave it out")
        return tuple((opened[name], scale) for name, scale in scales.items())

    def has(self, applied: Applied) -> bool:
        """Whether all of them are of these."""
        own = {id(adapter) for adapter in self._open.values()}
        return all(id(adapter) in own for adapter, _ in applied)

    def chosen(self, applied: Applied) -> dict[str, float]:
        """By name, what `applied` gave. Raises InputError for one that is none of these."""
        names = {id(adapter): name for name, adapter in self._open.items()}
        if not self.has(applied):
            raise InputError("an adapter that is none of the model's; take it from model.applied")
        return {names[id(adapter)]: scale for adapter, scale in applied}

    def digest(self, adapter: Opened) -> str:
        """SHA-256 of one of these, compiled."""
        (name,) = self.chosen(((adapter, 1.0),))
        if name not in self._digests:
            import hashlib

            self._digests[name] = hashlib.sha256(self._data[name]).hexdigest()
        return self._digests[name]

    def skill(self, chosen: Chosen) -> Skill:
        """What the first of them brings; the file's own for none."""
        name = next(iter(_scales(chosen)), None)
        if name is None:
            return self._base
        if name not in self._skills:
            self.opened(name)
            self._skills[name] = self._skill(name)
        return self._skills[name]

    def alone(self, chosen: Chosen) -> Skill | None:
        """The skill of one adapter as it was trained, or of none; None for several, or for one that is
        scaled."""
        return self.skill(chosen) if list(_scales(chosen).values()) in ([], [1.0]) else None

    def _skill(self, name: str) -> Skill:
        if name not in self._templates:
            facts = self._tin.manifest.get(ADAPTERS, {}).get(name, {})
            return Skill.of_tin(self._tin, facts, folder(name), self._base)
        from tinsmith.chat import jinja_process
        from tinsmith.compiler.build import template_entries
        from tinsmith.compiler.unpack import words_of

        tokenizer = self._words() if self._words else words_of(self._tin)[0]
        try:
            entries, facts = template_entries(tokenizer, self._templates[name], name)
        finally:
            jinja_process.close()  # a loaded model renders from its table
        return Skill(entries, facts, self._base)

    def __getitem__(self, name: str) -> AdapterInfo:
        if name not in self._data:
            raise KeyError(name)
        info = self.opened(name).info()
        return AdapterInfo(info["matrices"], info["rank"], info["factor_bytes"], info["prefix"])

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def __len__(self) -> int:
        return len(self._data)


def _base_of(engine: Engine) -> Path:
    """What the engine's adapters are for. Raises UnsupportedError where it takes none."""
    if engine.base is None:
        raise UnsupportedError(
            f"{engine.runtime} takes no adapters; merge it into its base (tinsmith make --until merge), or use "
            "the back end native or llama.cpp"
        )
    return engine.base


def entry(name: str) -> str:
    """What a tin calls that adapter's factors."""
    return f"{FOLDER}{name}{SUFFIX}"


def folder(name: str) -> str:
    """What the names of a tin's entries begin with that the adapter brings beside its factors."""
    return f"{FOLDER}{name}/"


def named(tin: Tin) -> list[str]:
    """The adapters in a tin."""
    names = [name[len(FOLDER) : -len(SUFFIX)] for name in tin.names if name.startswith(FOLDER)]
    return [name for name in names if "/" not in name and entry(name) in tin.names]


def _scales(chosen: Chosen) -> dict[str, float]:
    """Checked, without those of scale 0."""
    if not isinstance(chosen, str | Mapping | None):
        raise InputError(f"adapter is {chosen!r:.60}; give a name, or {{name: its scale}}")
    scales = {} if chosen is None else {chosen: 1.0} if isinstance(chosen, str) else dict(chosen)
    checked = {
        name: real(f"the scale of adapter {name}", scale, -_MOST_SCALE, _MOST_SCALE)
        for name, scale in scales.items()
    }
    return {name: scale for name, scale in checked.items() if scale}


def rank_of(applied: Applied) -> int:
    """What they take of a session's adapter_rank."""
    return sum(adapter.info()["rank"] for adapter, _ in applied)


def prefix_of(applied: Applied) -> int:
    """What they take of a session's context."""
    return sum(adapter.info()["prefix"] for adapter, _ in applied)


def put_on(session: _core.Session, applied: Applied) -> None:
    """Has the session these alone."""
    session.adapter(None)
    for adapter, scale in applied:
        session.adapter(adapter, scale)


def aligned(data: Buffer) -> memoryview:
    """A copy where a page begins."""
    block = mmap.mmap(-1, max(1, memoryview(data).nbytes))
    block.write(data)
    return memoryview(block)[: memoryview(data).nbytes]
