"""Pictures in requests: their bytes stand there themselves. Nothing is fetched, and nothing read from disk."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tinsmith.errors import InputError
from tinsmith.runtime.images import image_of, read_all
from tinsmith.serve.faults import Refused

if TYPE_CHECKING:
    from tinsmith.runtime.images import Image, ImageLimits

Message = Mapping[str, Any]


@dataclass(frozen=True)
class Sent:
    """data: a PNG's or JPEG's bytes in base64. param: the field that they came in."""

    data: str
    param: str

    @property
    def part(self) -> dict[str, Any]:
        """Of a message's content, until it is read."""
        return {"type": "image", "sent": self}

    def picture(self, most: int) -> Image:
        """most: bytes that reading it may take. Raises InputError."""
        try:
            data = base64.b64decode(self.data, validate=True)
        except (binascii.Error, ValueError) as error:
            raise InputError(f"{self.param}: no base64: {error}") from None
        return image_of({"bytes": data}, self.param, most)


def of_url(url: str, param: str) -> Sent:
    """Raises Refused for any that is no data: URL in base64."""
    head, comma, data = url.partition(",")
    if not comma or not head.startswith("data:") or not head.endswith(";base64"):
        raise Refused(
            400,
            f"{param}: {url[:40]!r} is no data: URL in base64, and nothing is fetched; give "
            "data:image/png;base64,… with the picture itself",
            param,
        )
    return Sent(data, param)


def sent_in(messages: Sequence[Message]) -> list[Sent]:
    return [
        part["sent"]
        for message in messages
        if isinstance(message.get("content"), list)
        for part in message["content"]
        if part["type"] == "image"
    ]


def content_of(parts: Sequence[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """As the runtime takes it: a text where there is no picture."""
    if any(part["type"] != "text" for part in parts):
        return list(parts)
    return "".join(part["text"] for part in parts)


def read(messages: Sequence[Message], limits: ImageLimits) -> list[Message]:
    """The messages with their pictures read. Raises Refused."""
    param = ""

    def picture(part: Message, _: int) -> tuple[Image, str]:
        nonlocal param
        param = part["sent"].param
        return part["sent"].picture(limits.image), param

    try:
        return read_all(messages, limits, picture)
    except InputError as error:
        raise Refused(400, str(error), param) from None
