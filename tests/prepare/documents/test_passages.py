"""Documents cut into passages."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tinsmith.errors import InputError
from tinsmith.prepare.documents import passages
from tinsmith.prepare.documents.passages import sentences

SAYS = "The impeller of the pump is replaced after a hundred and twenty hours of hard work on board"


def write(folder: Path, **texts: str) -> Path:
    for name, text in texts.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return folder


def test_paragraphs_of_one_heading_stay_together(tmp_path: Path) -> None:
    text = f"# Oil\n\n{SAYS} one.\n\n{SAYS} two.\n\n## Water\n\n{SAYS}, but never in winter or at night.\n"
    made, dropped = passages.read(write(tmp_path, pumps__big_md=text), 1200)
    assert dropped == []
    assert [(one.document, one.where, one.title) for one in made] == [
        ("pumps/big.md", "pumps/big.md:3", "pumps big: Oil"),
        ("pumps/big.md", "pumps/big.md:9", "pumps big: Water"),
    ]
    assert made[0].text == f"{SAYS} one.\n\n{SAYS} two."


@pytest.mark.parametrize("joint", ["\n", " ", ". The next "])
def test_no_passage_is_longer_than_its_bound_and_no_word_is_lost(joint: str, tmp_path: Path) -> None:
    words = ["".join(chr(97 + int(digit)) for digit in f"{number:04}") for number in range(3000)]
    text = "".join(f"{word}{joint if number % 9 == 8 else ' '}" for number, word in enumerate(words))
    made, _ = passages.read(write(tmp_path, long_txt=text), 300)
    assert max(len(one.text) for one in made) <= 300
    assert " ".join(one.text for one in made).split() == text.split()
    if joint == "\n":
        lines = text.splitlines()
        for one in made:
            assert lines[int(one.where.split(":")[1]) - 1].startswith(one.text.split("\n")[0])


def test_a_huge_line_is_cut(tmp_path: Path) -> None:
    made, _ = passages.read(write(tmp_path, huge_txt="".join(chr(97 + n % 26) for n in range(1_000_000))), 1200)
    assert {len(one.text) for one in made} <= {1200, 1_000_000 % 1200}


def test_what_is_left_out_says_why(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    write(
        tmp_path,
        a__first_txt=f"{SAYS}.",
        b_md=f"{SAYS.upper()}!",
        c_txt="Short.",
        d_txt=" \n",
        e_png="x",
        _hidden="x",
    )
    (tmp_path / "f.txt").write_bytes(b"\xff\xfe")
    (tmp_path / "g.txt").write_text("1 | 2 | 3 | 4 |\n" * 20)
    made, dropped = passages.read(tmp_path)
    assert [one.where for one in made] == ["b.md:1"]
    assert {one.where: one.reason for one in dropped} == {
        "a/first.txt:1": "repeated",
        "c.txt:1": "short",
        "d.txt": "empty",
        "e.png": "kind",
        "f.txt": "unreadable",
        "g.txt:1": "short",
    }
    assert all(one.message.isprintable() for one in dropped)


def test_a_link_out_of_the_folder_is_no_document(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text(f"{SAYS}.")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").symlink_to("../secret.txt")
    (tmp_path / "docs" / "b.txt").write_text(f"{SAYS}.")
    (tmp_path / "docs" / "c.txt").symlink_to("b.txt")
    made, dropped = passages.read(tmp_path / "docs")
    assert [one.where for one in made] == ["b.txt:1"]
    assert {one.where: one.reason for one in dropped} == {"a.txt": "unreadable", "c.txt:1": "repeated"}


def test_names_and_folders_that_no_text_can_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / os.fsdecode(b"pump\xff.txt")).write_text(f"{SAYS}.", "utf-8")

    def walk(folder: Path, onerror: Callable[[OSError], None]) -> Iterator[tuple[str, list[str], list[str]]]:
        onerror(PermissionError(13, "Permission denied", str(folder / "closed")))
        return real(folder)

    real = os.walk
    monkeypatch.setattr(passages.os, "walk", walk)
    (made,), dropped = passages.read(tmp_path)
    assert (made.where, made.subject) == ("pump\ufffd.txt:1", "pump")
    assert [(one.where, one.message) for one in dropped] == [("closed", "cannot read: Permission denied")]


def test_a_folder_without_text_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no passage for a question \(it is empty\)"):
        passages.read(tmp_path)
    (tmp_path / "a.txt").write_bytes(b"\xff")
    with pytest.raises(InputError, match=r"has no passage for a question \(a.txt: 1: not UTF-8 text at byte 0"):
        passages.read(tmp_path)
    with pytest.raises(InputError, match="is not a folder; give the folder of the documents"):
        passages.read(tmp_path / "a.txt")


def test_sentences() -> None:
    assert sentences("It turns, e.g. Slowly.  It\nstops! (Then it\nstarts.) No\n\nA new one") == [
        "It turns, e.g. Slowly.",
        "It stops!",
        "(Then it starts.)",
        "No",
        "A new one",
    ]
