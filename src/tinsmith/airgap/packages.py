"""What a system's own packages hold: the library, the program `tin`, the Python package and the model, each of
the parts of a pack, whatever form they take then (deb, rpm)."""

from __future__ import annotations

import platform
import re
import sys
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tinsmith import __version__
from tinsmith.airgap.install import base
from tinsmith.airgap.tar import Source
from tinsmith.cross import runtime
from tinsmith.errors import InputError, SignatureError, UnsupportedError, one_line
from tinsmith.formats.tin import Tin
from tinsmith.system import names
from tinsmith.targets import Target

VENDORED = "usr/lib/tinsmith"  # what the command line needs, for systems that lack it
_STARTER = """\
#!/usr/bin/python3 -IB
import sys

sys.path.append("/usr/lib/tinsmith")
from tinsmith.cli import main

sys.exit(main())
"""
_PKG_CONFIG = """\
prefix=/usr
libdir=${{prefix}}/{lib}
includedir=${{prefix}}/include

Name: tin
Description: Runs sealed language models (.tin)
Version: {version}
Cflags: -I${{includedir}} -DTIN_SHARED
Libs: -L${{libdir}} -ltin
Libs.private: -pthread
"""
_LICENSE = "LICENSES/tinsmith.txt"


@dataclass(frozen=True)
class Layout:
    """Where a system has its libraries and Python's packages, below its root."""

    lib: str
    python: str


@dataclass(frozen=True)
class Package:
    """arch: as targets name it, or None where any will do; libc: the version of glibc that it needs; files: by
    their places below the root; license: SPDX's name of it, or what is known; terms: the text."""

    name: str
    version: str
    summary: str
    text: str
    arch: str | None
    license: str
    terms: bytes
    files: dict[str, Source]
    libc: str | None = None
    is_python: bool = False
    conflicts: tuple[str, ...] = field(default=())


def arch(target: Target | None, form: str) -> str:
    """Of a target that has packages. Raises UnsupportedError for one without Linux and its usual libraries."""
    if target is None:
        if sys.platform != "linux":
            raise UnsupportedError(f"--as {form} packs for Linux; give --target, or another form")
        return {"arm64": "aarch64", "amd64": "x86_64"}.get(platform.machine(), platform.machine())
    if target.build.zig is not None:
        machine = runtime.machines(target)[0]
        if machine.system == "linux" and machine.libc in ("musl", "gnu"):
            return target.cpu.arch
    raise UnsupportedError(
        f"--as {form} packs for Linux, which {target.name} has not; pack it as dir, tar or zip"
    )


def of(tin: Path, files: Mapping[str, Source], machine: str, layout: Layout, version: str) -> Iterator[Package]:
    """files: of a pack, by their places in it; machine: of `arch`; version: of the model."""
    terms = _bytes(files[_LICENSE])
    yield from _library(files, machine, layout, terms)
    yield from _tool(files, machine, terms)
    yield from _python(files, machine, layout, terms)
    yield _model(tin, files, version)


def _library(files: Mapping[str, Source], machine: str, layout: Layout, terms: bytes) -> Iterator[Package]:
    places: dict[str, Source] = {}
    for name, source in files.items():
        folder, _, file = name.rpartition("/")
        if folder in ("runtime/lib", "runtime/lib/gnu") and file.endswith((".so", ".a")):
            places[f"{layout.lib}/{file}"] = source
        elif folder == "runtime/include":
            places[f"usr/include/{file}"] = source
    if not any(name.endswith(".so") for name in places):
        return
    text = _PKG_CONFIG.format(lib=layout.lib.removeprefix("usr/"), version=__version__)
    places[f"{layout.lib}/pkgconfig/tin.pc"] = text.encode()
    yield Package(
        "libtin",
        __version__,
        "runs sealed language models: library and headers",
        "A C library without dependencies that runs .tin files, and what programs are built with.",
        machine,
        "Apache-2.0",
        terms,
        places,
        libc=_libc(places),
    )


def _tool(files: Mapping[str, Source], machine: str, terms: bytes) -> Iterator[Package]:
    program = files.get("runtime/bin/tin")
    if program is None:
        return
    places = {"usr/bin/tin": program}
    yield Package(
        "tinsmith-tool",
        __version__,
        "verifies and runs sealed language models",
        "The program tin: checks a .tin file's signature, proves it on this machine, and asks it.",
        machine,
        "Apache-2.0",
        terms,
        places,
        libc=_libc(places),
        conflicts=("tin",),  # a reader of news, whose program has the same name
    )


def _python(files: Mapping[str, Source], machine: str, layout: Layout, terms: bytes) -> Iterator[Package]:
    places: dict[str, Source] = {}
    for name, source in files.items():
        if not name.endswith(".whl") or not isinstance(source, Path):
            continue
        own = base(name).startswith("tinsmith-")
        if not (name.endswith("-none-any.whl") or (own and name.endswith(f"_{machine}.whl"))):
            raise InputError(
                f"{name}: is not for Linux on {machine}, and can't be in its packages; leave it out"
            )
        folder = layout.python if own else VENDORED
        with zipfile.ZipFile(source) as archive:
            inside = [one for one in archive.namelist() if not one.endswith("/")]
            names.check(inside, source)
            read = {f"{folder}/{one}": archive.read(one) for one in inside if not one.endswith("/RECORD")}
        for place, data in read.items():
            if places.setdefault(place, data) != data:
                raise InputError(
                    f"{source}: another wheel has a different file at {place}; leave one of them out"
                )
        if own:
            places["usr/bin/tinsmith"] = _STARTER.encode()
    if "usr/bin/tinsmith" not in places:
        return
    yield Package(
        "python3-tinsmith",
        __version__,
        "compiles and runs sealed language models: Python package and command line",
        "For the system's own Python. What only training needs is no part of it.",
        machine,
        "Apache-2.0",
        terms,
        places,
        libc=_libc(places),
        is_python=True,
    )


def _model(tin: Path, files: Mapping[str, Source], version: str) -> Package:
    folder = f"usr/share/tinsmith/{tin.stem}"
    skipped = ("runtime/", "install.", _LICENSE)
    held = {name: source for name, source in files.items() if not name.startswith(skipped)}
    texts = [_bytes(source) for name, source in sorted(held.items()) if name.startswith("LICENSES/")]
    facts = Tin(tin).facts("family", "parameters")
    origin = facts.get("base") or {}
    return Package(
        f"tinsmith-model-{plain(tin.stem)}",
        version,
        f"the language model {tin.stem}",
        f"A sealed language model of {facts['parameters']:,} parameters, and what it must answer: /{folder}",
        None,
        origin.get("license") or "unknown",
        b"\n".join(texts) or b"The file's maker states no licence.\n",
        {f"{folder}/{name}": source for name, source in held.items()},
    )


def plain(name: str) -> str:
    """As packages and images may be called."""
    return re.sub("[^a-z0-9.]+", "-", name.lower()).strip("-.") or "model"


def version_of(comment: str) -> str:
    """Of a model: what its signature states (`tinsmith sign --version`), else 0. Raises SignatureError where
    that is no number: it becomes a package's version, and part of commands that people type."""
    words = comment.split(" ")
    stated = [word.removeprefix("version=") for word in words if word.startswith("version=")]
    if not stated or words[0] != "tinsmith":
        return "0"
    if len(stated) > 1 or not re.fullmatch("[1-9][0-9]{0,9}", stated[0], re.ASCII) or int(stated[0]) >= 1 << 32:
        raise SignatureError(
            f"the model's signature states version={one_line(stated[0])[:60]}, which is no number from 1 to "
            "4294967295; sign it again by tinsmith sign --version N"
        )
    return stated[0]


def _libc(files: Mapping[str, Source]) -> str | None:
    """The latest version of glibc whose symbols the files ask for; None where they ask for none."""
    found = {
        (int(major), int(minor))
        for name, source in files.items()
        if name.endswith(".so") or name == "usr/bin/tin"
        for major, minor in re.findall(rb"GLIBC_(\d+)\.(\d+)", _bytes(source))
    }
    return ".".join(map(str, max(found))) if found else None


def _bytes(source: Source) -> bytes:
    return source if isinstance(source, bytes) else source.read_bytes()
