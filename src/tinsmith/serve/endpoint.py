"""What a route is made of: its body, its answer, and how both are described."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from starlette.responses import Response

from tinsmith.serve.faults import Refused, refusal, shape_of

if TYPE_CHECKING:
    from pydantic import BaseModel
    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from tinsmith.serve.house import House

T = TypeVar("T")
_SHORT = 16 << 10  # bytes: other threads take longer to begin than such a body to be read
SSE, NDJSON = "text/event-stream", "application/x-ndjson"
RECEIPT = "x-tinsmith-receipt"
DONE = b"data: [DONE]\n\n"  # the last piece of OpenAI's streams


@dataclass(frozen=True)
class Call:
    """One request. scope: of the client's key, or its address: whose prompts it may share, and whose share of
    the server it takes. length: of its body. started: seconds of the monotonic clock."""

    house: House
    request: Request
    scope: str
    length: int = 0
    started: float = field(default_factory=time.monotonic)

    async def read(self, work: Callable[[], T]) -> T:
        """What the work makes of the body: here, where that is short."""
        return work() if self.length < _SHORT else await self.beside(work)

    async def beside(self, work: Callable[[], T]) -> T:
        """What the work makes in a thread, of which this client has its share."""
        return await self.house.threads.do(self.scope, work)


Handler = Callable[[Call, Any], Awaitable[Response]]


@dataclass(frozen=True)
class Endpoint:
    """body: what is read of the request; None: it has none. reply: JSON Schema of the answer; text: or its
    media type. stream: the media type of its answers in pieces. open: needs no key."""

    method: str
    path: str
    summary: str
    handler: Handler
    body: type[BaseModel] | None = None
    reply: Mapping[str, Any] | None = None
    text: str | None = None
    stream: str | None = None
    open: bool = False


# JSON allows them in a text, and clients that read a stream by str.splitlines end a line there.
_LINE_ENDS = {ord(end): f"\\u{ord(end):04x}" for end in "\x85\u2028\u2029"}


def one_line(value: Any) -> bytes:
    """A value as JSON, in one line of any reader's."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.translate(_LINE_ENDS).encode()


class Json(Response):
    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return one_line(content)


class Cancelled(Protocol):
    def cancel(self) -> None: ...


class Stream(Response):
    """An answer in pieces. An error after the first of them is a piece of its own, and is kept in `error`.
    answers: are cancelled where nobody reads on."""

    error: Exception | None

    def __init__(
        self,
        answers: Cancelled,
        pieces: AsyncGenerator[bytes, None],
        media: str,
        failed: Callable[[Refused], bytes],
    ) -> None:
        self.answers, self.pieces, self.failed = answers, pieces, failed
        self.status_code, self.background = 200, None
        self.media_type, self.error = media, None
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
            await send({"type": "http.response.body", "body": self.failed(refusal(error)), "more_body": True})
        finally:
            self.answers.cancel()  # a generator that was not begun does nothing at its end
            await self.pieces.aclose()
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def sse(value: Any, event: str | None = None) -> bytes:
    return (f"event: {event}\n" if event else "").encode() + b"data: " + one_line(value) + b"\n\n"


async def sse_events(
    stream: AsyncGenerator[dict[str, Any], None], last: bytes = b""
) -> AsyncGenerator[bytes, None]:
    """Each by its type."""
    async with aclosing(stream) as events:
        async for event in events:
            yield sse(event, event["type"])
    if last:
        yield last


def failed_sse(path: str, event: str | None = None) -> Callable[[Refused], bytes]:
    return lambda fault: sse(shape_of(path)(fault), event)


def like(example: Any) -> dict[str, Any]:
    """JSON Schema of values like this one: str, int, float, bool are themselves; a list holds one example of
    its items, a tuple alternatives, a dict its properties, of which those that end in "?" may be missing. None
    is null, Any is anything."""
    if isinstance(example, dict):
        keys = {key.rstrip("?"): like(value) for key, value in example.items()}
        needed = [key for key in example if not key.endswith("?")]
        return {"type": "object", "properties": keys, "required": needed}
    if isinstance(example, list):
        return {"type": "array", "items": like(example[0])}
    if isinstance(example, tuple):
        return {"anyOf": [like(one) for one in example]}
    if isinstance(example, str):
        return {"const": example}
    names = {
        str: "string",
        int: "integer",
        float: "number",
        bool: "boolean",
        dict: "object",
        type(None): "null",
    }
    return {} if example is Any else {"type": names[type(example) if example is None else example]}
