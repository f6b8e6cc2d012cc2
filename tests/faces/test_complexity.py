"""All that reads takes time that grows with its input: twice as much takes less than three times as long,
whatever shape it has. A refusal is no slower.

A row is a name, a maker of an input of size n in a hostile shape, and what reads it. Time is this process's
own, the least of several runs, without what a run of size 1 takes. A row fails only at several sizes.
"""

from __future__ import annotations

import gc
import hashlib
import json
import struct
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest

from tests.models.tiny_models import png_of, tiny_spec, tiny_tokenizer
from tinsmith import _core, tasks
from tinsmith.batch import journal, run, where
from tinsmith.batch.cache import Cache, CachedAnswer
from tinsmith.batch.engine import Counts
from tinsmith.batch.items import Item, Items
from tinsmith.chat import jinja, turns
from tinsmith.chat.tool_formats.tool import read_tools
from tinsmith.compiler import build_image, build_words
from tinsmith.constraint import makers
from tinsmith.data import containers, readers
from tinsmith.data.shapes import posts
from tinsmith.errors import RuntimeFault, TinsmithError
from tinsmith.evaluate import remote
from tinsmith.evaluate.answers import AnswerFile
from tinsmith.formats import gguf, safetensors, tin
from tinsmith.hub import wheels
from tinsmith.prepare import check
from tinsmith.prepare.check.rows import Data, Row
from tinsmith.prepare.documents import passages
from tinsmith.prepare.documents.kinds import Block, kinds
from tinsmith.runtime.generation import Completion
from tinsmith.system import reading
from tinsmith.tokenizer.pretokenizers import PRETOKENIZERS

ENOUGH = 0.012  # seconds from which on a run counts as measured
LONGER = 10  # times ENOUGH: shows a quadratic step that is cheap at first
MOST = 1 << 17  # n: what is quicker than that at this size needs no test
RATIO, SIZES, RUNS = 3.0, 3, 2

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

Maker = Callable[[int, Path], Any]
Reader = Callable[[Any], Any]
READERS: dict[str, tuple[Maker, Reader]] = {}


def row(name: str, make: Callable[[int], Any], read: Reader) -> None:
    READERS[name] = (lambda n, at: make(n), read)


def file_row(name: str, file: str, make: Callable[[int], str | bytes], read: Reader) -> None:
    """What is read is a file."""

    def written(n: int, at: Path) -> Path:
        data = make(n)
        (at / file).write_bytes(data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data)
        return at / file

    READERS[name] = (written, read)


def document(path: Path) -> None:
    list(kinds()[path.suffix].parse(path))


_PAGES = {
    **{
        f"open {mark}": mark
        for mark in ("<!--", "<!", "<?", "<a", "<a ", "</", "</a ", '<a b="', "<a b='", "<a/")
    },
    **{
        f"open {mark}": mark
        for mark in ("<a =", "<![CDATA[", "<script>", "<script", "<title>", "&", "&#", "&#1")
    },
    "unseen": "<nav></p>",
    "unseen of two kinds": "<nav><svg></svg>",
    "blocks": "<p>a",
    "headings": "<h1>a</h1>",
    "attributes": "<a b=c d='e'>",
    "lines": "a\n",
    "spaces": " ",
    "ends": "</nav>",
}
for _name, _mark in _PAGES.items():
    file_row(f"HTML: {_name}", "a.html", lambda n, mark=_mark: mark * n, document)
file_row("HTML: one tag", "a.html", lambda n: "<a " + "a=" * n, document)
file_row("HTML: one attribute", "a.html", lambda n: '<a a="' + "b" * n, document)
file_row("HTML: a number", "a.html", lambda n: "&#" + "9" * n + ";", document)
file_row("HTML: unseen, then ends", "a.html", lambda n: "<nav>" * n + "</p>" * n, document)
file_row("HTML: punycode", "a.html", lambda n: "<meta charset=punycode>" + "a" * n + "-" + "b" * n, document)

_MARKS = {
    **{
        f"open {mark}": mark
        for mark in ("<!--", "![", "[", "[a](", "![](", "[][", "![a][", "<a", "</a", "`", "```")
    },
    **{
        f"open {mark}": mark
        for mark in ("**a", "** a", "__a ", "**a __b ", "*", "**", "_", "> ", "- ", "[a]: ")
    },
    "closed": "]",
    "links": "[a](b)",
    "comments": "<!--a-->",
    "headings": "# a\n",
    "paragraphs": "a\n\n",
    "lines": "a\n",
    "fences": "```\n\n",
    "spaces": " ",
    "empty lines": " \n",
    "nested": "[![a](b)](c)",
    "underlines": "a\n===\n",
}
for _name, _mark in _MARKS.items():
    file_row(f"Markdown: {_name}", "a.md", lambda n, mark=_mark: mark * n, document)
file_row("Markdown: brackets", "a.md", lambda n: "[" * n + "]" * n, document)
file_row("Markdown: brackets that lead nowhere", "a.md", lambda n: "[a](" * n + "\n" + "[b](" * n, document)
file_row("Markdown: hashes", "a.md", lambda n: "# " + "#" * n + "a", document)
file_row("Markdown: spaces in a heading", "a.md", lambda n: "# a" + " " * n + "b", document)
file_row("Markdown: spaces before a heading", "a.md", lambda n: "#" + " " * n + "b", document)
file_row("Markdown: an empty line in code", "a.md", lambda n: "a\n```\n" + "\n" * n + "b", document)
file_row("text: spaces", "a.txt", lambda n: " " * n + "x", document)
file_row("text: dots", "a.txt", lambda n: " ." * n + "x", document)
file_row("text: a line", "a.txt", lambda n: "a" * n, document)
file_row("text: an underline", "a.txt", lambda n: "a\n" + "=" * n + "b", document)


def rows_of(path: Path) -> None:
    for _ in containers.of_file(path).rows(path):
        pass


_FILES: dict[str, tuple[str, Callable[[int], str | bytes]]] = {
    "CSV: rows": ("a.csv", lambda n: "a,b\n" + "c,d\n" * n),
    "CSV: columns": ("a.csv", lambda n: ",".join(map(str, range(n))) + "\n" + "x," * (n - 1) + "x\n"),
    "CSV: quotes": ("a.csv", lambda n: 'a,b\n"' + '""' * n + '",d\n'),
    "CSV: an open quote": ("a.csv", lambda n: 'a,b\n"' + "c,d\n" * n),
    "CSV: open quotes": ("a.csv", lambda n: "a,b\n" + 'c,"d\n' * n),
    "CSV: quotes in the header": ("a.csv", lambda n: '"a,' * n + "\nb\n"),
    "CSV: lines of a cell": ("a.csv", lambda n: 'a,b\n"' + "\n" * n + '",d\n'),
    "CSV: ragged rows": ("a.csv", lambda n: "a,b\n" + "c\n" * n),
    "CSV: empty lines": ("a.csv", lambda n: "a,b\n" + "\n" * n),
    "JSON lines: rows": ("a.jsonl", lambda n: '{"input": "a"}\n' * n),
    "JSON lines: keys": ("a.jsonl", lambda n: json.dumps({str(key): 1 for key in range(n)})),
    "JSON lines: a key again": ("a.jsonl", lambda n: "{" + '"a": 1, ' * n + '"a": 1}'),
    "JSON lines: escapes": ("a.jsonl", lambda n: '{"a": "' + "\\u0041\\n" * n + '"}'),
    "JSON lines: surrogates": ("a.jsonl", lambda n: '{"a": "' + "\\ud83d" * n + '"}'),
    "JSON lines: a deep list": ("a.jsonl", lambda n: '{"a": ' + "[" * n + "]" * n + "}"),
    "JSON lines: wide lists": ("a.jsonl", lambda n: '{"a": [' + "[]," * n + "[]]}"),
    "JSON lines: long numbers": ("a.jsonl", lambda n: '{"a": [' + "9" * 290 + ("," + "9" * 290) * n + "]}"),
    "JSON lines: a number": ("a.jsonl", lambda n: '{"a": ' + "9" * n + "}"),
    "JSON lines: a fraction": ("a.jsonl", lambda n: '{"a": 0.' + "9" * n + "}"),
    "JSON lines: errors": ("a.jsonl", lambda n: '{"a": \n' * n),
    "JSON list: rows": ("a.json", lambda n: "[" + '{"a": 1},' * n + '{"a": 1}]'),
    "JSON list: brackets": ("a.json", lambda n: "[" * n),
    "JSON list: commas": ("a.json", lambda n: "[" + "," * n + "]"),
    "JSON list: quotes": ("a.json", lambda n: '["' + '\\"' * n + '"]'),
    "JSON list: spaces": ("a.json", lambda n: " " * n + "["),
    "mailbox: mails": ("a.mbox", lambda n: "From a\nFrom: b\n\nc\n\n" * n),
    "mailbox: separators": ("a.mbox", lambda n: "From a\n\n" * n),
    "mailbox: lines": ("a.mbox", lambda n: "From a\nFrom: b\n\n" + "c\n" * n),
    "mailbox: escaped lines": ("a.mbox", lambda n: "From a\nFrom: b\n\n" + ">" * n + "From c\n"),
    "mailbox: headers": ("a.mbox", lambda n: "From a\n" + "X-A: b\n" * n + "\nc\n"),
    "mailbox: a folded header": ("a.mbox", lambda n: "From a\nSubject: b\n" + " c\n" * n + "\nd\n"),
    "mailbox: references": ("a.mbox", lambda n: "From a\nReferences: " + "<" * n + "\n\nd\n"),
    "mailbox: message ids": ("a.mbox", lambda n: "From a\nReferences: " + "<a@b> " * n + "\n\nd\n"),
    "mailbox: an address": ("a.mbox", lambda n: "From a\nFrom: " + "a," * n + "\n\nd\n"),
    "mailbox: a comment": ("a.mbox", lambda n: "From a\nFrom: " + "(" * n + "\n\nd\n"),
    "mailbox: encoded words": ("a.mbox", lambda n: "From a\nSubject: " + "=?utf-8?q?a?= " * n + "\n\nd\n"),
    "mailbox: an id's quotes": ("a.mbox", lambda n: 'From a\nMessage-ID: <"' + "a" * n + "\n\nd\n"),
    "mailbox: parameters": ("a.mbox", lambda n: "From a\nContent-Type: text/plain" + "; a=b" * n + "\n\nd\n"),
    "mailbox: parts": (
        "a.mbox",
        lambda n: "From a\nContent-Type: multipart/mixed; boundary=b\n\n" + "--b\n\nc\n" * n + "--b--\n",
    ),
    "mailbox: parts in parts": (
        "a.mbox",
        lambda n: (
            "From a\n" + "".join(f"Content-Type: multipart/mixed; boundary=b{k}\n\n--b{k}\n" for k in range(n))
        ),
    ),
}
for _name, (_file, _make) in _FILES.items():
    file_row(_name, _file, _make, rows_of)


def parquet(n: int, at: Path) -> Path:
    pyarrow = pytest.importorskip("pyarrow")
    parquets = pytest.importorskip("pyarrow.parquet")
    table = pyarrow.table({"input": ["a"] * n, "output": ["b"] * n})
    parquets.write_table(table, at / "a.parquet", row_group_size=max(1, n // 4))
    return at / "a.parquet"


READERS["Parquet: rows"] = (parquet, rows_of)


def numbered(text: str) -> Callable[[int], str]:
    """n of these, each with its number in place of %."""
    return lambda n: "".join(text.replace("%", str(number)) for number in range(n))


_TOMLS = {
    "keys": numbered("a% = 1\n"),
    "tables": numbered("[a%]\n"),
    "tables of tables": numbered("[a.b%]\n"),
    "lists of tables": lambda n: "[[a]]\n" * n,
    "dotted keys": numbered("a.b% = 1\n"),
    "a list": lambda n: "a = [" + "1," * n + "]",
    "inline tables": lambda n: "a = [" + "{b = 1}," * n + "]",
    "an inline table": lambda n: "a = {" + ", ".join(f"b{key} = 1" for key in range(n)) + "}",
    "a text": lambda n: 'a = "' + "\\n" * n + '"',
    "an open text": lambda n: 'a = """' + '"" ' * n,
    "comments": lambda n: "#\n" * n,
    "a number": lambda n: "a = " + "1_" * n + "1",
    "open lists": lambda n: "a = " + "[" * n,
}
for _name, _make in _TOMLS.items():
    row(f"TOML: {_name}", _make, lambda text: reading.toml(text, "a.toml"))


_SCHEMAS: dict[str, Callable[[int], Any]] = {
    "properties": lambda n: {"type": "object", "properties": {f"p{k}": {"type": "boolean"} for k in range(n)}},
    "required properties": lambda n: {
        "type": "object",
        "properties": {f"p{k}": {"type": "boolean"} for k in range(n)},
        "required": [f"p{k}" for k in range(n)],
        "additionalProperties": False,
    },
    "enum": lambda n: {"enum": [f"v{k}" for k in range(n)]},
    "enum of one beginning": lambda n: {"enum": [f"{'v' * 40}{k}" for k in range(n)]},
    "anyOf": lambda n: {"anyOf": [{"const": f"v{k}"} for k in range(n)]},
    "allOf": lambda n: {"allOf": [{"type": "string"}] * n},
    "definitions": lambda n: {
        "$defs": {f"d{k}": {"$ref": f"#/$defs/d{k + 1}"} for k in range(n)} | {f"d{n}": {"type": "null"}},
        "$ref": "#/$defs/d0",
    },
    "a pattern": lambda n: {"type": "string", "pattern": "a?" * n},
    "prefixItems": lambda n: {"type": "array", "prefixItems": [{"type": "null"}] * n},
    "a const": lambda n: {"const": "a" * n},
    "a large object": lambda n: {"const": {str(k): k for k in range(n)}},
    "maxLength": lambda n: {"type": "string", "maxLength": n},
    "maximum": lambda n: {"type": "integer", "maximum": 10 ** (n % 300)},
    "descriptions": lambda n: {"type": "string", "description": "a" * n},
}
for _name, _make in _SCHEMAS.items():
    row(f"schema: {_name}", _make, makers.schema)
row("schema: text", lambda n: '{"enum": [' + ", ".join(f'"{k}"' for k in range(n)) + "]}", makers.schema)
_PATTERNS = {
    "letters": lambda n: "a" * n,
    "classes": lambda n: "[a-z]" * n,
    "choices": lambda n: "|".join(f"a{k}" for k in range(n)),
    "options": lambda n: "a?" * n,
    "stars": lambda n: "a*" * n,
    "groups": lambda n: "(a)" * n,
    "open groups": lambda n: "(" * n,
    "groups in groups": lambda n: "(" * n + "a" + ")" * n,
    "a count": lambda n: f"a{{0,{n}}}",
    "a class": lambda n: "[" + "ab" * n + "]",
    "an open class": lambda n: "[" + "a" * n,
    "bars": lambda n: "|" * n,
}
for _name, _make in _PATTERNS.items():
    row(f"regex: {_name}", _make, makers.regex)
_GRAMMARS = {
    "rules": lambda n: (
        "root ::= r0\n" + "".join(f'r{k} ::= "a" r{k + 1}\n' for k in range(n)) + f'r{n} ::= "b"\n'
    ),
    "choices": lambda n: "root ::= " + " | ".join(f'"a{k}"' for k in range(n)),
    "a text": lambda n: 'root ::= "' + "a" * n + '"',
    "groups": lambda n: "root ::= " + "(" * n + '"a"' + ")" * n,
    "open groups": lambda n: "root ::= " + "(" * n,
    "comments": lambda n: 'root ::= "a"\n' + "# b\n" * n,
    "spaces": lambda n: "root ::= " + " " * n + '"a"',
    "a class": lambda n: "root ::= [" + "ab" * n + "]",
    "a count": lambda n: f'root ::= "a"{{0,{n}}}',
}
for _name, _make in _GRAMMARS.items():
    row(f"GBNF: {_name}", _make, makers.grammar)
_LARKS = {
    "rules": lambda n: "start: r0\n" + "".join(f'r{k}: "a" r{k + 1}\n' for k in range(n)) + f'r{n}: "b"\n',
    "terminals": lambda n: "start: " + " ".join(f"T{k}" for k in range(n)) + "\n" + numbered('T%: "a"\n')(n),
    "choices": lambda n: "start: " + " | ".join(f'"a{k}"' for k in range(n)),
    "groups": lambda n: "start: " + "(" * n + '"a"' + ")" * n,
    "an expression": lambda n: "start: /" + "a" * n + "/",
    "comments": lambda n: 'start: "a"\n' + "// b\n" * n,
}
for _name, _make in _LARKS.items():
    row(f"Lark: {_name}", _make, lambda text: makers.grammar(text, "lark"))
row("choices: many", lambda n: [f"a{k}" for k in range(n)], makers.choices)
row("choices: one beginning", lambda n: ["a" * k for k in range(1, 2 + int(n**0.5))], makers.choices)
row("choices: one long", lambda n: ["a" * n, "b" * n], makers.choices)
row("choices: one again", lambda n: ["a"] * n, makers.choices)


def tool(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}


row("tools: read", lambda n: [tool(f"t{k}") for k in range(n)], read_tools)
row("tools: compiled", lambda n: [tool(f"t{k}") for k in range(n)], makers.tools)
row("tools: one again", lambda n: [tool("t")] * n, read_tools)
row("where: terms", lambda n: " or ".join(["a == 1"] * n), where.compiled)
row("where: not", lambda n: "not " * n + "a", where.compiled)
row("where: brackets", lambda n: "(" * n + "a" + ")" * n, where.compiled)


TABLE = turns.TurnTable(
    start_system="<s>",
    start="",
    first="<u>",
    opening={"user": "<u>", "assistant": "<a>", "tool": "<t>"},
    ending=dict.fromkeys(("system", "user", "assistant", "tool"), "</>"),
    between="",
    generation="<a>",
    finish=dict.fromkeys(("user", "assistant", "tool"), ""),
    thoughts=turns.Thoughts("<think>", "</think>", ("keep", "keep", "keep"), "", ""),
    special={"user": ["<|end|>"]},
)
_TALK = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "<think>b</think>c"}]
row("turns: messages", lambda n: _TALK * n, TABLE.render)
row("turns: tools", lambda n: [*_TALK, *[{"role": "tool", "content": "x"}] * n], TABLE.render)
for _mark in ("<think>", "</think>", " ", "<|end|"):
    row(
        f"turns: a content of {_mark!r}",
        lambda n, mark=_mark: [{"role": role, "content": mark * n} for role in ("user", "assistant")],
        TABLE.render,
    )
    row(f"turns: an answer of {_mark!r}", lambda n, mark=_mark: mark * n, turns.split_answer)


def gguf_of(*entries: tuple[str, int, bytes]) -> bytes:
    """A file of metadata alone: key, type, value."""
    data = b"".join(
        struct.pack("<Q", len(k)) + k.encode() + struct.pack("<I", kind) + v for k, kind, v in entries
    )
    return b"GGUF" + struct.pack("<IQQ", 3, 0, len(entries)) + data


def text_of(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text


file_row("GGUF: keys", "a.gguf", lambda n: gguf_of(*((f"k{k}", 4, bytes(4)) for k in range(n))), gguf.read)
file_row(
    "GGUF: a list of texts",
    "a.gguf",
    lambda n: gguf_of(("k", 9, struct.pack("<IQ", 8, n) + text_of(b"a") * n)),
    gguf.read,
)
file_row(
    "GGUF: lists in lists",
    "a.gguf",
    lambda n: gguf_of(("k", 9, struct.pack("<IQ", 9, 1) * n + struct.pack("<IQ", 4, 0))),
    gguf.read,
)
file_row(
    "GGUF: tensors",
    "a.gguf",
    lambda n: (
        b"GGUF"
        + struct.pack("<IQQ", 3, n, 0)
        + b"".join(text_of(f"t{k}".encode()) + struct.pack("<IQIQ", 1, 32, 0, 128 * k) for k in range(n))
        + bytes(128 * n + 64)
    ),
    gguf.read,
)


def safetensors_of(n: int) -> bytes:
    entries = {f"t{k}": {"dtype": "F32", "shape": [1], "data_offsets": [4 * k, 4 * k + 4]} for k in range(n)}
    header = json.dumps(entries).encode()
    return struct.pack("<Q", len(header)) + header + bytes(4 * n)


file_row("safetensors: tensors", "a.safetensors", safetensors_of, safetensors.read)


def tin_of(n: int, at: Path) -> Path:
    tin.write(at / "a.tin", [(f"e{k}", b"") for k in range(n)], {"family": "llama"})
    return at / "a.tin"


READERS["tin: entries"] = (tin_of, lambda path: tin.Tin(path).verify())
file_row(
    "index page", "a.html", lambda n: "<a href='x.whl'>" * n, lambda path: wheels._html_links(path.read_bytes())
)
file_row(
    "index page: open tags", "a.html", lambda n: "<a " * n, lambda path: wheels._html_links(path.read_bytes())
)
file_row(
    "answers: lines",
    "a.jsonl",
    lambda n: '{"job": "x"}\n' + '{"item": 1, "text": "a"}\n' * n,
    lambda path: AnswerFile(path, "x"),
)
file_row(
    "given answers: one input",
    "a.jsonl",
    lambda n: '{"input": "a", "text": "b"}\n' * n,
    lambda path: remote.given(path, [readers.Example("a", "b")] * path.read_bytes().count(b"\n")),
)
row("sentences", lambda n: "A b. " * n, passages.sentences)
row("sentences: spaces", lambda n: "A." + " " * n, passages.sentences)
row("sentences: unfinished", lambda n: "e.g. A" * n, passages.sentences)
row(
    "passages: a block",
    lambda n: [Block("a " * n, 1)],
    lambda blocks: list(passages._pieces(blocks, 1200, True)),
)
row(
    "passages: lines",
    lambda n: [Block("a\n" * n, 1)],
    lambda blocks: list(passages._pieces(blocks, 1200, True)),
)


class Numbers:
    """A batch's items: numbers below a limit."""

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def rows(self) -> Any:
        return ((number, None) for number in range(self.limit))

    def item(self, number: int, _: Any) -> Item:
        return Item(number, number)


def skip(pairs: list[tuple[int, int]]) -> None:
    finished = [range(first, first + count) for first, count in pairs]
    limit = max(done.stop for done in finished)
    left = run.windows(cast(Items, Numbers(limit)), finished, run.Rate(Counts()))
    assert all(window.first >= 0 for window in left)


row("journal: windows in order", lambda n: [(k, 1) for k in range(n)], skip)
row("journal: windows backwards", lambda n: [(2 * k, 1) for k in range(n, 0, -1)], skip)
row("journal: windows that touch", lambda n: [(k, 1) for k in [*range(0, n, 2), *range(1, n, 2)]], skip)
row("journal: one window again", lambda n: [(0, n)] * n, skip)
_COMMIT = json.dumps({"first": 0, "items": 1, "counts": {"items": 1}, "sha256": "0" * 64})
file_row(
    "journal: lines",
    "a.jsonl.journal",
    lambda n: '{"batch": {}}\n' + f"{_COMMIT}\n" * n,
    lambda path: journal.header_of(path.with_suffix("")),
)


def cached(n: int, at: Path) -> tuple[Cache, list[str]]:
    cache = Cache(at / f"cache{n}")
    keys = [hashlib.sha256(str(k).encode()).hexdigest() for k in range(n)]
    for key in keys:
        cache.put(
            key,
            CachedAnswer(
                Completion(text="a", token_ids=[1], prompt_tokens=1, seconds=0.0, finish="stop", evaluations=0),
                "",
                "r",
            ),
        )
    cache.commit()
    return cache, keys


READERS["cache: answers"] = (cached, lambda given: given[0].get(dict.fromkeys(given[1])))


@cache
def words(model: str, pre: str) -> _core.Model:
    """A tokenizer whose merges and pieces are of `a` alone, as long as may be."""
    small = tiny_tokenizer(300)
    runs = ["a" * 2**k for k in range(1, 10)]
    if model == "bpe":
        merges = [*small.merges, *((run[: len(run) // 2],) * 2 for run in runs)]
        tokens = [*small.tokens[:264], *runs]
        made = replace(small, pre=pre, merges=merges, nfc=True)
    else:
        pieces = [f"<0x{byte:02X}>" for byte in range(256)]
        tokens = [*small.tokens[:4], *pieces, "a", "b", "▁", "▁a", "é", *runs]
        merges = [] if model == "unigram" else [("▁", "a"), *((run[: len(run) // 2],) * 2 for run in runs)]
        scores = [-float(len(token)) for token in tokens] if model == "unigram" else None
        made = replace(small, model=model, pre="default", merges=merges, scores=scores, prefix="prepend")
    types = [*small.types[:4], *["byte" if token.startswith("<0x") else "normal" for token in tokens[4:]]]
    made = replace(made, tokens=tokens, types=types)
    return _core.Model(build_words(made, CHATML, 1 << 20, {"family": "llama", "parameters": 0, "tensors": {}}))


_TEXTS = {
    **{
        repr(text): text
        for text in ("a", " ", "ab ", "\n", " \n", "é", "1", "'", "'s", ".", "<|im", "<tool>", "日", "🦊")
    },
    **{
        "marks in two orders": "\u0301\u0323",
        "marks": "\u0301",
        "Hangul": "\u1100\u1161",
        "no letters": "\x00",
    },
}
_KINDS = [*(("bpe", pre) for pre in PRETOKENIZERS), ("sentencepiece", ""), ("unigram", "")]
for _model, _pre in _KINDS:
    for _name, _text in _TEXTS.items():
        row(
            f"tokenizer: {_pre or _model}: {_name}",
            lambda n, text=_text: text * n,
            lambda text, kind=(_model, _pre): words(*kind).tokenize(text),
        )
row(
    "chat: messages",
    lambda n: [(1, b"a"), (2, b"b")] * n,
    lambda messages: words("bpe", "qwen2").chat(messages),
)
row(
    "chat: a content",
    lambda n: [(1, b"<|im_start|>" * n)],
    lambda messages: words("bpe", "qwen2").chat(messages),
)


def template(text: str) -> None:
    """As the process that renders templates answers."""
    for asked in ({"do": "render", "given": {"x": "b"}}, {"do": "examine"}):
        jinja.answer({**asked, "template": text})


_TEMPLATES: dict[str, Callable[[int], str]] = {
    "texts": lambda n: "{{ x }}a" * n,
    "blocks": lambda n: "{% if x %}a{% endif %}" * n,
    "open blocks": lambda n: "{% if x %}" * n,
    "open braces": lambda n: "{{" * n,
    "brackets": lambda n: "{{ " + "(" * n + "x" + ")" * n + " }}",
    "comments": lambda n: "{#" * n,
    "filters": lambda n: "{{ x" + "|trim" * n + " }}",
    "sums": lambda n: "{{ x" + " + x" * n + " }}",
    "quotes": lambda n: "{{ '" * n,
    "strings": lambda n: "{{ '" + "a" * n + "' }}",
    "spaces": lambda n: "{{" + " " * n,
    "lines": lambda n: "\n" * n + "{%- if x %}{% endif %}",
    "spaces before a block": lambda n: " " * n + "{%- if x %}{% endif %}",
    "spaces before blocks": lambda n: (" " * 30 + "{") * n,
    "a long text": lambda n: "a" * n,
}
for _name, _make in _TEMPLATES.items():
    row(f"template: {_name}", _make, template)
row(
    "template: messages",
    lambda n: [{"role": "user", "content": "a"}] * n,
    lambda messages: jinja.render(CHATML, {"messages": messages}),
)


def looked(data: bytes) -> None:
    with suppress(RuntimeFault, ValueError):
        _core.image_read(data, 1 << 30)


row(
    "image: a PNG's rows",
    lambda n: png_of(bytes(3 * 64 * n), 64, n),
    lambda data: _core.image_read(data, 1 << 30),
)
row(
    "image: a PNG's chunks",
    lambda n: png_of(bytes(3), 1, 1)[:33] + (b"\0\0\0\0tEXt" + struct.pack(">I", zlib.crc32(b"tEXt"))) * n,
    looked,
)
row("image: a JPEG's segments", lambda n: b"\xff\xd8" + b"\xff\xfe\0\2" * n, looked)
row("image: a JPEG's fill bytes", lambda n: b"\xff\xd8" + b"\xff" * n, looked)
row("image: a JPEG's restarts", lambda n: b"\xff\xd8\xff\xda\0\2" + b"\xff\xd0" * n, looked)


@cache
def talker() -> _core.Model:
    return _core.Model(build_image(tiny_spec("llama", max_position_embeddings=4096)))


def saved(n: int, at: Path) -> tuple[_core.Session, bytes]:
    n = min(n, 4000)  # a longer one takes longer to make than to read
    session = _core.Session(talker(), context=4096)
    session.append([5] * n)
    while session.computed() < n:
        session.step()
    return session, session.save()


READERS["session: tokens"] = (saved, lambda given: given[0].restore(given[1]))


def checked(name: str, rows: list[Row]) -> None:
    data = Data(rows=rows, faults=[], task=tasks.by_name("chat"))
    list(check.by_name(name).find(data))


def asked(texts: list[str]) -> list[Row]:
    return [Row("train", Path("a.jsonl"), readers.Example(text, text)) for text in texts]


_CHECKS = {
    "personal": (
        "a.",
        "a@b.cc ",
        "a@",
        "eyJ-",
        "1",
        "AB12 ",
        "1.1.1.1 ",
        "0123 456 7890 ",
        "password ",
        "sk-",
        "a",
    ),
    "duplicate": ("a", "a b "),
    "encoding": ("Ã©", "\ufffd"),
    "refusal": ("I can't ", "sorry "),
    "truncated": (". ", "a"),
    "ungrounded": ("1", "1/", "1 "),
    "template": ("<|im_start|>", "{{", "<|"),
}
for _name, _marks in _CHECKS.items():
    for _mark in _marks:
        row(
            f"data check: {_name}: {_mark!r}",
            lambda n, mark=_mark: asked([mark * n]),
            lambda rows, name=_name: checked(name, rows),
        )
for _mark in ("[quote", "[quote]", "[quote] [/quote]", "]", ">", "> a\n", "a:\n", "a: ", "\n", " "):
    row(f"posts: {_mark!r}", lambda n, mark=_mark: mark * n, posts.unquoted)


def seconds(read: Reader, given: Any, runs: int) -> float:
    """The least processor time of several runs."""
    least = float("inf")
    for _ in range(runs):
        gc.disable()
        try:
            begin = time.process_time()
            with suppress(TinsmithError):
                read(given)
            least = min(least, time.process_time() - begin)
        finally:
            gc.enable()
    return least


def ratio(name: str, at: Path, enough: float) -> tuple[float, int]:
    """The least ratio over several sizes, and the last n. 0 where even the largest n is quick."""
    make, read = READERS[name]
    idle = seconds(read, make(1, at), 2)
    n, least, sizes = 64, float("inf"), 0
    while (n <= MOST or sizes) and sizes < SIZES:
        one = seconds(read, make(n, at), 1) - idle
        if one < enough:
            n *= 2 if one > enough / 4 else 4
            continue
        sizes += 1
        one = min(one, seconds(read, make(n, at), RUNS - 1) - idle)
        two = seconds(read, make(2 * n, at), RUNS) - idle
        least = min(least, two / one)
        if least < RATIO:
            break
        n *= 2
    return (least if sizes else 0.0), n


@pytest.mark.parametrize(
    ("name", "enough"),
    [
        *((name, ENOUGH) for name in READERS),
        *(pytest.param(name, LONGER * ENOUGH, marks=pytest.mark.slow) for name in READERS),
    ],
)
def test_twice_the_input_takes_less_than_three_times_as_long(name: str, enough: float, tmp_path: Path) -> None:
    found, n = ratio(name, tmp_path, enough)
    assert found < RATIO, f"{found:.1f} times as long for twice as much, up to n = {n:,}"
