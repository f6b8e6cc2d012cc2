"""Errors of the HTTP API, and their formats by interface."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinsmith.errors import MOST_MESSAGE, InputError, TinsmithError, UnsupportedError, one_line


class ApiError(TinsmithError):
    """param: the field at fault. code: for programs. retry_after: seconds; 0: do not retry."""

    def __init__(
        self, status: int, message: str, param: str | None = None, code: str | None = None, retry_after: int = 0
    ) -> None:
        super().__init__(one_line(message)[:MOST_MESSAGE])
        self.status, self.param, self.code, self.retry_after = status, param, code, retry_after

    @property
    def headers(self) -> dict[str, str]:
        headers = {"Retry-After": str(self.retry_after)} if self.retry_after else {}
        return headers | ({"WWW-Authenticate": "Bearer"} if self.status == 401 else {})


def to_api_error(error: Exception) -> ApiError:
    """Describes the client's errors in full and hides the server's."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, InputError | UnsupportedError):
        return ApiError(400, str(error))
    return ApiError(500, "internal error; the server's log has the details", code="server_error")


def rate_limited(message: str) -> ApiError:
    """A client exceeds its share."""
    return ApiError(429, f"{message}; retry later", code="rate_limit_exceeded", retry_after=1)


def overloaded(message: str, retry_after: int = 1) -> ApiError:
    """All clients together exceed the server's limits."""
    return ApiError(503, f"{message}; retry later", code="overloaded", retry_after=retry_after)


_OPENAI = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_ANTHROPIC = {
    **_OPENAI,
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    503: "overloaded_error",
}


def openai_error(error: ApiError) -> dict[str, Any]:
    kind = _OPENAI.get(error.status, "invalid_request_error" if error.status < 500 else "server_error")
    return {"error": {"message": str(error), "type": kind, "param": error.param, "code": error.code}}


def anthropic_error(error: ApiError) -> dict[str, Any]:
    kind = _ANTHROPIC.get(error.status, "invalid_request_error" if error.status < 500 else "api_error")
    return {"type": "error", "error": {"type": kind, "message": str(error)}, "request_id": None}


def ollama_error(error: ApiError) -> dict[str, Any]:
    return {"error": str(error)}


def error_format(path: str) -> Callable[[ApiError], dict[str, Any]]:
    """The error format of the interface that owns a path."""
    if path.startswith("/v1/messages"):
        return anthropic_error
    return ollama_error if path.startswith("/api/") else openai_error
