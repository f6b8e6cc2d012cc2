"""What a request is refused for, and how each interface says it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tinsmith.errors import MOST_MESSAGE, TinsmithError, one_line


class Refused(TinsmithError):
    """status: HTTP's. param: the field that is at fault. code: a word for programs. after: seconds from which
    on asking again may help."""

    def __init__(
        self, status: int, message: str, param: str | None = None, code: str | None = None, after: int = 0
    ) -> None:
        super().__init__(one_line(message)[:MOST_MESSAGE])
        self.status, self.param, self.code, self.after = status, param, code, after

    @property
    def headers(self) -> dict[str, str]:
        headers = {"Retry-After": str(self.after)} if self.after else {}
        return headers | ({"WWW-Authenticate": "Bearer"} if self.status == 401 else {})


def refusal(error: Exception) -> Refused:
    """What an error of ours is to whoever asked; anything else is the server's fault, and says nothing."""
    from tinsmith.errors import InputError, UnsupportedError

    if isinstance(error, Refused):
        return error
    if isinstance(error, InputError | UnsupportedError):
        return Refused(400, str(error))
    return Refused(500, "the server failed at this request; its log says where", code="server_error")


_OPENAI = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_ANTHROPIC = {
    **_OPENAI,
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    503: "overloaded_error",
}


def openai(fault: Refused) -> dict[str, Any]:
    kind = _OPENAI.get(fault.status, "invalid_request_error" if fault.status < 500 else "server_error")
    return {"error": {"message": str(fault), "type": kind, "param": fault.param, "code": fault.code}}


def anthropic(fault: Refused) -> dict[str, Any]:
    kind = _ANTHROPIC.get(fault.status, "invalid_request_error" if fault.status < 500 else "api_error")
    return {"type": "error", "error": {"type": kind, "message": str(fault)}, "request_id": None}


def ollama(fault: Refused) -> dict[str, Any]:
    return {"error": str(fault)}


Shape = Callable[[Refused], dict[str, Any]]
_BY_PATH: Mapping[str, Shape] = {"/v1/messages": anthropic, "/api/": ollama}


def shape_of(path: str) -> Shape:
    """How errors are written to a path."""
    return next((shape for begin, shape in _BY_PATH.items() if path.startswith(begin)), openai)
