"""Encodes the images of requests in a thread per model, with a cache of embeddings per client."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from threading import Event
from typing import TypeVar

from tinsmith.runtime.image_prompt import ImagePrompt, Tile
from tinsmith.runtime.loaded import Loaded
from tinsmith.serve.errors import overloaded, rate_limited
from tinsmith.serve.fair_queue import FairThreadPool, Shares
from tinsmith.serve.limits import Limits
from tinsmith.serve.worker import AnswerHandle

T = TypeVar("T")


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
        size, client = sum(len(tile.rows) for _, tile in prompt.tiles), handle.request.scope
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
