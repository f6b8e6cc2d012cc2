"""tin_host.h by ctypes: the thinnest binding, which tests and the conformance runner share."""

from __future__ import annotations

import ctypes
import re
from ctypes import c_char_p, c_double, c_int32, c_int64, c_void_p
from pathlib import Path
from typing import Any

KERNELS = Path(__file__).parents[2] / "kernels"
HEADER = KERNELS / "include" / "tin_host.h"
PENDING, PIECE, DONE, IDLE = range(4)

_TYPES = {"int32_t": c_int32, "int64_t": c_int64, "double": c_double, "void": None}


def _type(text: str) -> Any:
    """Of a declaration: "const char *name", "int32_t k", "tinhost_model *"."""
    if "*" in text:
        return c_char_p if "char" in text else c_void_p
    return _TYPES[text.split()[0]]


def functions() -> dict[str, tuple[Any, list[Any]]]:
    """Every function of the header: what it returns, and its parameters' types."""
    text = re.sub(r"/\*.*?\*/", "", HEADER.read_text("utf-8"), flags=re.S)
    found = re.findall(r"TIN_API ([\w ]+?\**)\s*\b(tinhost_\w+)\((.*?)\);", text, flags=re.S)
    return {
        name: (_type(result), [_type(one) for one in parameters.split(",") if one.strip() != "void"])
        for result, name, parameters in found
    }


def load(path: Path) -> Any:
    """The library, its functions without their prefix."""
    library = ctypes.CDLL(str(path))

    class Host:
        pass

    host = Host()
    for name, (result, parameters) in functions().items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, parameters
        setattr(host, name.removeprefix("tinhost_"), function)
    return host


class Refused(Exception):
    def __init__(self, status: int, text: bytes) -> None:
        super().__init__(text.decode())
        self.status = status


class Session:
    """A session of an open model, whose failures are raised."""

    def __init__(
        self, host: Any, model: Any, context: int = 0, threads: int = 1, most_bytes: int = 0, adapters: int = 2
    ) -> None:
        self.host = host
        self.handle = host.session_open(model, context, threads, adapters, most_bytes)
        if host.status(self.handle):
            error = Refused(host.status(self.handle), host.error(self.handle))
            host.session_close(self.handle)
            raise error

    def __getattr__(self, name: str) -> Any:
        function = getattr(self.host, name)

        def call(*arguments: Any) -> Any:
            result = function(self.handle, *(a.encode() if isinstance(a, str) else a for a in arguments))
            if isinstance(result, int) and function.restype is c_int32 and result < 0 and name != "chosen":
                raise Refused(result, self.host.error(self.handle))
            return result

        return call

    def close(self) -> None:
        self.host.session_close(self.handle)

    def steps(self, budget_us: int = 0, most_tokens: int = 0) -> dict[str, Any]:
        """Steps to the end, or past so many tokens; what cases.json expects of an answer."""
        pieces = b""
        while (event := self.step(budget_us)) != DONE:
            pieces += self.piece()
            if event == IDLE or (most_tokens and self.tokens() >= most_tokens):
                break
        pieces += self.piece() if event == DONE else b""
        assert pieces == self.answer()
        found = {"text": pieces.decode(), "tokens": self.tokens(), "finish": self.finish()}
        found["digest"] = str(self.digest())
        return found | ({"chosen": self.chosen()} if self.chosen() >= 0 else {})

    def saved(self) -> bytes:
        out = ctypes.create_string_buffer(self.save_size())
        self.save(out, len(out))
        return out.raw
