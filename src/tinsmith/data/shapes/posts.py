"""posts: messages between people, one row a post: mails, or the export of a forum or a chat.

Every post that answers another author's is an example: earlier posts are the conversation, and the author's own
are the assistant's. A post answers the one in its `parent` column, or else the one before it in its thread.
Quotes are removed.
"""

from __future__ import annotations

import re
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tinsmith.data.containers import Row
from tinsmith.data.readers import Example, Where
from tinsmith.data.shapes import Named, Reading, Shape, TaskTraits, Values, text
from tinsmith.data.shapes.chats import of_messages
from tinsmith.errors import DataError

KEPT = 20_000  # posts in memory; an answer to an older post is not an example
DEPTH = 8  # posts before the answer

# Columns by role, as mailboxes, Discourse, phpBB, Slack and Discord exports name them.
_COLUMNS = {
    "text": ("text", "raw", "post_raw", "body", "message", "content", "post_text", "post"),
    "author": ("author", "username", "user", "user_name", "from", "sender", "poster", "poster_name"),
    "thread": ("thread", "thread_id", "thread_ts", "topic", "topic_id", "topic_title", "channel"),
    "id": ("id", "post_id", "message_id", "post_number", "ts"),
    "parent": ("parent", "parent_id", "reply_to", "reply_to_id", "reply_to_post_number", "in_reply_to"),
}
_QUOTE, _QUOTE_END = (re.compile(mark, re.IGNORECASE) for mark in (r"\[quote\b", r"\[/quote\]"))
_INTRODUCTION = re.compile(  # "On …, X wrote:"
    r"(?:^[^>\n].*\n)?^[^>\n].*:[ \t]*\n(?:[ \t]*\n)?(?=>)", re.MULTILINE
)


@dataclass(frozen=True)
class _Post:
    """messages: author and text of this post and those it answers, oldest first."""

    thread: str
    messages: tuple[tuple[str, str], ...]


class Posts(Shape):
    name = "posts"

    def readings(self, columns: Sequence[str], rows: Sequence[Values], named: Named) -> list[Reading]:
        if named.input or named.output:
            return []
        roles = _roles(columns)
        if not {"text", "author"} <= roles.keys() or not {"thread", "parent"} & roles.keys():
            return []
        if named.shape is None and not {"id", "parent"} & roles.keys():
            return []  # more likely a text with its topic
        return [Reading(self, (roles.pop("text"),), more=tuple(roles.values()))]

    def rows(self, rows: Iterator[Row], named: Named) -> Iterator[Row]:
        """The answers to another author's post, or those of named.author, as {"messages", "thread"}. Raises
        DataError at the end where the author is unknown, or there is no answer."""
        known: OrderedDict[tuple[str, ...], _Post] = OrderedDict()  # by id, and the newest by thread
        authors: Counter[str] = Counter()
        found, where = False, None
        for row in rows:
            where = row.where
            if isinstance(row.values, DataError):
                yield row
                continue
            post = _read(row.where, row.values, known)
            if post is None:
                continue
            author = post.messages[-1][0]
            authors[author] += 1
            answers = len(post.messages) > 1 and post.messages[-2][0] != author
            if answers and named.author in (None, author):
                found = True
                yield Row(row.where, {"messages": _chat(post), "thread": post.thread})
        if named.author is not None and named.author not in authors:
            most = ", ".join(author for author, _ in authors.most_common(5))
            raise DataError(f'no post is by "{named.author}", which [data] author names; most are by {most}')
        if where is not None and not found:
            raise DataError(
                f"{where.path}: none of its posts answers another author's; a column such as parent, or "
                "thread, says which one a post answers"
            )

    def example(self, values: Values, reading: Reading, where: Where, task: TaskTraits | None) -> Example:
        found = of_messages(values["messages"], "messages", values, where, task)
        return replace(found, group=text(values, "thread", where))


SHAPES = (Posts(),)


def _roles(columns: Sequence[str]) -> dict[str, str]:
    """The column of each role."""
    lowered = {column.strip().lower(): column for column in reversed(columns)}
    found = {
        role: next((lowered[name] for name in names if name in lowered), None)
        for role, names in _COLUMNS.items()
    }
    return {role: column for role, column in found.items() if column is not None}


def _read(where: Where, values: Values, known: OrderedDict[tuple[str, ...], _Post]) -> _Post | None:
    """A post behind those that it answers, which is added to `known`; None for an empty or deleted one."""
    row = {role: values[column] for role, column in _roles(list(values)).items()}
    row = {role: _plain(value) for role, value in row.items() if value is not None and _plain(value)}
    content = unquoted(row.get("text", ""))
    if "author" not in row or not content:
        return None
    thread = row.get("thread", "")
    before = known.get(("id", thread, row["parent"])) if "parent" in row else None
    if before is None and "parent" not in row and thread:
        before = known.get(("thread", thread))
    messages = (*(before.messages if before else ()), (row["author"], content))[-DEPTH - 1 :]
    post = _Post(before.thread if before else thread or row.get("id", str(where)), messages)
    for key in (("id", thread, row.get("id", "")), ("thread", thread)):
        if key[-1]:
            known[key] = post
            known.move_to_end(key)
    while len(known) > KEPT:
        known.popitem(last=False)
    return post


def _plain(value: Any) -> str:
    """As text; pandas makes floats of whole numbers in a column with gaps."""
    return str(int(value) if isinstance(value, float) and value.is_integer() else value).strip()


def _chat(post: _Post) -> list[dict[str, Any]]:
    """From the first message of another author on, consecutive messages of one role joined."""
    chat: list[dict[str, Any]] = []
    for author, content in post.messages:
        role = "assistant" if author == post.messages[-1][0] else "user"
        if chat and chat[-1]["role"] == role:
            chat[-1]["content"] += f"\n\n{content}"
        elif chat or role == "user":
            chat.append({"role": role, "content": content})
    return chat


def unquoted(text: str) -> str:
    """A post without quotes: lines that begin with ">", their introduction, and [quote] blocks."""
    text = _INTRODUCTION.sub("", _without_blocks(text.replace("\r\n", "\n")))
    return "\n".join(line for line in text.split("\n") if not line.startswith(">")).strip()


def _without_blocks(text: str) -> str:
    kept, at = list[str](), 0
    while opened := _QUOTE.search(text, at):
        end = text.find("]", opened.end())
        closed = _QUOTE_END.search(text, end + 1) if end >= 0 else None
        if closed is None:
            break
        kept.append(text[at : opened.start()])
        at = closed.end()
    return "".join([*kept, text[at:]])
