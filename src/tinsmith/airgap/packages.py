"""The contents of a system's packages (deb, rpm), from the files of a pack: the library, the program `tin`, the
Python package and the model."""

from __future__ import annotations

import platform
import re
import sys
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinsmith import __version__
from tinsmith.airgap.install import base
from tinsmith.airgap.tar import Source, content
from tinsmith.cross import runtime
from tinsmith.errors import InputError, SignatureError, UnsupportedError, one_line
from tinsmith.formats.tin import Tin
from tinsmith.system import names
from tinsmith.targets import Target

ARCHS = {"x86_64": "amd64", "aarch64": "arm64", "riscv64": "riscv64"}  # as Debian and OCI name them
VENDORED = "usr/lib/tinsmith"  # the command line's dependencies, for systems without them
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
    """The system's folders of libraries and of Python packages, relative to its root."""

    lib: str
    python: str


@dataclass(frozen=True)
class Package:
    """arch: as targets name it, or None for any. libc: the glibc version that it needs. files: by path below
    the root. license: its SPDX name, where known. terms: the license text."""

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
    conflicts: tuple[str, ...] = ()


def arch(target: Target | None, form: str) -> str:
    """The architecture of a target's packages. Raises UnsupportedError unless it runs Linux with musl or
    glibc."""
    if target is None:
        if sys.platform != "linux":
            raise UnsupportedError(f"--as {form} packs for Linux; give --target, or another form")
        return {"arm64": "aarch64", "amd64": "x86_64"}.get(platform.machine(), platform.machine())
    if target.build.zig is not None:
        machine = runtime.machines(target)[0]
        if machine.system == "linux" and machine.libc in ("musl", "gnu"):
            return target.cpu.arch
    raise UnsupportedError(
        f"--as {form} packs for Linux, which {target.name} does not run; pack it as dir, tar or zip"
    )


def of(tin: Path, files: Mapping[str, Source], machine: str, layout: Layout, version: str) -> Iterator[Package]:
    """files: the pack's, by path. machine: from `arch`. version: the model's."""
    terms = content(files[_LICENSE])

    def own(name: str, summary: str, text: str, contents: dict[str, Source], **more: Any) -> Package:
        common = (name, __version__, summary, text, machine, "Apache-2.0", terms, contents)
        return Package(*common, libc=_libc(contents), **more)

    library = _library(files, layout)
    if any(name.endswith(".so") for name in library):
        yield own(
            "libtin",
            "runs sealed language models: library and headers",
            "A C library without dependencies that runs .tin files, and what programs are built with.",
            library,
        )
    if program := files.get("runtime/bin/tin"):
        yield own(
            "tinsmith-tool",
            "verifies and runs sealed language models",
            "The program tin: checks a .tin file's signature, proves it on this machine, and asks it.",
            {"usr/bin/tin": program},
            conflicts=("tin",),  # a news reader whose program has the same name
        )
    python = _python_files(files, machine, layout)
    if "usr/bin/tinsmith" in python:
        yield own(
            "python3-tinsmith",
            "compiles and runs sealed language models: Python package and command line",
            "For the system's own Python. What only training needs is no part of it.",
            python,
            is_python=True,
        )
    yield _model(tin, files, version)


def _library(files: Mapping[str, Source], layout: Layout) -> dict[str, Source]:
    text = _PKG_CONFIG.format(lib=layout.lib.removeprefix("usr/"), version=__version__)
    contents: dict[str, Source] = {f"{layout.lib}/pkgconfig/tin.pc": text.encode()}
    for name, source in files.items():
        folder, _, file = name.rpartition("/")
        if folder in ("runtime/lib", "runtime/lib/gnu") and file.endswith((".so", ".a")):
            contents[f"{layout.lib}/{file}"] = source
        elif folder == "runtime/include":
            contents[f"usr/include/{file}"] = source
    return contents


def _python_files(files: Mapping[str, Source], machine: str, layout: Layout) -> dict[str, Source]:
    """The pack's wheels, unpacked. Raises InputError for a wheel of another machine, and for two that differ in
    a file."""
    contents: dict[str, Source] = {}
    for name, source in files.items():
        if not name.endswith(".whl") or not isinstance(source, Path):
            continue
        own = base(name).startswith("tinsmith-")
        if not (name.endswith("-none-any.whl") or (own and name.endswith(f"_{machine}.whl"))):
            raise InputError(f"{name}: is not for Linux on {machine}; leave it out of its packages")
        folder = layout.python if own else VENDORED
        with zipfile.ZipFile(source) as archive:
            inside = [one for one in archive.namelist() if not one.endswith("/")]
            names.check(inside, source)
            unpacked = {f"{folder}/{one}": archive.read(one) for one in inside if not one.endswith("/RECORD")}
        for path, data in unpacked.items():
            if contents.setdefault(path, data) != data:
                raise InputError(f"{source}: another wheel has a different file at {path}; leave one out")
        if own:
            contents["usr/bin/tinsmith"] = _STARTER.encode()
    return contents


def _model(tin: Path, files: Mapping[str, Source], version: str) -> Package:
    folder = f"usr/share/tinsmith/{tin.stem}"
    skipped = ("runtime/", "install.", _LICENSE)
    contents = {name: source for name, source in files.items() if not name.startswith(skipped)}
    texts = [content(source) for name, source in sorted(contents.items()) if name.startswith("LICENSES/")]
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
        {f"{folder}/{name}": source for name, source in contents.items()},
    )


def plain(name: str) -> str:
    """The name, as packages and images allow it."""
    return re.sub("[^a-z0-9.]+", "-", name.lower()).strip("-.") or "model"


def version_of(comment: str) -> str:
    """The model's version from its signature (`tinsmith sign --version`), else 0. Raises SignatureError unless
    it is a number: it becomes a package's version, and part of commands that people type."""
    words = comment.split(" ")
    stated = [word.removeprefix("version=") for word in words if word.startswith("version=")]
    if not stated or words[0] != "tinsmith":
        return "0"
    if len(stated) > 1 or not re.fullmatch("[1-9][0-9]{0,9}", stated[0], re.ASCII) or int(stated[0]) >= 1 << 32:
        raise SignatureError(
            f"the model's signature states version={one_line(stated[0])[:60]}, which is no number from 1 to "
            "4294967295; sign it again with tinsmith sign --version N"
        )
    return stated[0]


def _libc(files: Mapping[str, Source]) -> str | None:
    """The glibc version that the files need; None where they need none."""
    found = {
        (int(major), int(minor))
        for name, source in files.items()
        if name.endswith(".so") or name == "usr/bin/tin"
        for major, minor in re.findall(rb"GLIBC_(\d+)\.(\d+)", content(source))
    }
    return ".".join(map(str, max(found))) if found else None
