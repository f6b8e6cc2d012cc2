"""Endpoints, the requests that their handlers get, and the responses that they return."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tinsmith.serve.errors import ApiError, error_format, to_api_error
from tinsmith.serve.state import AppState

T = TypeVar("T")
_SHORT = 16 << 10  # bytes of a body that takes less time to parse than a thread takes to start
SSE, NDJSON = "text/event-stream", "application/x-ndjson"
RECEIPT = "x-tinsmith-receipt"
DONE = b"data: [DONE]\n\n"  # ends OpenAI's streams


@dataclass(frozen=True, kw_only=True)
class ApiRequest:
    state: AppState
    http: Request
    client: str  # of the API key, else of the address: its prompt cache and its share of the server
    length: int  # bytes of the body
    started: float = field(default_factory=time.monotonic)

    async def parse(self, work: Callable[[], T]) -> T:
        """Runs work whose time grows with the body: in a thread where that is long."""
        return work() if self.length < _SHORT else await self.in_thread(work)

    async def in_thread(self, work: Callable[[], T]) -> T:
        return await self.state.threads.run(self.client, work)


Handler = Callable[[ApiRequest, Any], Awaitable[Response]]


@dataclass(frozen=True)
class Endpoint:
    method: str
    path: str
    summary: str
    handler: Handler
    body: type[BaseModel] | None = None
    media: str = "application/json"  # type of the answer
    stream: str | None = None  # media type of a streamed answer
    public: bool = False  # needs no API key


# JSON allows these in strings; str.splitlines, which some clients read streams by, ends a line there.
_LINE_ENDS = {ord(end): f"\\u{ord(end):04x}" for end in "\x85\u2028\u2029"}


def json_line(value: Any) -> bytes:
    """JSON without line breaks."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.translate(_LINE_ENDS).encode()


class JsonResponse(Response):
    media_type = "application/json"

    def __init__(self, content: Any, *args: Any, receipts: Sequence[str] = (), **options: Any) -> None:
        super().__init__(content, *args, **options)
        if receipts:
            self.headers[RECEIPT] = ",".join(receipts)

    def render(self, content: Any) -> bytes:
        return json_line(content)


class AnswerStream(Response):
    """A streamed answer. An error after its start becomes the last piece, and `error`."""

    error: Exception | None

    def __init__(
        self,
        pieces: AsyncGenerator[bytes, None],
        media_type: str,
        *,
        on_error: Callable[[ApiError], bytes],
        cancel: Callable[[], None],
    ) -> None:
        self.pieces, self.on_error, self.cancel = pieces, on_error, cancel
        self.status_code, self.background = 200, None
        self.media_type, self.error = media_type, None
        self.init_headers({"Cache-Control": "no-store", "X-Accel-Buffering": "no"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async for piece in self.pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        except ConnectionAbortedError:
            raise
        except Exception as error:
            self.error = error
            last = self.on_error(to_api_error(error))
            await send({"type": "http.response.body", "body": last, "more_body": True})
        finally:
            self.cancel()  # a generator that has not started runs no `finally`
            await self.pieces.aclose()
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def sse(value: dict[str, Any]) -> bytes:
    """An event, named by its type if it has one."""
    name = f"event: {value['type']}\n" if "type" in value else ""
    return name.encode() + b"data: " + json_line(value) + b"\n\n"


async def sse_events(
    stream: AsyncGenerator[dict[str, Any], None], last: bytes = b""
) -> AsyncGenerator[bytes, None]:
    async with aclosing(stream) as events:
        async for event in events:
            yield sse(event)
    if last:
        yield last


def sse_error(request: ApiRequest) -> Callable[[ApiError], bytes]:
    return lambda error: sse(error_format(request.http.url.path)(error))
