"""Prints random sentences of the documentation, help, errors and docstrings, with their places and word counts.

    python scripts/sentences.py --seed 7 --count 60

Reading some dozens is how the language is judged. tests/docs/test_language.py reads the same text.
"""

from __future__ import annotations

import argparse
import ast
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from tinsmith.cli import _group

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "src" / "tinsmith"
CODE = "`…`"  # what stands for a code span


@dataclass(frozen=True)
class Passage:
    """A paragraph, list item, table cell, heading, help text, error message, docstring or comment."""

    kind: str  # docs, help, error, docstring or header
    path: str  # relative to the checkout
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}" if self.line else self.path


def pages() -> list[Path]:
    """Every Markdown page that the word budget counts."""
    front = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
    return [*front, *sorted((ROOT / "docs").rglob("*.md"))]


def passages() -> Iterator[Passage]:
    for page in [*pages(), ROOT / "kernels" / "core" / "README.md"]:
        yield from markdown(page)
    yield from helps()
    for source in sorted(SOURCES.rglob("*.py")):
        yield from python(source)
    for header in sorted((ROOT / "kernels").rglob("*.h")):
        yield from comments(header)


def prose_lines(page: Path) -> Iterator[tuple[int, str]]:
    """A page's lines, by number, without fenced blocks."""
    fenced = False
    for number, line in enumerate(page.read_text("utf-8").splitlines(), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced:
            yield number, line


def markdown(page: Path) -> Iterator[Passage]:
    """Paragraphs, list items, headings and table cells, without their markup."""
    path, begun, words = _name(page), 0, ""
    previous = 0
    for number, line in [*prose_lines(page), (0, "")]:
        text = line.strip()
        cells = text.startswith("|")
        starts = not text or cells or re.match(r"(?:[-*] |\d+\. |#)", text) or number != previous + 1
        if words and (starts or words.startswith(" #")):
            yield Passage("docs", path, begun, plain(words))
            words = ""
        if cells:
            for cell in re.split(r"(?<!\\)\|", text.strip("|")):
                if re.search(r"[^\W\d_]", cell):
                    yield Passage("docs", path, number, plain(cell))
        elif text:
            begun = begun if words else number
            words = f"{words} {text}"
        previous = number


def plain(text: str) -> str:
    text = re.sub(r"`+[^`]+`+", CODE, text)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"^\s*(?:[-*] |\d+\. |#+ )", "", text)
    return " ".join(text.replace("**", "").split())


def helps() -> Iterator[Passage]:
    """What each verb, argument and option says in --help."""

    def walk(command: click.Command, name: str) -> Iterator[Passage]:
        context = click.Context(command)
        texts = [
            command.help or "",
            *[getattr(param, "help", "") or "" for param in command.get_params(context)],
        ]
        for text in texts:
            for part in text.split("\n\n"):
                if part.strip():
                    yield Passage("help", name, 0, " ".join(part.split()))
        if isinstance(command, click.Group):
            for verb in command.list_commands(context):
                inner = command.get_command(context, verb)
                assert inner
                yield from walk(inner, f"{name} {verb}")

    yield from walk(_group.root(), "tinsmith")


def python(source: Path) -> Iterator[Passage]:
    """Docstrings, and the texts of errors where they are made."""
    path = _name(source)
    tree = ast.parse(source.read_text("utf-8"))
    raised = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            for part in (ast.get_docstring(node) or "").split("\n\n"):
                if part:
                    yield Passage("docstring", path, getattr(node, "lineno", 1), plain(part))
        if isinstance(node, ast.Call) and (node in raised or ast.unparse(node.func).endswith("Error")):
            for argument in [*node.args, *[word.value for word in node.keywords]]:
                if text := _said(argument):
                    yield Passage("error", path, node.lineno, text)


def comments(header: Path) -> Iterator[Passage]:
    text = header.read_text("utf-8")
    for found in re.finditer(r"/\*(.*?)\*/", text, re.S):
        line = text.count("\n", 0, found.start()) + 1
        lines = [re.sub(r"^\s*\*? ?", "", one) for one in found[1].splitlines()]
        for part in re.split(r"\n\s*\n", "\n".join(lines)):
            if part.strip():
                yield Passage("header", _name(header), line, plain(part))


def sentences(text: str) -> list[str]:
    """Its sentences. Each entry of a list of parameters ("tokens: of the prompt; seed: …") is one."""
    ended = re.sub(r"\b(e\.g|i\.e|vs|No|approx)\.", r"\1", text)
    starts = r"[\"'(`]?(?:[A-Z`\d…{]|tinsmith\b|qemu\b|zig\b)"
    parts = re.split(rf"(?<=[.!?])[\"')]?\s+(?={starts})|(?<=[.;])\s+(?=[a-z]\w*(?:, [a-z]\w*)*: )", ended)
    return [part for part in parts if count(part)]


def count(sentence: str) -> int:
    """Words; a code span is one."""
    return sum(bool(re.search(r"\w|…", word)) for word in sentence.replace(CODE, "x").split())


def _said(node: ast.expr) -> str:
    """The text of an error's message, with … for what it quotes."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(_said(part) if isinstance(part, ast.Constant) else "…" for part in node.values)
    if isinstance(node, ast.BinOp):
        return _said(node.left) + _said(node.right)
    return ""


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=None, help="draws the same sentences again")
    parser.add_argument("--count", type=int, default=60, metavar="N")
    args = parser.parse_args()
    all_of = [
        (passage, one)
        for passage in passages()
        if passage.kind != "header"
        for one in sentences(passage.text)
        if count(one) > 3
    ]
    chosen = random.Random(args.seed).sample(all_of, min(args.count, len(all_of)))
    for passage, sentence in chosen:
        print(f"{count(sentence):3d}  {passage.kind:9}  {passage}\n     {sentence}")


if __name__ == "__main__":
    main()
