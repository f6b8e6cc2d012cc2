"""Conversations with pictures to tokens, as the families' processors write them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinsmith.chat.turns import TurnTable, stripped
from tinsmith.errors import InputError
from tinsmith.runtime.images import Image, Pictured
from tinsmith.runtime.messages import Message, parts_of
from tinsmith.runtime.sight import Sight, picture_of

_MARK = "\U0010fffd"  # stands for a picture in a content; the last of Unicode's private characters


def rendered(sight: Sight, messages: Sequence[Message], table: TurnTable, generate: bool) -> list[int]:
    """The tokens of the rendered text as a whole. What a message says is text: one that has a control token's
    text in it is refused, for it would be read as that. Raises InputError."""
    contents, pictures = [], []
    for number, message in enumerate(messages, 1):
        parts = parts_of(message.get("content"), f"message {number}")
        first = number > 1 and messages[number - 2].get("role") == "system"
        strip = table.strip["first" if first else "user"] if message.get("role") == "user" else ""
        content = ""
        for part in parts:
            if part["type"] == "text":
                _refuse(_MARK if _MARK in part["text"] else None, number)
                content += stripped(part["text"], strip) if len(parts) > 1 else part["text"]
                continue
            if message.get("role") != "user":
                raise InputError(f"message {number}: only a user's message has images")
            pictures.append(picture_of(part, f"message {number}"))
            content += _MARK
        _refuse(sight.control(content), number)
        contents.append({**message, "content": content})
    text, images = _written(sight, table.pieces(contents, generate), pictures)
    return Pictured(sight.placed(sight.tokenize(text), images))


def _refuse(found: str | None, number: int) -> None:
    if found:
        raise InputError(
            f"message {number}: its content holds {found!r}, which beside images means something to the model; "
            "leave it out"
        )


def _written(sight: Sight, pieces: Any, pictures: Sequence[Any]) -> tuple[str, list[Image]]:
    """The conversation's text, with that of each picture, and all their tiles."""
    text, images, rest = "", list[Image](), iter(pictures)
    for piece, own in pieces:
        if own:
            text += piece
            continue
        before, *behind = piece.split(_MARK)
        if behind and not before:
            text = text.removesuffix(sight.connector.dropped)
        text += before
        for more in behind:
            shown, tiles = sight.look(next(rest))
            text += shown + more
            images += tiles
    return text, images
