"""The C reference from tin.h: `.. tin-header:: PATH` becomes one section for each `/* ---- Title --- */` of the
header, with every function, type, enumeration and documented macro in Sphinx's C domain.

The header's comments are prose in a few fixed forms, which is all that is read of them here:
- paragraphs, separated by empty lines
- `name  text`: what a parameter is, its text indented below when it takes more than a line
- a paragraph that begins with `Errors:`
- `code` in backticks; names that the header declares become links
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

COMMENT = re.compile(r"\s*/\*(.*?)\*/", re.S)
SECTION = re.compile(r"---- (.*?) -+$")
DEFINE = re.compile(r"#define (TIN_\w+)[ \t]+((?:\\\n|.)*)")


@dataclass
class Entry:
    """One declaration. kind: a directive of the C domain; "section", whose declaration is its title; "enum"."""

    kind: str
    declaration: str
    comment: str = ""
    members: list[Entry] = field(default_factory=list)

    @property
    def name(self) -> str:
        found = re.search(r"\(\*(\w+)\)\(", self.declaration)  # a pointer to a function
        if found is None:
            found = re.search(r"(\w+)\s*(?:\(.*|\[.*|=.*)?$", self.declaration, re.S)
        assert found, self.declaration
        return found[1]


def parse(text: str) -> list[Entry]:
    """The header's entries, in order. Raises ValueError for one without a comment."""
    text = _with_errors(text[text.index('extern "C" {\n#endif') :].partition("#endif")[2])
    entries: list[Entry] = []
    comment, at = "", 0
    while at < len(text):
        if found := COMMENT.match(text, at):
            comment, at = _plain(found[1]), found.end()
            if section := SECTION.match(comment):
                entries.append(Entry("section", section[1]))
                comment = ""
        elif found := re.compile(r"\s*(#(?:\\\n|.)*)").match(text, at):
            at = found.end()
            define = DEFINE.match(found[1])
            if define and comment and define[1] != "TIN_ERRORS":
                entries.append(Entry("macro", define[1], comment))
            comment = ""
        elif found := re.compile(r"\s*(\S(?:[^;{]|\{(?:[^}]|/\*.*?\*/)*\})*);", re.S).match(text, at):
            at = found.end()
            if not comment:
                raise ValueError(f"a declaration without a comment: {found[1]}")
            entries.append(_declared(found[1], comment))
            comment = ""
        else:
            at += 1
    return entries


def _with_errors(text: str) -> str:
    """The list of errors as the enumeration that the preprocessor makes of it."""
    listed = re.findall(r'^    X\((\w+), (-\d+), "(.*)"\)', text, re.M)
    made = "".join(f"TIN_ERR_{name} = {value}, /* {meaning} */\n" for name, value, meaning in listed)
    enum = r"enum \{ TIN_OK = 0, TIN_ERRORS\(TIN_ERROR_ENUM\) TIN_ERR_END = 1 \};"
    comment = "/* What a function returns. A value never changes its meaning. */"
    return re.sub(enum, lambda _: f"{comment}\nenum {{ TIN_OK = 0, {made} }};", text)


def _plain(comment: str) -> str:
    lines = [re.sub(r"^\s*\* ?", "", line) for line in comment.strip().splitlines()]
    return "\n".join(line.rstrip() for line in lines)


def _declared(code: str, comment: str) -> Entry:
    bare = " ".join(re.sub(r"/\*.*?\*/", "", code, flags=re.S).split())
    if bare.startswith("TIN_API "):
        return Entry("function", bare.removeprefix("TIN_API "), comment)
    if found := re.match(r"(?:typedef )?(struct|enum)\s*(\w*)\s*\{(.*)\}", code, re.S):
        kind, name, body = found.groups()
        members = list(_members(body, ";" if kind == "struct" else ","))
        if kind == "enum":
            for member in members:
                member.kind = "enumerator"
        return Entry(kind, name, comment, members)
    if found := re.match(r"typedef struct (\w+) \1$", bare):
        return Entry("struct", found[1], comment)
    if found := re.match(r"typedef (.+)", bare):
        return Entry("type", found[1], comment)
    raise ValueError(f"a declaration of no known form: {bare}")


def _members(body: str, end: str) -> Iterator[Entry]:
    """What a comment says stands before a member, or behind it on its line."""
    part = re.compile(
        rf"\s*(?:/\*(?P<before>.*?)\*/\s*)?(?P<code>[^{end}/]+){end}?(?:[ \t]*/\*(?P<behind>.*?)\*/)?", re.S
    )
    for found in part.finditer(body):
        code = " ".join(found["code"].split())
        if not code:
            continue
        comment = _plain(found["before"] or found["behind"] or "")
        first, *others = code.split(", ") if "(" not in code else [code]
        kind = first.rpartition(" ")[0]
        for one in (first, *(f"{kind} {other}" for other in others)):
            yield Entry("member", one, comment)


class Writer:
    """Entries as reStructuredText."""

    ROLES: ClassVar = {
        "function": "func",
        "enumerator": "enumerator",
        "macro": "macro",
        "type": "type",
        "struct": "struct",
    }

    def __init__(self, entries: list[Entry]) -> None:
        self.entries = entries
        named = [*entries, *(member for entry in entries if entry.kind == "enum" for member in entry.members)]
        self.roles = {one.name: self.ROLES[one.kind] for one in named if one.kind in self.ROLES}

    def text(self) -> str:
        return "\n".join(self._entry(entry) for entry in self.entries)

    def _entry(self, entry: Entry, indent: str = "") -> str:
        if entry.kind == "section":
            return f"{entry.declaration}\n{'-' * len(entry.declaration)}\n"
        if entry.kind == "enum":  # which has no name: a paragraph, and what it enumerates
            return self._comment(entry.comment, []) + "\n".join(map(self._entry, entry.members))
        lines = [f".. c:{entry.kind}:: {entry.declaration}", ""]
        parameters = re.findall(r"(\w+)(?=[,)])", entry.declaration) if entry.kind == "function" else []
        lines += textwrap.indent(self._comment(entry.comment, parameters), "   ").splitlines()
        lines += [self._entry(member, "   ") for member in entry.members]
        return textwrap.indent("\n".join(lines), indent) + "\n"

    def _comment(self, comment: str, parameters: list[str]) -> str:
        made: list[str] = []
        for paragraph in comment.split("\n\n"):
            listed = re.findall(r"^(\w+)  +(.*(?:\n +.*)*)", paragraph, re.M)
            if listed and paragraph.startswith(listed[0][0] + "  "):
                for name, text in listed:
                    if name not in parameters:
                        raise ValueError(f"{name} is described, and is no parameter: {parameters}")
                    made.append(f":param {name}: {self._inline(' '.join(text.split()))}")
            elif paragraph.startswith("Errors:"):
                text = re.sub(
                    r"\b[A-Z]{4,}\b",
                    lambda name: f"TIN_ERR_{name[0]}" if f"TIN_ERR_{name[0]}" in self.roles else name[0],
                    paragraph.removeprefix("Errors:"),
                )
                made += ["", f"**Errors:** {self._inline(' '.join(text.split()))}", ""]
            else:
                made += ["", self._inline(" ".join(paragraph.split())), ""]
        return "\n".join(made) + "\n"

    def _inline(self, text: str) -> str:
        pieces = re.split(r"(`[^`]+`)", text)
        return "".join(f"`{piece}`" if piece.startswith("`") else self._linked(piece) for piece in pieces)

    def _linked(self, text: str) -> str:
        def link(name: re.Match[str]) -> str:
            role = self.roles.get(name[0])
            if role is None:
                return "``{}``".format(name[0].replace("\\", ""))
            return f"\\ :c:{role}:`{name[0]}`\\ "

        escaped = re.sub(r"[*|\\]", r"\\\g<0>", text)
        return re.sub(r"\b(?:tin|TIN)_\w+(?:\\\*)?", link, escaped)


class TinHeader(SphinxDirective):
    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        path = Path(self.env.srcdir, self.arguments[0]).resolve()
        self.env.note_dependency(str(path))
        text = Writer(parse(path.read_text(encoding="utf-8"))).text()
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("tin-header", TinHeader)
    return {"parallel_read_safe": True}
