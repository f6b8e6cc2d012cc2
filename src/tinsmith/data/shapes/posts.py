"""posts: what people wrote to each other, a row a post: mails, or an export of a forum or a chat.

Every post that answers another one is an example: the posts before it are the conversation, those of its own
author the assistant's. Which one it answers is what the column `parent` says, or else the one before it in its
thread. What a post quotes is taken out.
"""

from __future__ import annotations

import re
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tinsmith.data.containers import Row
from tinsmith.data.readers import Example, Where
from tinsmith.data.shapes import Named, Reading, Shape, Values, Wanted, text
from tinsmith.data.shapes._chats import of_messages
from tinsmith.errors import DataError

KEPT = 20_000  # posts in memory; a post that answers an older one is no example
DEPTH = 8  # posts before the answer

# Columns by what they are, as mailboxes, Discourse, phpBB, Slack and Discord exports name them.
_COLUMNS = {
    "text": ("text", "raw", "post_raw", "body", "message", "content", "post_text", "post"),
    "author": ("author", "username", "user", "user_name", "from", "sender", "poster", "poster_name"),
    "thread": ("thread", "thread_id", "thread_ts", "topic", "topic_id", "topic_title", "channel"),
    "id": ("id", "post_id", "message_id", "post_number", "ts"),
    "parent": ("parent", "parent_id", "reply_to", "reply_to_id", "reply_to_post_number", "in_reply_to"),
}
_QUOTE, _QUOTED = (re.compile(mark, re.IGNORECASE) for mark in (r"\[quote\b", r"\[/quote\]"))
_SAYS = re.compile(r"(?:^[^>\n].*\n)?^[^>\n].*:[ \t]*\n(?:[ \t]*\n)?(?=>)", re.MULTILINE)  # "On …, X wrote:"


_Said = tuple[str, str]  # an author, and the text


@dataclass(frozen=True)
class _Known:
    """thread: what it is one of; line: the post and those that it follows from, the oldest first."""

    thread: str
    line: tuple[_Said, ...]


class Posts(Shape):
    name = "posts"

    def readings(self, columns: Sequence[str], rows: Sequence[Values], named: Named) -> list[Reading]:
        if named.input or named.output:
            return []
        found = _found(columns)
        if not {"text", "author"} <= found.keys() or not {"thread", "parent"} & found.keys():
            return []
        if named.shape is None and not {"id", "parent"} & found.keys():
            return []  # a text with its topic, more likely
        return [Reading(self, (found.pop("text"),), more=tuple(found.values()))]

    def rows(self, rows: Iterator[Row], named: Named) -> Iterator[Row]:
        """The posts that answer another author's, as {"messages", "thread"}; of named.author's alone, where
        that is stated. Raises DataError at the end where there is no such author, or no such post."""
        known: OrderedDict[tuple[str, ...], _Known] = OrderedDict()  # by id, and by thread its newest
        authors: Counter[str] = Counter()
        found, where = False, None
        for row in rows:
            where = row.where
            if isinstance(row.values, DataError):
                yield row
                continue
            post = _post(row.where, row.values, known)
            if post is None:
                continue
            author = post.line[-1][0]
            authors[author] += 1
            answers = len(post.line) > 1 and post.line[-2][0] != author
            if answers and named.author in (None, author):
                found = True
                yield Row(row.where, {"messages": _messages(post.line), "thread": post.thread})
        if named.author is not None and named.author not in authors:
            most = ", ".join(author for author, _ in authors.most_common(5))
            raise DataError(f'no post is by "{named.author}", which [data] author names; most are by {most}')
        if where is not None and not found:
            raise DataError(
                f"{where.path}: none of its posts answers another author's; a column such as parent, or "
                "thread, says which one a post answers"
            )

    def example(self, values: Values, reading: Reading, where: Where, task: Wanted | None) -> Example:
        found = of_messages(values["messages"], "messages", values, where, task)
        return replace(found, group=text(values, "thread", where))


def _found(columns: Sequence[str]) -> dict[str, str]:
    """By what it is, the column."""
    lowered = {column.strip().lower(): column for column in reversed(columns)}
    found = {
        what: next((lowered[name] for name in names if name in lowered), None)
        for what, names in _COLUMNS.items()
    }
    return {what: column for what, column in found.items() if column is not None}


def _post(where: Where, values: Values, known: OrderedDict[tuple[str, ...], _Known]) -> _Known | None:
    """One post behind those that it follows from, and noted for those to come; None where it says nothing of
    its own, as those that were deleted."""
    columns = _found(list(values))
    said = {what: _written(values[name]) for what, name in columns.items() if values[name] is not None}
    said = {what: value for what, value in said.items() if value}
    text = unquoted(said.get("text", ""))
    if "author" not in said or not text:
        return None
    place = said.get("thread", "")
    before = known.get(("id", place, said["parent"])) if "parent" in said else None
    if before is None and "parent" not in said and place:
        before = known.get(("thread", place))
    line = (*(before.line if before else ()), (said["author"], text))[-DEPTH - 1 :]
    thread = before.thread if before else place or said.get("id", str(where))
    post = _Known(thread, line)
    for key in (("id", place, said.get("id", "")), ("thread", place)):
        if not key[-1]:
            continue
        known[key] = post
        known.move_to_end(key)
    while len(known) > KEPT:
        known.popitem(last=False)
    return post


def _written(value: Any) -> str:
    """Whole numbers in one form: of a column with gaps pandas makes floats."""
    return str(int(value) if isinstance(value, float) and value.is_integer() else value).strip()


def _messages(line: Sequence[_Said]) -> list[dict[str, Any]]:
    """From the first that is another's than the last one's author, what one role says in a row joined."""
    messages: list[dict[str, Any]] = []
    for author, said in line:
        role = "assistant" if author == line[-1][0] else "user"
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"] += f"\n\n{said}"
        elif messages or role == "user":
            messages.append({"role": role, "content": said})
    return messages


def unquoted(text: str) -> str:
    """A post without what it quotes: lines that begin with ">", what introduces them, and [quote] blocks."""
    text = _SAYS.sub("", _without_blocks(text.replace("\r\n", "\n")))
    return "\n".join(line for line in text.split("\n") if not line.startswith(">")).strip()


def _without_blocks(text: str) -> str:
    """Without what stands from [quote …] to the next [/quote]."""
    kept, at = list[str](), 0
    while opened := _QUOTE.search(text, at):
        end = text.find("]", opened.end())
        closed = _QUOTED.search(text, end + 1) if end >= 0 else None
        if closed is None:
            break
        kept.append(text[at : opened.start()])
        at = closed.end()
    return "".join([*kept, text[at:]])


shape = Posts()
