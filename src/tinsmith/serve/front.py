"""The front of several processes: who may ask, and whose model is asked. A request goes to the process of its
model as it came; what is of all models is put together."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from tinsmith.errors import InputError
from tinsmith.serve import metrics, openapi
from tinsmith.serve.app import ENDPOINTS, logged, refused, until_left, yielding
from tinsmith.serve.endpoint import Json
from tinsmith.serve.fair import Threads
from tinsmith.serve.faults import Refused, refusal
from tinsmith.serve.hands import Hand, kept
from tinsmith.serve.shelf import AUTO, unknown
from tinsmith.system import reading

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from tinsmith.serve.guard import Guard
    from tinsmith.serve.limits import Limits

_THREADS = 2  # that read bodies
_LISTS = {"/v1/models": ("data", "id"), "/api/tags": ("models", "name")}  # where names stand in them
_OPEN = {one.path for one in ENDPOINTS if one.open}
_BODIES = {(one.method, one.path) for one in ENDPOINTS if one.body is not None}
_PATHS = {one.path for one in ENDPOINTS}


class Front:
    """An ASGI application over hands that are up."""

    def __init__(self, hands: Sequence[Hand], guard: Guard, limits: Limits) -> None:
        self._hands, self._guard = hands, guard
        self._threads = Threads(_THREADS, each=_THREADS - 1, most=limits.streams, what="requests")
        self._counts = metrics.Metrics()  # of what never comes to a hand
        claimed = [name for hand in hands for name in hand.names]
        routers = sum(name.endswith(f":{AUTO}") for name in claimed)
        self.names = [name for name in dict.fromkeys(claimed) if name != AUTO or routers == 1]
        self._document = openapi.document([*ENDPOINTS, openapi.endpoint(ENDPOINTS)], self.names)
        self._of = {name: hand for hand in hands for name in hand.names if name in self.names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request, send = Request(scope, receive), yielding(send)
        try:
            whose = self._guard.check(request, scope["path"] in _OPEN)
            due = (request.method, scope["path"]) in _BODIES
            if not due and request.method != "GET":  # of no route: a hand says so
                await self._answer(request, b"", whose, send)
                return
            async with self._guard.body(request, receive, whose, due) as body:
                await self._answer(request, body, whose, send)
        except ConnectionAbortedError:
            return
        except Exception as error:
            await self._refused(request, error)(scope, receive, send)

    async def _answer(self, request: Request, body: bytes, whose: str, send: Send) -> None:
        """Raises Refused for what no hand answers."""
        path = request.scope["path"]
        response = await self._together(path, whose) if request.method == "GET" else None
        if response is not None:
            await response(request.scope, request.receive, send)
            return
        hand = await self._threads.do(whose, partial(self._hand, request, body))
        await until_left(self._passed(hand, request, body, whose, send), request.receive)

    def _refused(self, request: Request, error: Exception) -> Response:
        logged(error)
        path, fault = request.scope["path"], refusal(error)
        self._counts.requests[path if path in _PATHS else "other", fault.status] += 1
        return refused(fault, request)

    def _hand(self, request: Request, body: bytes) -> Hand:
        """The one that has the request's model. What can't be read is refused by any, in the words of its
        interface."""
        path = request.url.path
        name: Any = request.query_params.get("model")
        if path.startswith("/v1/models/"):
            name = path.removeprefix("/v1/models/")
        if body:
            try:
                given = reading.json(body, "the body")
            except InputError:
                given = None
            inner = given.get("chat", given) if isinstance(given, dict) else {}
            name = inner.get("model") if isinstance(inner, dict) else None
        if not isinstance(name, str) or path in ("/", "/openapi.json"):
            return self._hands[0]
        if name not in self._of:
            raise unknown(name, self.names)
        return self._of[name]

    async def _passed(self, hand: Hand, request: Request, body: bytes, whose: str, send: Send) -> None:
        scope, begun = request.scope, False
        target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
        asked = hand.asked(request.method, target, request.headers.raw, body, whose)
        try:
            async with aclosing(asked) as events:
                async for event in events:
                    if hasattr(event, "status_code"):
                        begun = True
                        head = {"type": "http.response.start", "status": event.status_code}
                        await send({**head, "headers": kept(list(event.headers))})
                    else:
                        await send({"type": "http.response.body", "body": bytes(event.data), "more_body": True})
        except Refused as fault:
            if begun:  # a client sees that the answer is not whole
                raise ConnectionAbortedError from None
            await self._refused(request, fault)(scope, request.receive, send)
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _together(self, path: str, whose: str) -> Response | None:
        """What is of all models."""
        if path == "/openapi.json":
            return Json(self._document)
        if path == "/health":
            said = [await self._got(hand, path, whose) if hand.up else (503, b"") for hand in self._hands]
            good = all(status == 200 for status, _ in said)
            return Json({"status": "ok" if good else "failed"}, 200 if good else 503)
        if path == "/metrics":
            got = [await self._got(hand, path, whose) for hand in self._hands]
            counts = [*(text.decode() for _, text in got), "\n".join(self._counts.counts())]
            return Response(metrics.joined(counts), headers={"content-type": metrics.TYPE})
        if path not in _LISTS:
            return None
        key, name = _LISTS[path]
        got = [await self._got(hand, path, whose) for hand in self._hands]
        tables = [json.loads(text) for _, text in got]
        rows = [row for table in tables for row in table[key] if row[name] in self.names]
        return Json({**tables[0], key: rows})

    async def _got(self, hand: Hand, path: str, whose: str) -> tuple[int, bytes]:
        status, data = 503, b""
        async with aclosing(hand.asked("GET", path.encode(), (), b"", whose)) as events:
            async for event in events:
                if hasattr(event, "status_code"):
                    status = event.status_code
                else:
                    data += event.data
        return status, data
