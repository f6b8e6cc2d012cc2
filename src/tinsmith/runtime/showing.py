"""Pictures of a question, read within its limits: whoever asks may be a stranger."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tinsmith.errors import InputError
from tinsmith.runtime.messages import Message

if TYPE_CHECKING:
    from tinsmith.runtime.loaded import Loaded
    from tinsmith.runtime.picture_limits import PictureLimits
    from tinsmith.runtime.sight import Picture


def within(model: Loaded, messages: Sequence[Message], limits: PictureLimits) -> list[Message]:
    """The messages with their pictures read. Raises InputError where the model sees none, for a picture that
    can't be read, and for more than the limits say."""
    shown = [
        number
        for number, message in enumerate(messages, 1)
        if isinstance(content := message.get("content"), list | tuple)
        for part in content
        if _is_picture(part)
    ]
    if not shown:
        return list(messages)
    _ = model.sight  # before anything is read
    if len(shown) > limits.pictures:
        raise InputError(limits.too_many(len(shown), f"message {shown[limits.pictures]}"))
    from tinsmith.runtime.sight import picture_of

    def read(part: Message, number: int) -> tuple[Picture, str]:
        return picture_of(part, f"message {number}", limits.picture), f"message {number}"

    return read_all(messages, limits, read)


def read_all(
    messages: Sequence[Message], limits: PictureLimits, read: Callable[[Message, int], tuple[Picture, str]]
) -> list[Message]:
    """read: of a part and its message's number the picture, and what errors call it. Raises InputError for more
    pixels than the limits say."""
    known, pixels = list[Message](), 0
    for number, message in enumerate(messages, 1):
        content = message.get("content")
        if isinstance(content, list | tuple):
            parts = list(content)
            for at, part in enumerate(parts):
                if _is_picture(part):
                    picture, where = read(part, number)
                    pixels += picture.width * picture.height
                    if pixels > limits.pixels:
                        raise InputError(limits.too_large(pixels, where))
                    parts[at] = {"type": "image", "pixels": picture}
            message = {**message, "content": parts}
        known.append(message)
    return known


def _is_picture(part: Any) -> bool:
    return isinstance(part, Mapping) and part.get("type") in ("image", "image_url")
