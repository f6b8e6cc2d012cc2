"""The ASGI application: a request to its endpoint, an answer or a refusal back."""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
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
    from starlette.types import Receive, Scope, Send

    from tinsmith.serve.guard import Guard
    from tinsmith.serve.house import House

MODULES = (chat, completions, responses, embeddings, messages, ollama, ollama_models, ours, masked, plain)
ENDPOINTS: list[Endpoint] = [endpoint for module in MODULES for endpoint in module.ENDPOINTS]


def make(house: House, guard: Guard, origins: Sequence[str] = ()) -> Starlette:
    """The application. origins: of pages that may ask; the browser is told so."""
    routes = [Route(one.path, _Door(one, house, guard), methods=[one.method]) for one in _all()]
    return around(routes, origins, house.close)


def around(
    routes: Sequence[BaseRoute], origins: Sequence[str], close: Callable[[], Awaitable[None]]
) -> Starlette:
    """What is about the routes of any server of ours. close: at its end."""
    wrapped = [
        Middleware(
            CORSMiddleware,
            allow_origins=list(origins),
            allow_methods=["GET", "POST"],
            allow_headers=["authorization", "content-type", "x-api-key"],
            expose_headers=[RECEIPT],
        )
    ]

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await close()

    return Starlette(
        routes=routes,
        middleware=wrapped if origins else [],
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
        request, send = Request(scope, receive), patient(send, self._house.limits.writing)
        try:
            call = Call(self._house, request, self._guard.check(request, self._endpoint.open))
            data = await self._guard.body(request, receive)
            body = self._endpoint.body and read(self._endpoint.body, reading.json(data or b"{}", "the body"))
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
        response = Json(shape_of(request.url.path)(fault), fault.status, headers=fault.headers)
        if fault.status in (408, 413):
            response.headers["Connection"] = "close"  # what is left of the body is not read
        await response(request.scope, request.receive, send)


def patient(send: Send, seconds: float) -> Send:
    """Gives up a client that takes nothing for so long, and lets others have their turn after each message: it
    is then too that a client's leaving is heard of."""

    async def sent(message: object) -> None:
        try:
            async with asyncio.timeout(seconds):  # Python 3.11's wait_for may swallow a cancellation
                await send(message)  # type: ignore[arg-type]
                await asyncio.sleep(0)
        except TimeoutError:
            raise ConnectionAbortedError from None

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
