"""The sealed file: an uncompressed ZIP whose entries start on page boundaries, so that it can be mapped whole.

Every entry is stored, its data at a multiple of 4096 (padding in the local header's extra field, under
zipalign's id), with the time 1980-01-01: the same content gives the same bytes. `manifest.json` is the last
entry: it lists the others with size and SHA-256, and has the SHA-256 of their directory records, so that every
byte of the file follows from the manifest and the entries. Plain 32-bit ZIP: at most 4 GiB, and no comment
after the directory.

hashlib and json are imported where they are used: running a tin needs neither, and should start quickly.
"""

from __future__ import annotations

import mmap
import re
import reprlib
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from tinsmith.errors import FormatError, UnsupportedError
from tinsmith.spec import Buffer
from tinsmith.system import reading
from tinsmith.system.files import atomic_write, map_file

PAGE = 4096
MANIFEST = "manifest.json"
TURNS, TEMPLATE = "turns.bin", "template.json"  # the chat template, for the core and for people
CONSTRAINT = "grammar/answer.bin"  # of answers, optional
DRAFT = "drafts/answer.bin"  # n-grams of a task's answers for speculative decoding, optional
BILL = "sbom.cdx.json"
SOURCE = "source.bin"  # SHA-256 of the weights' checkpoint, 32 bytes
RECIPE = "recipe.toml"  # of a measured tin made by a recipe
ADAPTERS = "adapters"  # in the manifest: facts of each adapter, by name
VERSION = 1
_KIND = "tin"
# The types of a manifest's optional facts.
_TABLES = "entries tensors general hyper constraint base metrics abstention adapters router"
_TEXTS = "name family backend tools template_refused weights directory"
_NUMBERS = "parameters weight_bytes arena_bytes rank"
_FACTS: dict[str, type] = {
    name: kind for names, kind in ((_TABLES, dict), (_TEXTS, str), (_NUMBERS, int)) for name in names.split()
}
_LIMIT = (1 << 32) - 1
_MAX_ENTRIES = (1 << 16) - 2

# Local header: signature, version, flags, method, time, date, CRC, sizes, lengths of name and extra field.
_LOCAL = struct.Struct("<4sHHHHHIIIHH")
# Directory: as above with two versions, then lengths of extra and comment, disk, attributes, local offset.
_CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
_END = struct.Struct("<4sHHHHIIH")
_LOCAL_MAGIC, _CENTRAL_MAGIC, _END_MAGIC = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_ZIP_VERSION = 10
_DATE = 0x21  # 1980-01-01
_ALIGN_ID = 0xD935
_ALIGN_HEAD = struct.Struct("<HHH")  # id, size of what follows, the alignment
_NAME = re.compile(r"[A-Za-z0-9_+-][A-Za-z0-9._+-]*(/[A-Za-z0-9_+-][A-Za-z0-9._+-]*)*")


@dataclass(frozen=True)
class _Written:
    name: bytes
    crc: int
    size: int
    offset: int  # of the local header

    def head(self) -> bytes:
        """The local header, the name, and padding up to a page."""
        padding = -(self.offset + _LOCAL.size + len(self.name)) % PAGE
        if padding < _ALIGN_HEAD.size:
            padding += PAGE
        facts = (0, 0, 0, _DATE, self.crc, self.size, self.size, len(self.name), padding)
        align = _ALIGN_HEAD.pack(_ALIGN_ID, padding - 4, PAGE)
        return (_LOCAL.pack(_LOCAL_MAGIC, _ZIP_VERSION, *facts) + self.name + align).ljust(
            _LOCAL.size + len(self.name) + padding, b"\0"
        )

    def record(self) -> bytes:
        """The directory's record."""
        facts = (0, 0, 0, _DATE, self.crc, self.size, self.size, len(self.name), 0, 0, 0, 0, 0, self.offset)
        return _CENTRAL.pack(_CENTRAL_MAGIC, _ZIP_VERSION, _ZIP_VERSION, *facts) + self.name


def _ending(written: Sequence[_Written], start: int) -> bytes:
    """The directory, which starts at `start`, and its end record."""
    records = b"".join(entry.record() for entry in written)
    count = len(written)
    return records + _END.pack(_END_MAGIC, 0, 0, count, count, len(records), start, 0)


def _records_digest(written: Iterable[_Written]) -> str:
    import hashlib

    return hashlib.sha256(b"".join(entry.record() for entry in written)).hexdigest()


@dataclass(frozen=True)
class Pieces:
    """An entry's data of `size` bytes, made while they are written; for one use."""

    size: int
    parts: Iterable[Buffer]


Data = Buffer | Pieces


def write(
    path: str | Path,
    entries: Iterable[tuple[str, Data]],
    manifest: Mapping[str, Any],
    more: Callable[[memoryview], Iterable[tuple[str, Data]]] | None = None,
) -> None:
    """Seals the entries in their order, and then the manifest, atomically.

    manifest: JSON values; `format`, `version`, `entries` ({name: {"bytes", "sha256"}}) and `directory` (SHA-256
    of their ZIP directory records) are added. more: called with the map of a whole tin of these entries;
    returns further ones, and must not keep the map. Raises FormatError for a bad or repeated name,
    UnsupportedError past 4 GiB, InputError for a failed write.
    """
    with atomic_write(path) as file:
        writer = _Writer(file, str(path))
        writer.extend(entries)
        if more is not None:
            mark = writer.position
            draft = replace(writer, written=list(writer.written), listing=dict(writer.listing))
            draft.seal(manifest)
            file.flush()
            further = list(more(map_file(file.name)))
            file.seek(mark)
            file.truncate()
            writer.extend(further)
        writer.seal(manifest)


def rewrite(
    source: str | Path,
    target: str | Path,
    entries: Mapping[str, Data],
    manifest: Mapping[str, Any],
    without: Sequence[str] = (),
) -> None:
    """Copies a tin, atomically, with these entries replaced or added, and these manifest facts set, or removed
    if None. without: entries to leave out. Everything else stays the same, byte for byte."""
    old, dropped = Tin(source), {MANIFEST, *without}
    kept = {name: entries.get(name, old.entry(name)) for name in old.names if name not in dropped}
    facts = {key: value for key, value in {**old.manifest, **manifest}.items() if value is not None}
    write(target, {**kept, **entries}.items(), facts)


def pack_bytes(entries: Sequence[tuple[str, Data]], manifest: Mapping[str, Any]) -> memoryview:
    """The bytes of `write`, in memory that starts on a page boundary."""
    listing = sum(2 * PAGE + 1024 + 4 * len(name) + _size(data) for name, data in entries)
    block = mmap.mmap(-1, listing + len(_encode(manifest)) + 4 * PAGE)
    writer = _Writer(block, "the image")
    writer.extend(entries)
    return memoryview(block)[: writer.seal(manifest)]


def _check_facts(facts: Mapping[str, Any], where: str) -> None:
    """Raises FormatError for a fact of another type."""
    for key, value in facts.items():
        allowed = _FACTS.get(key, object)
        if not isinstance(value, allowed) or (allowed is int and isinstance(value, bool)):
            raise FormatError(f"{where}: {key} is {reprlib.repr(value)}, {reading.kind(value)}; it is damaged")
    for key, value in facts.get("abstention", {}).items():
        if not isinstance(value, int | float | None):
            raise FormatError(f"{where}: abstention.{key} is {reprlib.repr(value)}, no number; it is damaged")


def _size(data: Data) -> int:
    return data.size if isinstance(data, Pieces) else memoryview(data).nbytes


def _encode(manifest: Mapping[str, Any]) -> bytes:
    import json

    return (json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=True) + "\n").encode("ascii")


@dataclass
class _Writer:
    sink: BinaryIO | mmap.mmap
    where: str
    position: int = 0
    written: list[_Written] = field(default_factory=list)
    listing: dict[str, dict[str, Any]] = field(default_factory=dict)

    def extend(self, entries: Iterable[tuple[str, Data]]) -> None:
        for name, data in entries:
            if name == MANIFEST or name in self.listing or not _NAME.fullmatch(name):
                raise FormatError(
                    f"{self.where}: entry {name!r} can't be sealed; a name is used once, is not {MANIFEST}, "
                    "and is made of A-Z a-z 0-9 . _ + - with / between parts"
                )
            self.add(name, data)

    def seal(self, manifest: Mapping[str, Any]) -> int:
        """Writes the manifest and the directory; returns the file's size."""
        directory = _records_digest(self.written)
        fixed = {"format": _KIND, "version": VERSION, "entries": self.listing, "directory": directory}
        self.add(MANIFEST, _encode({**manifest, **fixed}))
        if len(self.written) > _MAX_ENTRIES:
            raise UnsupportedError(f"{self.where}: {len(self.written)} entries; a tin holds {_MAX_ENTRIES}")
        self.put(_ending(self.written, self.position))
        return self.position

    def put(self, data: Buffer) -> None:
        size = memoryview(data).nbytes
        if self.position + size > _LIMIT:
            raise UnsupportedError(f"{self.where}: a tin holds at most 4 GiB; use a narrower weight format")
        self.sink.write(data)
        self.position += size

    def add(self, name: str, data: Data) -> None:
        encoded = name.encode("ascii")
        offset = self.position
        self.put(_Written(encoded, 0, 0, offset).head())
        import hashlib

        start, crc, digest = self.position, 0, hashlib.sha256()
        for piece in data.parts if isinstance(data, Pieces) else [data]:
            self.put(piece)
            crc = zlib.crc32(piece, crc)
            digest.update(piece)
        size = self.position - start
        if size != _size(data):
            raise FormatError(f"{self.where}: entry {name!r} was given {size} bytes of {_size(data)}")
        # The header needs the CRC.
        written = _Written(encoded, crc, size, offset)
        self.sink.seek(offset)
        self.sink.write(written.head())
        self.sink.seek(self.position)
        self.written.append(written)
        self.listing[name] = {"bytes": size, "sha256": digest.hexdigest()}


class Tin:
    """An open tin, with its entries as slices of its map, which must not change while they are used.

    source: a path, or a whole image in memory. image: the file's bytes. Opening checks the structure, `verify`
    the content. Raises FormatError for a damaged or other file, InputError for a file that can't be read.
    """

    def __init__(self, source: str | Path | Buffer) -> None:
        if isinstance(source, Buffer):
            self.where, self.image = "the image", memoryview(source).cast("B")
        else:
            self.where, self.image = str(source), map_file(source)
        self._records: list[_Written] = []
        self._entries = dict(self._directory())
        if MANIFEST not in self._entries:
            raise FormatError(f"{self.where}: no {MANIFEST}; the file is a ZIP but not a tin")

    @property
    def names(self) -> list[str]:
        """The entries in the file's order."""
        return list(self._entries)

    def entry(self, name: str) -> memoryview:
        if name not in self._entries:
            raise FormatError(f"{self.where}: no entry {name!r}; it has: {', '.join(self._entries)}")
        return self._entries[name]

    @cached_property
    def manifest(self) -> dict[str, Any]:
        where = f"{self.where}: {MANIFEST}"
        manifest = reading.json(self.entry(MANIFEST), where, FormatError, unique=True, advice="it is damaged")
        if not isinstance(manifest, dict) or manifest.get("format") != _KIND:
            raise FormatError(f"{where} does not describe a tin")
        if manifest.get("version") != VERSION:
            raise UnsupportedError(
                f"{where} was written by version {reprlib.repr(manifest.get('version'))}; "
                f"this tinsmith reads {VERSION}; take a newer one"
            )
        _check_facts(manifest, where)
        for key, kind in (("entries", dict), ("tensors", int), (ADAPTERS, dict)):
            table = manifest.get(key, None if key == "entries" else {})
            if table is None or not all(isinstance(value, kind) for value in table.values()):
                raise FormatError(f"{where}: {key} is not as a tin has it; it is damaged")
        for name, facts in manifest.get(ADAPTERS, {}).items():
            _check_facts(facts, f"{where}: the adapter {name}")
        return manifest

    def facts(self, *keys: str) -> dict[str, Any]:
        """The manifest. Raises FormatError if it lacks one of these keys."""
        for key in keys:
            if key not in self.manifest:
                raise FormatError(f"{self.where}: {MANIFEST} says no {key}; build the file again")
        return self.manifest

    def verify(self) -> None:
        """Raises FormatError unless the whole file is as it was sealed: each entry has the size and digest in
        the manifest, and no other byte differs. Only a signature finds a change with a matching manifest."""
        import hashlib

        self._check_outside()
        listed = self.manifest["entries"]
        for name in self._entries.keys() - {MANIFEST} - listed.keys():
            raise FormatError(f"{self.where}: entry {name!r} is not in the manifest; the file was changed")
        for name, expected in listed.items():
            data = self.entry(name)
            if not isinstance(expected, dict) or expected.get("bytes") != len(data):
                raise FormatError(f"{self.where}: entry {name!r} is not of the size that the manifest lists")
            if hashlib.sha256(data).hexdigest() != expected.get("sha256"):
                raise FormatError(f"{self.where}: entry {name!r} does not have the SHA-256 of the manifest")

    def _check_outside(self) -> None:
        """Raises FormatError for a change outside of the entries' data."""
        position = 0
        for entry in self._records:
            head = entry.head()
            if entry.offset != position or self.image[position : position + len(head)] != head:
                raise self._damaged(f"the header of entry {str(entry.name, 'latin-1')!r} was changed")
            position += len(head) + entry.size
        if self.image[position:] != _ending(self._records, position):
            raise self._damaged("its ZIP directory was changed")
        *others, last = self._records
        if last.name != MANIFEST.encode() or last.crc != zlib.crc32(self.entry(MANIFEST)):
            raise self._damaged(f"{MANIFEST} is not the last entry, or was changed")
        if self.manifest.get("directory") != _records_digest(others):
            raise self._damaged("its ZIP directory is not the one that the manifest lists")

    def _damaged(self, what: str) -> FormatError:
        return FormatError(f"{self.where}: {what}; the file is no tin, or is truncated or damaged")

    def _directory(self) -> Iterator[tuple[str, memoryview]]:
        data = self.image
        end = len(data) - _END.size
        if end < 0 or bytes(data[end : end + 4]) != _END_MAGIC:
            raise self._damaged("it does not end with a ZIP directory")
        _, disk, first, here, count, size, start, comment = _END.unpack_from(data, end)
        if (disk, first, comment) != (0, 0, 0) or here != count or start + size != end:
            raise self._damaged("its ZIP directory is inconsistent")
        position, previous, seen = start, 0, set()
        for _ in range(count):
            if position + _CENTRAL.size > end:
                raise self._damaged("its ZIP directory is cut short")
            fields = _CENTRAL.unpack_from(data, position)
            magic, _, _, flags, method, _, _, crc, packed, size, length, extra, note = fields[:13]
            after = position + _CENTRAL.size + length
            if magic != _CENTRAL_MAGIC or after + extra + note > end:
                raise self._damaged("its ZIP directory is cut short")
            name = str(data[position + _CENTRAL.size : after], "latin-1")
            if flags or method or packed != size or not _NAME.fullmatch(name) or name in seen:
                raise self._damaged(f"entry {name!r} is not stored plainly, or stands twice")
            body = self._body(name, fields[16], size, previous, start)
            previous = body + size
            seen.add(name)
            self._records.append(_Written(name.encode("latin-1"), crc, size, fields[16]))
            yield name, data[body:previous]
            position = after + extra + note
        if position != end:
            raise self._damaged("its ZIP directory has bytes to spare")

    def _body(self, name: str, offset: int, size: int, previous: int, limit: int) -> int:
        """The start of an entry's data, between the previous entry and the directory."""
        if previous <= offset and offset + _LOCAL.size <= limit:
            magic, *_, packed, plain, length, extra = _LOCAL.unpack_from(self.image, offset)
            begin = offset + _LOCAL.size
            body: int = begin + length + extra
            same = str(self.image[begin : begin + length], "latin-1") == name
            fits = packed == plain == size and body % PAGE == 0 and body + size <= limit
            if magic == _LOCAL_MAGIC and same and fits:
                return body
        raise self._damaged(f"entry {name!r} does not lie where the directory says")
