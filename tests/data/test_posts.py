"""Mailboxes and exports of forums: the posts that answer others, as examples of a voice."""

from __future__ import annotations

import json
import mailbox
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from tinsmith.data import containers
from tinsmith.data.readers import Turn
from tinsmith.data.shapes import Named, open_examples, posts
from tinsmith.errors import DataError

ANN, BOB = "Ann <ann@example.org>", "bob@example.org"


def mail(box: mailbox.mbox, number: int, author: str, text: str, parent: int | None = None) -> None:
    one = EmailMessage()
    one["From"], one["Message-ID"], one["Subject"] = author, f"<{number}@example.org>", "Tea"
    if parent is not None:
        one["In-Reply-To"] = f"<{parent}@example.org>"
    one.set_content(text)
    box.add(one)


@pytest.fixture
def box(tmp_path: Path) -> Path:
    """As Python's own library writes a mailbox."""
    path = tmp_path / "mails.mbox"
    written = mailbox.mbox(path)
    mail(written, 1, BOB, "Is there tea?\nFrom Assam, I mean.\n-- \nBob\n")
    mail(
        written,
        2,
        ANN,
        "On Monday, Bob wrote:\n\n> Is there tea?\n> From Assam, I mean.\n\nWhole chests, über all!\n",
        1,
    )
    mail(written, 3, ANN, "And cake.\n", 2)
    mail(written, 4, BOB, "> Whole chests\nGood.\n", 2)
    mail(written, 5, ANN, "Come at four.\n", 4)
    mail(written, 6, BOB, "> nothing of my own\n", 5)
    html = EmailMessage()
    html["From"], html["In-Reply-To"] = ANN, "<4@example.org>"
    html.set_content("<p>no</p>", subtype="html")
    written.add(html)
    written.close()
    return path


ASKED, TOLD = "Is there tea?\nFrom Assam, I mean.", "Whole chests, über all!"


def test_a_mailbox_teaches_how_its_people_answer(box: Path) -> None:
    opened = open_examples(box)
    assert opened.reading.shape.name == "posts"
    assert [one.output for one in opened] == [TOLD, "Good.", "Come at four."]
    first, _, last = opened
    assert (first.input, first.turns) == (ASKED, ())
    assert last.turns == (Turn("user", ASKED), Turn("assistant", TOLD))
    assert len({one.group for one in opened}) == 1
    assert str(last.where).startswith(f"{box}:")


def test_one_author_is_asked_for(box: Path) -> None:
    ann = open_examples(box, named=Named(author="ann@example.org"))
    assert [one.output for one in ann] == [TOLD, "Come at four."]
    with pytest.raises(
        DataError, match=r'by "eve", which \[data\] author names; most are by ann@example.org, bob'
    ):
        list(open_examples(box, named=Named(author="eve")))


def forum(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "posts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_forum_is_read_by_its_threads(tmp_path: Path) -> None:
    path = forum(
        tmp_path,
        {"topic_id": 7, "post_number": 1, "username": "ann", "raw": "How do I sail?"},
        {"topic_id": 8, "post_number": 1, "username": "cid", "raw": "Knots?"},
        {
            "topic_id": 7,
            "post_number": 2,
            "username": "bob",
            "raw": '[quote="ann, post:1"]\nHow\n[/quote]\nCarefully.',
        },
        {"topic_id": 7, "post_number": 3, "username": None, "raw": "(deleted)"},
        {"topic_id": 7, "post_number": 4, "username": "ann", "raw": "Thanks.", "reply_to_post_number": 2},
        {"topic_id": 8, "post_number": 2, "username": "bob", "raw": "A bowline.", "reply_to_post_number": 1},
    )
    found = list(open_examples(path, named=Named(author="bob")))
    assert [(one.input, one.output, one.group) for one in found] == [
        ("How do I sail?", "Carefully.", "7"),
        ("Knots?", "A bowline.", "8"),
    ]


def test_numbers_that_a_gap_made_floats_are_those_that_they_were(tmp_path: Path) -> None:
    rows = [{"id": n, "author": "ab"[n % 2], "text": f"{n}", "parent": n - 1.0} for n in range(1, 4)]
    rows[0]["parent"] = None
    found = list(open_examples(forum(tmp_path, *rows)))
    assert [(one.input, one.output) for one in found] == [("1", "2"), ("2", "3")]


def test_a_mailbox_of_another_system_has_its_signatures_taken_out(box: Path) -> None:
    told = [(one.turns, one.input, one.output) for one in open_examples(box)]
    box.write_bytes(box.read_bytes().replace(b"\n", b"\r\n"))
    assert [(one.turns, one.input, one.output) for one in open_examples(box)] == told


def test_posts_of_which_none_answers_another(tmp_path: Path) -> None:
    path = forum(tmp_path, *({"id": n, "author": "ann", "text": f"{n}", "thread": "t"} for n in range(3)))
    with pytest.raises(DataError, match=r"posts.jsonl: none of its posts answers another author's"):
        list(open_examples(path))


def test_what_posts_do_not_have_is_refused_or_not_used(tmp_path: Path) -> None:
    rows = [{"id": n, "author": "ab"[n], "text": f"{n}", "thread": "t", "image": "x.png"} for n in range(2)]
    path = forum(tmp_path, *rows)
    with pytest.raises(DataError, match=r"\[data\] group: of posts each thread stays in one split"):
        open_examples(path, named=Named(shape="posts", group="author"))
    opened = open_examples(path, named=Named(shape="posts"))
    assert opened.unused == ("image",) and [one.images for one in opened] == [()]


def test_a_chat_is_read_in_its_order(tmp_path: Path) -> None:
    rows = [{"channel": "c", "user": user, "text": text} for user, text in ("a1", "b2", "b3", "a4")]
    path = forum(tmp_path, *rows)
    with pytest.raises(DataError, match="it is of no shape that is known"):
        open_examples(path)  # a text with its channel might be anything
    found = list(open_examples(path, named=Named(shape="posts")))
    assert [(one.input, one.output) for one in found] == [("1", "2"), ("2\n\n3", "4")]
    assert found[1].turns == ()


def test_an_author_is_of_posts_alone(tmp_path: Path) -> None:
    path = forum(tmp_path, {"input": "a", "output": "b"})
    with pytest.raises(DataError, match=r"author is of the shape posts; this file is read as input-output"):
        open_examples(path, named=Named(author="ann"))


def test_what_is_no_mailbox_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.mbox"
    path.write_text("Dear all,\n")
    with pytest.raises(DataError, match=r'x.mbox:1: a mailbox begins with a line "From …"'):
        open_examples(path)


@pytest.mark.parametrize("header", ["From: " + "(" * 4000, "From: " + "a," * 2100, "Subject: " + "a\n " * 9000])
def test_a_header_that_takes_too_much_is_one_line(header: str, tmp_path: Path) -> None:
    path = tmp_path / "a.mbox"
    path.write_text(f"From a\n{header}\n\nb\n\nFrom a\nFrom: c <c@d.example>\nSubject: e\n\nf\n")
    first, second = containers.of_file(path).rows(path)
    assert isinstance(first.values, DataError) and str(first.values).startswith(f"{path}:1: the ")
    assert str(first.values).isprintable() and not isinstance(second.values, DataError)


def test_a_mail_of_parts_in_parts_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mbox"
    parts = "".join(f"Content-Type: multipart/mixed; boundary=b{k}\n\n--b{k}\n" for k in range(1200))
    path.write_text(f"From a\n{parts}")
    (row,) = containers.of_file(path).rows(path)
    assert str(row.values) == f"{path}:1: the mail has more than 100 parts; take it out"


@pytest.mark.parametrize(
    ("post", "left"),
    [
        ("a[quote=b]c[/quote]d", "ad"),
        ("[QUOTE]a[quote]b[/QUOTE]c[/quote]", "c[/quote]"),
        ("a[quote]b", "a[quote]b"),
        ("[quote[quote]a[/quote]b[quoted]c", "b[quoted]c"),
    ],
)
def test_quote_blocks_are_left_out(post: str, left: str) -> None:
    assert posts.unquoted(post) == left
