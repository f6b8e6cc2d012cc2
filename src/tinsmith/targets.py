"""Targets: a device as data, one TOML file each (docs/targets.md says what each key means).

A file may inherit another and say only what differs. Every fact about a device has its source beside it, in the
same file. Nothing here, or anywhere else, decides by a device's name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tinsmith import _core
from tinsmith.errors import TargetError, UnsupportedError
from tinsmith.format_names import FORMATS
from tinsmith.tables import (
    NAME,
    SIZE,
    TEXT,
    Kind,
    TomlFile,
    bytes_of,
    choice,
    is_text,
    is_whole,
    nearest,
    number,
    some_of,
    whole,
)
from tinsmith.tables import key as _key

ARCHS = ("x86_64", "aarch64", "riscv64", "wasm32", "thumb")
ISAS = tuple(_core.ISAS)
FORMS = ("wheel", "static", "shared", "wasm", "firmware")
NONE = "none"
EMULATORS = (NONE, "native", "qemu-aarch64", "qemu-riscv64", "wine", "wasmtime", "qemu-system-arm")
# Facts: each needs a source, in the file that states it.
FACTS = {
    "cpu": ("cores", "clock_mhz", "isa", "macs_per_clock", "floats_per_clock"),
    "memory": ("ram", "storage", "bandwidth", "flash_bandwidth"),
    "firmware": ("code", "ram", "flash"),
}


@dataclass(frozen=True)
class Region:
    """A stretch of a board's memory: its first address, and bytes."""

    base: int
    size: int


def _is_region(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and set(value) == {"base", "size"}
        and is_whole(value["base"])
        and 0 <= value["base"] < 1 << 32
        and SIZE.accepts(value["size"])
    )


def _or_none(value: Any) -> Any:
    return None if value == NONE else value


# A text that "none" takes away again from what inherits it.
WORD = replace(TEXT, read=_or_none)
EMULATOR = replace(choice(EMULATORS), read=_or_none)
WORDS = Kind(
    'a list of texts, such as ["-O2"]', lambda v: isinstance(v, list) and all(is_text(word) for word in v)
)
REGION = Kind(
    'a stretch of memory, such as { base = 0x60000000, size = "16MiB" }',
    _is_region,
    lambda v: Region(v["base"], bytes_of(v["size"])),
)


@dataclass(frozen=True)
class Cpu:
    """isa: the instruction sets it surely runs, the best last. macs_per_clock, floats_per_clock: int8 and
    float32 multiply-adds that kernels reach in a cycle of a core, where not as usual for the best
    set."""

    arch: str = _key(choice(ARCHS))
    cores: int = _key(whole(1, 1024))
    clock_mhz: int = _key(whole(1, 10_000))
    isa: tuple[str, ...] = _key(some_of(ISAS, least=1))
    macs_per_clock: float | None = _key(number(0.01, 4096), None)
    floats_per_clock: float | None = _key(number(0.01, 4096), None)


@dataclass(frozen=True)
class Memory:
    """ram: bytes that a model may use; storage: bytes that its file may take; bandwidth: bytes a second that a
    program reads from memory, at best; flash_bandwidth: the same for memory-mapped flash that weights are read
    from in place, None where a file is mapped or loaded into memory."""

    ram: int = _key(SIZE)
    storage: int = _key(SIZE)
    bandwidth: int = _key(SIZE)
    flash_bandwidth: int | None = _key(SIZE, None)


@dataclass(frozen=True)
class BuildFor:
    """zig: the triple that `zig cc` builds for; variants: further ones, such as another libc; mcpu: zig's
    baseline processor; flags: for the C compiler; wheel_platform: the wheel's tag."""

    forms: tuple[str, ...] = _key(some_of(FORMS, least=0), ())
    zig: str | None = _key(WORD, None)
    variants: tuple[str, ...] = _key(WORDS, ())
    mcpu: str | None = _key(WORD, None)
    flags: tuple[str, ...] = _key(WORDS, ())
    wheel_platform: str | None = _key(WORD, None)


@dataclass(frozen=True)
class RunOn:
    """How its code runs here: an emulator, the processor and board that it shall be."""

    emulator: str | None = _key(EMULATOR, None)
    cpu: str | None = _key(WORD, None)
    machine: str | None = _key(WORD, None)


@dataclass(frozen=True)
class Firmware:
    """gcc_cpu: arm-none-eabi-gcc's flags; code, ram, flash: the board's memory for the program, for its data
    and sessions, and for the model's file."""

    gcc_cpu: tuple[str, ...] = _key(WORDS)
    code: Region = _key(REGION)  # noqa: RUF009
    ram: Region = _key(REGION)  # noqa: RUF009
    flash: Region = _key(REGION)  # noqa: RUF009


@dataclass(frozen=True)
class Defaults:
    """format: the preset that `build --target` takes by default; context: the tokens a session
    holds; chunk: those computed at once (0: the model's own)."""

    format: str = _key(choice(FORMATS), "Q4_0")
    context: int = _key(whole(0, 1_000_000), 0)
    chunk: int = _key(whole(0, 4096), 0)


TABLES: dict[str, type[Any]] = {
    "cpu": Cpu,
    "memory": Memory,
    "build": BuildFor,
    "run": RunOn,
    "firmware": Firmware,
    "defaults": Defaults,
}
TOP = {"title": TEXT, "inherits": NAME, "aliases": WORDS}


@dataclass(frozen=True)
class Target:
    """name: its file's; title: for people; source: where each fact is from, by `table.key` or by table; path:
    the file. The rest: its tables; firmware is None where there is an operating system."""

    name: str
    title: str
    aliases: tuple[str, ...]
    source: dict[str, str]
    path: Path
    cpu: Cpu
    memory: Memory
    build: BuildFor
    run: RunOn
    firmware: Firmware | None
    defaults: Defaults


def folder() -> Path:
    """Where the targets that come with tinsmith are: beside this file, or in a checkout at its root."""
    installed = Path(__file__).with_name("devices")
    return installed if installed.is_dir() else Path(__file__).parents[2] / "targets"


def names() -> list[str]:
    return sorted(path.stem for path in folder().glob("*.toml"))


def load(name: str) -> Target:
    """A target by name or alias. Raises UnsupportedError for an unknown one, listing those there are."""
    path = folder() / f"{name}.toml"
    known = names()
    if name in known:
        return read(path)
    by_alias = {alias: stem for stem in known for alias in _TargetFile(folder() / f"{stem}.toml").aliases()}
    if name in by_alias:
        return load(by_alias[name])
    hint = nearest(name, [*known, *by_alias])
    raise UnsupportedError(f"{name}: no such target{hint}; there are {', '.join(known)}; or give a TOML file")


def find(name: str | Path, place: Path | None = None) -> Target:
    """A target by name or alias, or of a TOML file of your own; place: where its relative path begins."""
    return read((place or Path()) / name) if str(name).endswith(".toml") else load(str(name))


def formats(devices: Sequence[Target]) -> list[str]:
    """The devices' own formats, each once."""
    return list(dict.fromkeys(device.defaults.format for device in devices))


def read(path: str | Path) -> Target:
    """Raises TargetError, which names the file, line, table and key of the first mistake."""
    file = _TargetFile(path)
    given, source = file.merged(())
    tables = {
        name: file.table(name, cls, given.get(name, {}))
        for name, cls in TABLES.items()
        if cls is not Firmware or name in given
    }
    file.check_regions(tables.get("firmware"))
    return Target(
        name=file.path.stem,
        title=file.top.get("title", file.path.stem),
        aliases=file.aliases(),
        source=source,
        path=file.path,
        **{"firmware": None, **tables},
    )


class _TargetFile(TomlFile):
    fault = TargetError
    kind = "target"

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self.top = {key: self.given.pop(key) for key in TOP if key in self.given}
        self.sources = self._flat(self.given.pop("source", {}))
        for key, value in self.top.items():
            if not TOP[key].accepts(value):
                raise self.error(None, key, f"got {value!r}; allowed is {TOP[key].allowed}")
        self.check_names([*TABLES, "source"], self.given)
        for name, table in self.given.items():
            self.check(name, TABLES[name], table)
        self._check_sources()

    def aliases(self) -> tuple[str, ...]:
        return tuple(self.top.get("aliases", ()))

    def merged(self, seen: tuple[Path, ...]) -> tuple[dict[str, Any], dict[str, str]]:
        """The tables and sources, over those that are inherited."""
        parent = self._parent()
        tables: dict[str, Any] = {}
        source: dict[str, str] = {}
        if parent:
            if parent in (*seen, self.path):
                raise self.error(None, "inherits", f"{parent.stem} inherits this file; a circle has no begin")
            tables, source = _TargetFile(parent).merged((*seen, self.path))
        for name, table in self.given.items():
            tables[name] = {**tables.get(name, {}), **table}
        return tables, source | self.sources

    def _parent(self) -> Path | None:
        """A file of the same folder, or else one that comes with tinsmith."""
        name = self.top.get("inherits")
        if name is None:
            return None
        for place in (self.path.parent, folder()):
            if (path := place / f"{name}.toml").is_file():
                return path.resolve()
        what = f"no such target{nearest(name, names())}; there are {', '.join(names())}"
        raise self.error(None, "inherits", what)

    def _flat(self, given: Any) -> dict[str, str]:
        """`cpu = "…"` is for all facts of the table, `cpu.cores = "…"` for one."""
        if not isinstance(given, dict):
            raise self.error(None, "source", "is a table: write [source]")
        flat: dict[str, Any] = {}
        for name, value in given.items():
            inner = value if isinstance(value, dict) else {None: value}
            flat |= {f"{name}.{key}" if key else name: text for key, text in inner.items()}
        known = [*FACTS, *(f"{table}.{key}" for table, keys in FACTS.items() for key in keys)]
        for name, text in flat.items():
            if name not in known:
                raise self.error(
                    "source", name, f"no fact of a target{nearest(name, known)}; facts are {', '.join(known)}"
                )
            if not is_text(text):
                raise self.error("source", name, f"got {text!r}; allowed is {TEXT.allowed}")
        return flat

    def check_regions(self, board: Firmware | None) -> None:
        """That no two stretches of memory are one, and all have 32-bit addresses."""
        before, end = "", 0
        regions = [(getattr(board, name), name) for name in ("code", "ram", "flash")] if board else []
        for region, name in sorted(regions, key=lambda one: one[0].base):
            if region.base < end:
                raise self.error("firmware", name, f"begins at {region.base:#x}, inside {before}")
            before, end = name, region.base + region.size
            if end > 1 << 32:
                raise self.error("firmware", name, f"ends behind the last address, {(1 << 32) - 1:#x}")

    def _check_sources(self) -> None:
        for table, facts in FACTS.items():
            for key in facts:
                stated = key in self.given.get(table, {})
                if stated and table not in self.sources and f"{table}.{key}" not in self.sources:
                    what = f'is stated without a source; say where from in [source]: "{table}.{key}" = "…"'
                    raise self.error(table, key, what)
