"""The code blocks of the book's pages, and the commands in their prose."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "examples").rglob("*.md"),
    ]
)
Provide = Callable[[Path], bool]  # makes a file that a page names; False where it can't
SUFFIXES = {"python": "py", "c": "c", "toml": "toml", "json": "json", "jsonl": "jsonl", "js": "mjs"}
SEPARATORS = {"&&", "||", ";", "|", "\n"}


@dataclass(frozen=True)
class Block:
    """A fenced block. name: of the file that the text before it says it is, or ""."""

    page: Path
    line: int
    language: str
    text: str
    name: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """Every fenced block, and every block that is only indented, whose language is "indented"."""
    made: list[Block] = []
    before, opened, inside = "", 0, []
    language = ""
    lines = page.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        if line.startswith("```"):
            if not opened:
                opened, language, inside = number, line[3:].strip(), []
                continue
            made.append(Block(page, opened, language, "\n".join(inside) + "\n", _name(before, language)))
            before, opened = "", 0
        elif opened:
            inside.append(line)
        else:
            before += line + "\n"
            previous = lines[number - 2] if number > 1 else ""
            if line.startswith("    ") and (not previous or previous.startswith("#")):
                made.append(Block(page, number, "indented", line, ""))
    if opened:
        made.append(Block(page, opened, "not closed", "", ""))
    return made


def _name(before: str, language: str) -> str:
    """The last file of the language's kind that the text before a block names."""
    suffix = SUFFIXES.get(language)
    # A route of the server begins with a slash.
    named = re.findall(rf"`([\w.-][\w./-]*\.{suffix})`", before) if suffix else []
    return str(named[-1]) if named else ""


def commands(text: str) -> Iterator[list[str]]:
    """The simple commands of a shell block, as lists of words; redirections are cut off."""
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split, lexer.commenters = True, "#"
        command: list[str] = []
        for word in [*lexer, "\n"]:
            if word in SEPARATORS:
                command = command[: command.index(">")] if ">" in command else command
                if command:
                    yield command
                command = []
            else:
                command.append(word)


def spans(page: Path) -> Iterator[str]:
    """Commands of ours in the prose, such as `tinsmith verify FILE --key K`."""
    prose = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    for span in re.findall(r"`(tinsmith [^`]+)`", prose):
        yield " ".join(span.split())
