"""The ASGI application: a request to its endpoint, an answer or a refusal back."""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from tinsmith.serve import openapi
from tinsmith.serve.api import (
    chat,
    completions,
    embeddings,
    masked,
    messages,
    ollama,
    ollama_models,
    ours,
    plain,
    responses,
)
from tinsmith.serve.endpoint import RECEIPT, Call, Endpoint, Json
from tinsmith.serve.faults import Refused, refusal, shape_of
from tinsmith.serve.fields import read
from tinsmith.system import reading

if TYPE_CHECKING:
    from pydantic import BaseModel
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from tinsmith.serve.guard import Guard
    from tinsmith.serve.house import House
    from tinsmith.serve.limits import Limits

MODULES = (chat, completions, responses, embeddings, messages, ollama, ollama_models, ours, masked, plain)
ENDPOINTS: list[Endpoint] = [endpoint for module in MODULES for endpoint in module.ENDPOINTS]


def make(house: House, guard: Guard, origins: Sequence[str] = ()) -> Starlette:
    """The application. origins: of pages that may ask; the browser is told so."""
    routes = [Route(one.path, _Door(one, house, guard), methods=[one.method]) for one in _all()]
    return around(routes, origins, house.limits, house.close)


def around(
    routes: Sequence[BaseRoute], origins: Sequence[str], limits: Limits, close: Callable[[], Awaitable[None]]
) -> Starlette:
    """What is about the routes of any server of ours. close: at its end."""
    wrapped = [Middleware(_Wire, seconds=limits.reading)]
    if origins:
        wrapped.append(
            Middleware(
                CORSMiddleware,
                allow_origins=list(origins),
                allow_methods=["GET", "POST"],
                allow_headers=["authorization", "content-type", "x-api-key"],
                expose_headers=[RECEIPT],
            )
        )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await close()

    return Starlette(
        routes=routes,
        middleware=wrapped,
        exception_handlers={HTTPException: _unrouted},
        lifespan=lifespan,
    )


def _all() -> list[Endpoint]:
    return [*ENDPOINTS, openapi.endpoint(ENDPOINTS)]


async def _unrouted(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.url.path
    known = "/openapi.json lists what there is"
    message = f"{request.method} {path[:100]}: {error.detail.lower()}; {known}"
    return Json(
        shape_of(path)(Refused(error.status_code, message, code=error.detail.lower().replace(" ", "_"))),
        error.status_code,
        headers=error.headers,
    )


class _Door:
    """An endpoint as an ASGI application: the request is read with its limits, and a client that leaves takes
    its answers with it."""

    def __init__(self, endpoint: Endpoint, house: House, guard: Guard) -> None:
        self._endpoint, self._house, self._guard = endpoint, house, guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request, send = Request(scope, receive), yielding(send)
        try:
            whose, due = self._guard.check(request, self._endpoint.open), self._endpoint.body
            async with self._guard.body(request, receive, whose, due is not None) as data:
                call = Call(self._house, request, whose, len(data))
                body = None if due is None else await call.read(partial(_read, due, data))
        except ConnectionAbortedError:
            return
        except Exception as error:
            await self._refuse(error, request, send)
            return
        await until_left(self._work(call, body, send), receive)

    async def _work(self, call: Call, body: object, send: Send) -> None:
        request = call.request
        try:
            response = await self._endpoint.handler(call, body)
        except Exception as error:
            await self._refuse(error, request, send)
            return
        self._house.metrics.requests[self._endpoint.path, response.status_code] += 1
        await response(request.scope, request.receive, send)
        logged(getattr(response, "error", None))

    async def _refuse(self, error: Exception, request: Request, send: Send) -> None:
        logged(error)
        fault = refusal(error)
        self._house.metrics.requests[self._endpoint.path, fault.status] += 1
        await refused(fault, request)(request.scope, request.receive, send)


def _read(kind: type[BaseModel], data: bytes) -> BaseModel:
    return read(kind, reading.json(data or b"{}", "the body"))


def refused(fault: Refused, request: Request) -> Response:
    """The connection ends where no one can tell what is left of the body."""
    response = Json(shape_of(request.url.path)(fault), fault.status, headers=fault.headers)
    if fault.status == 408 or "expect" in request.headers or _framed_twice(request):
        response.headers["Connection"] = "close"
    return response


def _framed_twice(request: Request) -> bool:
    """Whether a proxy before this server may have seen another end of the body."""
    return {"content-length", "transfer-encoding"} <= set(request.headers.keys())


class _Wire:
    """Middleware: refuses requests whose length is said in two ways (RFC 9112, section 6.1), and reads on what
    a refused request still sends, for as long as a body may take. A client that sends before it reads would not
    hear of the refusal, if the connection ended with its bytes unread."""

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app, self._seconds = app, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request, whole = Request(scope), False

        async def received() -> Message:
            nonlocal whole
            message = await receive()
            whole = whole or message["type"] == "http.disconnect" or not message.get("more_body", False)
            return message

        async def sent(message: Message) -> None:
            nonlocal whole
            if message["type"] == "http.response.start":
                whole = whole or (b"connection", b"close") in message["headers"]
            elif not whole and not message.get("more_body", False):
                await send({**message, "more_body": True})
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._seconds):
                        while not whole:
                            await received()
                message = {"type": "http.response.body"}
            await send(message)

        if _framed_twice(request):
            fault = Refused(400, "gives both Content-Length and Transfer-Encoding", code="bad_framing")
            await refused(fault, request)(scope, received, sent)
        else:
            await self._app(scope, received, sent)


def yielding(send: Send) -> Send:
    """Lets others have their turn after each message: it is then too that a client's leaving is heard of."""

    async def sent(message: Message) -> None:
        await send(message)
        await asyncio.sleep(0)

    return sent


async def until_left(work: Coroutine[Any, Any, None], receive: Receive) -> None:
    """Does the work, or as much of it as comes before the client is gone; the request's body was read."""
    tasks = [asyncio.create_task(work), asyncio.create_task(_left(receive))]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def logged(error: Exception | None) -> None:
    """What is our own fault, for whoever runs the server."""
    if error is not None and refusal(error).status == 500:
        print("".join(traceback.format_exception(error)), file=sys.stderr)
