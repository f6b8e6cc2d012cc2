"""All that reads takes time that grows with its input: twice as much takes less than three times as long,
whatever shape it has. A refusal is no slower.

A row is a name, a maker of an input of size n in a hostile shape, and what reads it. Time is this process's
own, the least of several runs, without what a run of size 1 takes. A row fails only at several sizes.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tinsmith.errors import TinsmithError
from tinsmith.prepare.documents.kinds import kinds

ENOUGH = 0.012  # seconds from which on a run counts as measured
MOST = 1 << 17  # n: what is quicker than that at this size needs no test
RATIO, SIZES, RUNS = 3.0, 3, 2

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


def ratio(name: str, at: Path) -> tuple[float, int]:
    """The least ratio over several sizes, and the last n. 0 where even the largest n is quick."""
    make, read = READERS[name]
    idle = seconds(read, make(1, at), 2)
    n, least, sizes = 64, float("inf"), 0
    while (n <= MOST or sizes) and sizes < SIZES:
        one = seconds(read, make(n, at), 1) - idle
        if one < ENOUGH:
            n *= 2 if one > ENOUGH / 4 else 4
            continue
        sizes += 1
        one = min(one, seconds(read, make(n, at), RUNS - 1) - idle)
        two = seconds(read, make(2 * n, at), RUNS) - idle
        least = min(least, two / one)
        if least < RATIO:
            break
        n *= 2
    return (least if sizes else 0.0), n


@pytest.mark.parametrize("name", READERS)
def test_twice_the_input_takes_less_than_three_times_as_long(name: str, tmp_path: Path) -> None:
    found, n = ratio(name, tmp_path)
    assert found < RATIO, f"{found:.1f} times as long for twice as much, up to n = {n:,}"
