"""A model's adapters: skills that its sessions add to the base while they compute, by name."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from tinsmith import _core
from tinsmith.checks import real
from tinsmith.errors import FormatError, InputError, RuntimeFault
from tinsmith.system.files import map_file

if TYPE_CHECKING:
    from tinsmith.formats.tin import Tin
    from tinsmith.spec import Buffer

FOLDER, SUFFIX = "adapter/", ".bin"  # of a tin's entries that are adapters
_READER = "tinsmith.train.adapter_bin"  # of adapters' folders; imported when one is added
_MOST_SCALE = 65535.0

# What a generation is asked under: an adapter's name, names with the scales of several, or none.
Chosen = str | Mapping[str, float] | None
# Open adapters and their scales, in the order in which they are added: part of what shapes a cache.
Applied = tuple[tuple[_core.Adapter, float], ...]


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

    def __init__(self, core: _core.Model, tin: Tin) -> None:
        self._core, self._tin = core, tin
        names = [name for name in tin.names if name.startswith(FOLDER) and name.endswith(SUFFIX)]
        self._data: dict[str, Buffer] = {name[len(FOLDER) : -len(SUFFIX)]: tin.entry(name) for name in names}
        self._open: dict[str, _core.Adapter] = {}

    def add(self, name: str, source: str | Path | Buffer) -> None:
        """An adapter from a folder, in peft's format or a prefix as training leaves it, or a compiled one: its
        file or its bytes.

        Raises InputError where the name is taken or the adapter belongs to another base, FormatError where it
        is damaged; the model is then as it was.
        """
        if not name or name in self._data:
            raise InputError(
                f"an adapter can't be named {name!r}: " + ("it is taken" if name else "it is empty")
            )
        self._data[name] = self._read(source)
        try:
            self.opened(name)
        except BaseException:
            del self._data[name]
            raise

    def _read(self, source: str | Path | Buffer) -> Buffer:
        if not isinstance(source, str | Path):
            return aligned(source)
        path = Path(source)
        if path.is_dir():
            compiled: bytes = import_module(_READER).compiled(path, self._tin)
            return aligned(compiled)
        if not path.exists():
            raise InputError(
                f"{path}: no such adapter; give a folder in peft's format or of a prefix, or a compiled one"
            )
        return map_file(path)

    def opened(self, name: str) -> _core.Adapter:
        if name not in self._data:
            known = ", ".join(self._data) or "none"
            raise InputError(f"the model has no adapter {name!r}; it has: {known}")
        if name not in self._open:
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
        scales = {} if chosen is None else {chosen: 1.0} if isinstance(chosen, str) else dict(chosen)
        checked = {
            name: real(f"the scale of adapter {name}", scale, -_MOST_SCALE, _MOST_SCALE)
            for name, scale in scales.items()
        }
        applied = {name: (self.opened(name), scale) for name, scale in checked.items() if scale}
        prefixes = [name for name, (adapter, _) in applied.items() if adapter.info()["prefix"]]
        if len(prefixes) > 1:
            raise InputError(f"{' and '.join(prefixes)} are prefixes, of which one at a time can be chosen")
        if prefixes and checked[prefixes[0]] != 1:
            raise InputError(f"{prefixes[0]} is a prefix, which has no other scale than 1; leave it out")
        return tuple(applied.values())

    def __getitem__(self, name: str) -> AdapterInfo:
        if name not in self._data:
            raise KeyError(name)
        info = self.opened(name).info()
        return AdapterInfo(info["matrices"], info["rank"], info["factor_bytes"], info["prefix"])

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def __len__(self) -> int:
        return len(self._data)


def rank_of(applied: Applied) -> int:
    """What they take of a session's adapter_rank."""
    return sum(adapter.info()["rank"] for adapter, _ in applied)


def prefix_of(applied: Applied) -> int:
    """What they take of a session's context."""
    return sum(adapter.info()["prefix"] for adapter, _ in applied)


def put_on(session: _core.Session, applied: Applied) -> None:
    """Has the session, which has none, these alone."""
    for adapter, scale in applied:
        session.adapter(adapter, scale)


def aligned(data: Buffer) -> memoryview:
    """A copy where a page begins."""
    block = mmap.mmap(-1, max(1, memoryview(data).nbytes))
    block.write(data)
    return memoryview(block)[: memoryview(data).nbytes]
