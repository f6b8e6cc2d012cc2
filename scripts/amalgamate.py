#!/usr/bin/env python3
"""Writes the C library as two files, tin.c and tin.h, for those who would rather drop them in than build it.

    scripts/amalgamate.py FOLDER     writes FOLDER/tin.c and FOLDER/tin.h, and with --host beside them
                                     tin_host.c and tin_host.h, the flat interface that engines bind
    scripts/amalgamate.py --list     brings the list of sources in kernels/tin_all.c up to date

kernels/tin_all.c names the sources; every local include is put in its place, a header once. Names that two
files give to different things would clash in one: they are listed, and nothing is written.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import defaultdict
from itertools import groupby
from pathlib import Path

KERNELS = Path(__file__).resolve().parents[1] / "kernels"
ALL = KERNELS / "tin_all.c"
HEADER = KERNELS / "include" / "tin.h"
HOST = KERNELS / "host" / "tin_host.c"
PUBLIC = (HEADER, HEADER.with_name("tin_host.h"))

# Clang takes what stood in headers for the file's own now, and finds some of it unused.
TOP = """\
/* tinsmith {version}, Apache License 2.0. Written by scripts/amalgamate.py: change the sources. */
#if defined(__clang__)
#pragma clang diagnostic ignored "-Wunused-function"
#endif"""

_INCLUDE = re.compile(r'#include "(.+)"')
_GUARD = re.compile(r"\s*(?:/\*.*?\*/\s*)*#ifndef (\w+)\n#define \1\n", flags=re.S)
_NOISE = re.compile(r"/\*.*?\*/|__attribute__\(\(.*?\)\)", flags=re.S)

# What a file defines at its top level, found by how the house style writes it: from the first column on.
_DEFINITIONS = (
    re.compile(r"^(?:static|TINI_INLINE)\b[^;={(]*?\b(\w+) ?(?:[(;=]|\[)", flags=re.M),
    re.compile(r"^\} ?(\w+)(?:\[\w*\])?(?:;| =)", flags=re.M),
    re.compile(r"^(?:typedef )?(?:struct|enum|union) (\w+) \{", flags=re.M),
    re.compile(r"^typedef [^{]*?\b(\w+)(?:\(.*)?;", flags=re.M),
)
_ENUM = re.compile(r"^(?:typedef )?enum(?: \w+)? \{(.*?)\}", flags=re.M | re.S)
_MACRO = re.compile(r"^ *# *(define|undef) (\w+)", flags=re.M)


def sources() -> list[str]:
    """Every source of the library, as tin_all.c names them. The pool comes last: what Windows' headers define
    would get in the others' way."""
    paths = [*KERNELS.glob("core/*/*.c"), *KERNELS.glob("isa/*/*.c")]
    return sorted(
        (str(path.relative_to(KERNELS)) for path in paths),
        key=lambda name: (name == "core/session/pool.c", name),
    )


def listed() -> list[str]:
    return [name for name in _INCLUDE.findall(ALL.read_text("utf-8")) if name.endswith(".c")]


def write_list() -> None:
    """What a program may leave out by a macro stands between its #ifndef and #endif."""
    lines = ALL.read_text("utf-8").splitlines()
    head = lines[: next(i for i, line in enumerate(lines) if line.startswith("#include"))]
    listed: list[str] = []
    for optional, names in groupby(sources(), lambda name: name.startswith("core/vision/")):
        includes = [f'#include "{name}"' for name in names]
        listed += ["#ifndef TIN_NO_VISION", *includes, "#endif"] if optional else includes
    ALL.write_text("\n".join([*head, *listed]) + "\n", "utf-8")


class Amalgam:
    """The sources as one text, and every file that is in it."""

    def __init__(self, root: Path) -> None:
        self.files: set[Path] = set()
        self._done: set[Path] = set()
        self.lines = self._expand(root, conditional=False)

    def _expand(self, path: Path, conditional: bool) -> list[str]:
        """conditional: some #if may leave this place out, so a header that stands here must come again."""
        text = path.read_text("utf-8")
        self.files.add(path)
        depth = -1 if _GUARD.match(text) else 0
        lines = []
        for line in text.splitlines():
            depth += bool(re.match(r" *# *if", line)) - bool(re.match(r" *# *endif", line))
            include = _INCLUDE.match(line)
            if not include:
                lines.append(line)
                continue
            target = (path.parent / include[1]).resolve()
            if target in self._done:
                continue
            if target in PUBLIC:
                self._done.add(target)
                lines.append(f'#include "{target.name}"')
                continue
            if not conditional and depth == 0 and _GUARD.match(target.read_text("utf-8")):
                self._done.add(target)
            lines.append(f"/* {target.relative_to(KERNELS.parent)} */")
            lines += self._expand(target, conditional or depth > 0)
        return lines


def definitions(path: Path) -> set[str]:
    text = _NOISE.sub("", path.read_text("utf-8"))
    names = {name for pattern in _DEFINITIONS for name in pattern.findall(text)}
    for body in _ENUM.findall(text):
        entries = re.sub(r"^ *#.*", "", body, flags=re.M)
        names |= {entry.split("=")[0].strip() for entry in entries.split(",")}
    names |= macros(text, "define") - macros(text, "undef")
    for include in map(_INCLUDE.match, text.splitlines()):
        written = (path.parent / include[1]).resolve().read_text("utf-8") if include else ""
        # What has no guard is included with macros for parameters, and undefines these itself.
        if not _GUARD.match(written):
            names -= macros(written, "undef")
    # TINI_SET(name) is another name for each set that includes the file.
    return {name for name in names if name.isidentifier()} - {"TINI_SET"}


def macros(text: str, what: str) -> set[str]:
    """Those of a text that it defines, or undefines."""
    return {name for found, name in _MACRO.findall(text) if found == what}


def clashes(files: set[Path]) -> dict[str, list[str]]:
    """Names that more than one file defines, with the files."""
    owners = defaultdict(list)
    for path in sorted(files - {ALL, HOST}):
        if path.suffix in (".c", ".h"):
            for name in definitions(path):
                owners[name].append(str(path.relative_to(KERNELS)))
    return {name: paths for name, paths in owners.items() if len(paths) > 1}


def write(folder: Path, host: bool = False) -> None:
    """Raises ValueError where the sources can't be one file."""
    if missing := set(sources()) ^ set(listed()):
        raise ValueError(
            f"kernels/tin_all.c is out of date ({', '.join(sorted(missing))}); run scripts/amalgamate.py --list"
        )
    version = re.search(r'#define TIN_VERSION "(.+)"', HEADER.read_text("utf-8"))
    assert version
    made: dict[str, str] = {}
    for root, header in [(ALL, HEADER), *([(HOST, PUBLIC[1])] if host else [])]:
        amalgam = Amalgam(root)
        if clashing := clashes(amalgam.files):
            lines = [f"  {name}: {', '.join(paths)}" for name, paths in sorted(clashing.items())]
            raise ValueError("names that clash in one file; rename all but one of each:\n" + "\n".join(lines))
        made[header.with_suffix(".c").name] = "\n".join([TOP.format(version=version[1]), *amalgam.lines]) + "\n"
        made[header.name] = header.read_text("utf-8")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in made.items():
        (folder / name).write_text(text, "utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", help="where tin.c and tin.h go")
    parser.add_argument("--host", action="store_true", help="write tin_host.c and tin_host.h as well")
    parser.add_argument("--list", action="store_true", help="bring kernels/tin_all.c up to date")
    args = parser.parse_args()
    if args.list == bool(args.folder):
        parser.error("give a folder, or --list")
    try:
        write_list() if args.list else write(args.folder, args.host)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
