"""Conversations with pictures to tokens, as the families' processors write them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from tinsmith.chat.turns import PICTURE, TurnTable, stripped
from tinsmith.errors import InputError
from tinsmith.runtime.images import Pictured
from tinsmith.runtime.messages import Message, parts_of
from tinsmith.runtime.sight import FindControl, Sight, picture_of


class Part(NamedTuple):
    """An image of the message `where`, as it says it."""

    where: str
    said: Mapping[str, Any]


def rendered(sight: Sight, messages: Sequence[Message], table: TurnTable, generate: bool) -> list[int]:
    """The tokens of the rendered text as a whole. Raises InputError as `marked`."""
    contents, parts = marked(messages, table, sight.control)
    looks = [sight.look(picture_of(part.said, part.where)) for part in parts]
    text = filled(table.pieces(contents, generate), [shown for shown, _ in looks], sight.connector.dropped)
    return Pictured(sight.placed(sight.tokenize(text), [tile for _, tiles in looks for tile in tiles]))


def marked(
    messages: Sequence[Message], table: TurnTable, control: FindControl
) -> tuple[list[Message], list[Part]]:
    """The messages with PICTURE in the place of each image, and the images. What a message says is text: one
    that has a control token's text in it is refused, for it would be read as that. control: the first that a
    text holds. Raises InputError."""
    contents, images = list[Message](), []
    for number, message in enumerate(messages, 1):
        where = f"message {number}"
        parts = parts_of(message.get("content"), where)
        first = number > 1 and messages[number - 2].get("role") == "system"
        strip = table.strip["first" if first else "user"] if message.get("role") == "user" else ""
        content = ""
        for part in parts:
            if part["type"] == "text":
                _refuse(PICTURE if PICTURE in part["text"] else None, where)
                content += stripped(part["text"], strip) if len(parts) > 1 else part["text"]
                continue
            if message.get("role") != "user":
                raise InputError(f"{where}: only a user's message has images")
            images.append(Part(where, part))
            content += PICTURE
        _refuse(control(content), where)
        contents.append({**message, "content": content})
    return contents, images


def _refuse(found: str | None, where: str) -> None:
    if found:
        raise InputError(
            f"{where}: its content holds {found!r}, which beside images means something to the model; "
            "leave it out"
        )


def filled(pieces: Iterable[tuple[str, bool]], shown: Sequence[str], dropped: str) -> str:
    """A conversation's text with that of each image in the place of its mark. pieces: a table's; dropped: a
    connector's."""
    text, rest = "", iter(shown)
    for piece, own in pieces:
        if own:
            text += piece
            continue
        before, *behind = piece.split(PICTURE)
        if behind and not before:
            text = text.removesuffix(dropped)
        text += before + "".join(next(rest) + more for more in behind)
    return text
