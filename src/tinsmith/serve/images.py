"""Images of requests, from base64 to embeddings. Nothing is fetched, and nothing is read from disk."""

from __future__ import annotations

import base64
import binascii
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Any, TypeVar

from tinsmith.errors import InputError
from tinsmith.runtime.image_prompt import ImagePrompt
from tinsmith.runtime.images import image_of, read_all
from tinsmith.serve.errors import ApiError, overloaded, rate_limited
from tinsmith.serve.fair_queue import FairThreadPool, Shares

if TYPE_CHECKING:
    from tinsmith.runtime.image_prompt import Tile
    from tinsmith.runtime.images import Image, ImageLimits
    from tinsmith.runtime.loaded import Loaded
    from tinsmith.serve.limits import Limits
    from tinsmith.serve.worker import AnswerHandle

Message = Mapping[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class RequestImage:
    """data: PNG or JPEG in base64. param: the request's field."""

    data: str
    param: str

    @property
    def part(self) -> dict[str, Any]:
        """A part of a message's content, for decode_images."""
        return {"type": "image", "image": self}

    def decode(self, max_bytes: int) -> Image:
        try:
            data = base64.b64decode(self.data, validate=True)
        except (binascii.Error, ValueError) as error:
            raise InputError(f"{self.param}: invalid base64: {error}") from None
        return image_of({"bytes": data}, self.param, max_bytes)


def image_of_url(url: str, param: str) -> RequestImage:
    head, comma, data = url.partition(",")
    if not comma or not head.startswith("data:") or not head.endswith(";base64"):
        message = (
            f"{param}: {url[:40]!r} is not a data: URL in base64, and nothing is fetched; send the image as "
            "data:image/png;base64,…"
        )
        raise ApiError(400, message, param)
    return RequestImage(data, param)


def images_in(messages: Sequence[Message]) -> list[RequestImage]:
    return [
        part["image"]
        for message in messages
        if isinstance(message.get("content"), list)
        for part in message["content"]
        if part["type"] == "image"
    ]


def content_of(parts: Sequence[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """A message's content for the runtime: a text, or a list of parts with images."""
    if any(part["type"] != "text" for part in parts):
        return list(parts)
    return "".join(part["text"] for part in parts)


def decode_images(messages: Sequence[Message], limits: ImageLimits) -> list[Message]:
    """The messages with decoded images."""
    param = ""

    def decode(part: Message, _: int) -> tuple[Image, str]:
        nonlocal param
        param = part["image"].param
        return part["image"].decode(limits.image), param

    try:
        return read_all(messages, limits, decode)
    except InputError as error:
        raise ApiError(400, str(error), param) from None


class ClientGone(Exception):
    """The client disconnected."""


class ImageEncoder:
    """A thread that decodes and encodes images for one model, beside the batch's.

    All methods but `encode` are for the event loop."""

    def __init__(self, model: Loaded, limits: Limits) -> None:
        self.memory = model.vision.memory
        self._in_flight = Shares()  # bytes of embeddings
        self._limits = limits
        name = f"tinsmith images {model.info.name}"
        self._thread = FairThreadPool(1, max_waiting=limits.in_flight, what="requests with images", name=name)
        self._cache: OrderedDict[tuple[str, bytes], bytes] = OrderedDict()  # embeddings, last used at the end
        self._cache_bytes = 0

    @property
    def waiting(self) -> int:
        """Requests, including the running one."""
        return self._thread.waiting

    @property
    def in_flight(self) -> int:
        """Bytes of embeddings."""
        return self._in_flight.total()

    async def run(self, client: str, work: Callable[[Event], T]) -> T:
        """Runs work in the thread. Its event is set when the client disconnects."""
        if self._in_flight[client] >= self._limits.image_rows // 2:
            raise rate_limited("too many requests with images of this client are in flight")
        if self.waiting >= self._limits.queue or self.in_flight >= self._limits.image_rows:
            raise overloaded("too many requests with images are in flight")
        gone = Event()
        try:
            return await self._thread.run(client, partial(work, gone))
        finally:
            gone.set()

    def hold(self, prompt: ImagePrompt, handle: AnswerHandle) -> None:
        """Counts a prompt's embeddings until its answer ends."""
        size, client = sum(len(tile.rows) for _, tile in prompt.tiles), handle.asked.scope
        self._in_flight[client] += size
        handle.on_end(partial(self._in_flight.release, client, size))

    def close(self) -> None:
        self._thread.close()

    def encode(self, prompt: ImagePrompt, client: str, gone: Event) -> None:
        """Sets the embeddings of a prompt's images, from the client's cache where it has them."""
        for _, tile in prompt.tiles:
            if gone.is_set():
                raise ClientGone
            self._encode(tile, (client, tile.digest))

    def _encode(self, tile: Tile, key: tuple[str, bytes]) -> None:
        rows = self._cache.pop(key, None)
        self._cache_bytes -= len(rows or b"")
        tile.rows = rows = tile.rows if rows is None else rows
        tile.make = lambda: rows  # releases the pixels
        self._cache[key] = rows
        self._cache_bytes += len(rows)
        while self._cache_bytes > self._limits.image_cache:
            self._cache_bytes -= len(self._cache.popitem(last=False)[1])
