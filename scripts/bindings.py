#!/usr/bin/env python3
"""Writes what languages must repeat of kernels/include/tin_host.h, so that nobody keeps a copy by hand.

    scripts/bindings.py     brings the files of FILES and PARTS up to date; a test compares

Rust, Java (with its JNI glue), Node (N-API and TypeScript), the browser, Lua and C# get every function and
constant; Go reads the header itself. Lua's and C#'s one file has a generated part, between two marked lines.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import bindings_c
import bindings_script

ROOT = Path(__file__).resolve().parents[1]
HOST = ROOT / "kernels" / "include" / "tin_host.h"
CORE = ROOT / "kernels" / "include" / "tin.h"
MADE = "Made by scripts/bindings.py of kernels/include/tin_host.h: change that."

# What a C type is to other languages.
KINDS = {
    "tinhost_model *": "model",
    "const tinhost_model *": "model",
    "tinhost_session *": "session",
    "const tinhost_session *": "session",
    "const char *": "text",
    "const void *": "data",  # read; its bytes follow, as a "size"
    "void *": "room",  # written; its bytes follow, as a "size"
    "int32_t ": "int",
    "int64_t ": "long",
    "double ": "double",
    "void ": "nothing",
}

_COMMENT = re.compile(r"/\*.*?\*/", flags=re.S)
_FUNCTION = re.compile(r"TIN_API\s+(?P<result>[\w ]+[ *])(?P<name>tinhost_\w+)\((?P<takes>[^)]*)\);")
_VALUE = re.compile(r"\b(?:TIN|TINHOST)_(\w+) = (-?\d+)")
_ERROR = re.compile(r'X\((\w+), (-\d+), "([^"]+)"\)')


@dataclass(frozen=True)
class Parameter:
    kind: str  # of KINDS, or "size": of the block before it, which knows it in a language that has blocks
    name: str


@dataclass(frozen=True)
class Function:
    name: str  # without tinhost_
    result: str  # of KINDS
    takes: tuple[Parameter, ...]

    @property
    def given(self) -> tuple[Parameter, ...]:
        """What a language whose blocks know their size gives."""
        return tuple(one for one in self.takes if one.kind != "size")

    @property
    def camel(self) -> str:
        first, *rest = self.name.split("_")
        return first + "".join(word.capitalize() for word in rest)


@dataclass(frozen=True)
class Interface:
    functions: tuple[Function, ...]
    constants: dict[str, int]  # without TIN_ and TINHOST_: steps, roles, finishes
    errors: tuple[tuple[str, int, str], ...]  # name, value, meaning


def read() -> Interface:
    host, core = (_COMMENT.sub("", path.read_text("utf-8")) for path in (HOST, CORE))
    found = [
        Function(match["name"].removeprefix("tinhost_"), _kind(match["result"]), _takes(match["takes"]))
        for match in _FUNCTION.finditer(host)
    ]
    if len(found) != host.count("TIN_API"):
        raise SystemExit(
            f"{HOST}: {host.count('TIN_API')} functions are declared, {len(found)} were understood"
        )
    wanted = re.findall(r"\b(TIN_(?:ROLE|FINISH)_\w+ = \d+)", core)
    constants = {name: int(value) for name, value in _VALUE.findall("\n".join([host, *wanted]))}
    errors = tuple((name, int(value), meaning) for name, value, meaning in _ERROR.findall(core))
    return Interface(tuple(found), constants, errors)


def _kind(text: str) -> str:
    spelled = " ".join(text.split())
    spelled = spelled if spelled.endswith("*") else spelled + " "
    if spelled not in KINDS:
        raise SystemExit(f"{HOST}: type {spelled.strip()}; other languages have {', '.join(KINDS)}")
    return KINDS[spelled]


def _takes(text: str) -> tuple[Parameter, ...]:
    if text.strip() == "void":
        return ()
    pairs = [re.fullmatch(r"(.*[ *])(\w+)", part.strip(), flags=re.S) for part in text.split(",")]
    taken = [Parameter(_kind(pair[1]), pair[2]) for pair in pairs if pair]
    for k, block in enumerate(taken):
        if block.kind in ("data", "room"):
            taken[k + 1 : k + 2] = [Parameter("size", f"{block.name}_bytes")]
    return tuple(taken)


FILES: dict[str, Callable[[Interface, str], str]] = {
    "integrations/rust/src/sys.rs": bindings_script.rust,
    "integrations/java/src/main/java/tinsmith/runtime/Native.java": bindings_script.java,
    "integrations/java/src/main/c/native.c": bindings_c.jni,
    "integrations/node/src/table.h": bindings_c.node,
    "integrations/node/native.d.ts": bindings_script.typescript,
    "integrations/browser/table.mjs": bindings_script.browser,
}
PARTS: dict[str, Callable[[Interface, str], str]] = {
    "integrations/lua/tin.lua": bindings_script.lua,
    "integrations/csharp/Tin.cs": bindings_script.csharp,
}
END = "End of the generated part."


def texts() -> dict[Path, str]:
    interface = read()
    whole = {ROOT / name: write(interface, MADE) for name, write in FILES.items()}
    return whole | {
        ROOT / name: _with_part(ROOT / name, write(interface, MADE)) for name, write in PARTS.items()
    }


def _with_part(path: Path, part: str) -> str:
    """The file with its generated part replaced: from the line of MADE up to the line of END."""
    lines = path.read_text("utf-8").splitlines(keepends=True)
    begin, end = (next(k for k, line in enumerate(lines) if mark in line) for mark in (MADE, END))
    return "".join([*lines[:begin], part, *lines[end:]])


def main() -> None:
    for path, text in texts().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
