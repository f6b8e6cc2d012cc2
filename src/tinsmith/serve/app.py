"""The ASGI application: routes requests to endpoints and errors back to clients."""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tinsmith.serve import openapi
from tinsmith.serve.api import chat, completions, embeddings, extensions, messages, ollama, responses, service
from tinsmith.serve.endpoint import RECEIPT, ApiRequest, Endpoint, JsonResponse
from tinsmith.serve.errors import ApiError, error_format, to_api_error
from tinsmith.serve.fields import validate
from tinsmith.serve.guard import Guard
from tinsmith.serve.state import AppState
from tinsmith.system import reading

MODULES = (chat, completions, responses, embeddings, messages, ollama, extensions, service)
ENDPOINTS: list[Endpoint] = [endpoint for module in MODULES for endpoint in module.ENDPOINTS]


def create_app(state: AppState, guard: Guard, origins: Sequence[str] = ()) -> Starlette:
    """origins: of the web pages whose requests browsers may send."""
    endpoints = [*ENDPOINTS, openapi.endpoint(ENDPOINTS)]
    middleware = [Middleware(FramingMiddleware, read_seconds=state.limits.read_seconds)]
    if origins:
        middleware.append(
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
        state.close()

    return Starlette(
        routes=[Route(one.path, EndpointApp(one, state, guard), methods=[one.method]) for one in endpoints],
        middleware=middleware,
        exception_handlers={HTTPException: _no_route},
        lifespan=lifespan,
    )


async def _no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path, detail = request.url.path, error.detail.lower()
    message = f"{request.method} {path[:100]}: {detail}; /openapi.json lists the endpoints"
    body = error_format(path)(ApiError(error.status_code, message, code=detail.replace(" ", "_")))
    return JsonResponse(body, error.status_code, headers=error.headers)


class EndpointApp:
    """An endpoint as an ASGI application. A client that disconnects cancels its answers."""

    def __init__(self, endpoint: Endpoint, state: AppState, guard: Guard) -> None:
        self._endpoint, self._state, self._guard = endpoint, state, guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        http, send, kind = Request(scope, receive), yielding(send), self._endpoint.body
        try:
            client = self._guard.client(http, public=self._endpoint.public)
            async with self._guard.body(http, receive, client, allowed=kind is not None) as data:
                request = ApiRequest(state=self._state, http=http, client=client, length=len(data))
                body = None if kind is None else await request.parse(partial(_parse, kind, data))
        except ConnectionAbortedError:
            return
        except Exception as error:
            await self._send_error(error, http, send)
            return
        await _until_disconnect(self._respond(request, body, send), receive)

    async def _respond(self, request: ApiRequest, body: object, send: Send) -> None:
        http = request.http
        try:
            response = await self._endpoint.handler(request, body)
        except Exception as error:
            await self._send_error(error, http, send)
            return
        self._state.metrics.count_request(self._endpoint.path, response.status_code)
        await response(http.scope, http.receive, send)
        _log(getattr(response, "error", None))

    async def _send_error(self, error: Exception, http: Request, send: Send) -> None:
        _log(error)
        api_error = to_api_error(error)
        self._state.metrics.count_request(self._endpoint.path, api_error.status)
        await _error_response(api_error, http)(http.scope, http.receive, send)


def _parse(kind: type[BaseModel], data: bytes) -> BaseModel:
    return validate(kind, reading.json(data or b"{}", "the body"))


def _error_response(error: ApiError, request: Request) -> Response:
    """Closes the connection where the end of the body is ambiguous."""
    response = JsonResponse(error_format(request.url.path)(error), error.status, headers=error.headers)
    if error.status == 408 or "expect" in request.headers or _is_framed_twice(request):
        response.headers["Connection"] = "close"
    return response


def _is_framed_twice(request: Request) -> bool:
    """A proxy may see another end of such a body (request smuggling)."""
    return {"content-length", "transfer-encoding"} <= set(request.headers.keys())


class FramingMiddleware:
    """Rejects requests with two lengths (RFC 9112, section 6.1). Reads a rejected request to its end before
    closing: otherwise a client that sends its whole body first would miss the error."""

    def __init__(self, app: ASGIApp, read_seconds: float) -> None:
        self._app, self._read_seconds = app, read_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request, complete = Request(scope), False

        async def receive_and_watch() -> Message:
            nonlocal complete
            message = await receive()
            complete = complete or message["type"] == "http.disconnect" or not message.get("more_body", False)
            return message

        async def send_and_drain(message: Message) -> None:
            nonlocal complete
            if message["type"] == "http.response.start":
                complete = complete or (b"connection", b"close") in message["headers"]
            elif not complete and not message.get("more_body", False):
                await send({**message, "more_body": True})
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._read_seconds):
                        while not complete:
                            await receive_and_watch()
                message = {"type": "http.response.body"}
            await send(message)

        if _is_framed_twice(request):
            error = ApiError(400, "both Content-Length and Transfer-Encoding; send one", code="bad_framing")
            await _error_response(error, request)(scope, receive_and_watch, send_and_drain)
        else:
            await self._app(scope, receive_and_watch, send_and_drain)


def yielding(send: Send) -> Send:
    """Yields to the event loop after each message, which also lets it notice a disconnect."""

    async def send_and_yield(message: Message) -> None:
        await send(message)
        await asyncio.sleep(0)

    return send_and_yield


async def _until_disconnect(work: Coroutine[Any, Any, None], receive: Receive) -> None:
    """Runs work until it ends or the client disconnects. The request's body must have been read."""
    tasks = [asyncio.create_task(work), asyncio.create_task(_disconnect(receive))]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _log(error: Exception | None) -> None:
    """Logs internal errors."""
    if error is not None and to_api_error(error).status == 500:
        print("".join(traceback.format_exception(error)), file=sys.stderr)
