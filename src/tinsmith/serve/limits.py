"""Limits of one request, of one client and of the whole server."""

from __future__ import annotations

from dataclasses import dataclass

from tinsmith.constraint import apart
from tinsmith.runtime.images import ImageLimits
from tinsmith.serve.errors import ApiError


@dataclass(frozen=True, kw_only=True)
class Limits(ImageLimits):
    """The limits of images are those of one request. fields.py has the length limits of lists."""

    body: int = 4 << 20  # bytes of a request body
    schema: int = apart.SCHEMA  # bytes of a JSON Schema, or of all tools
    automaton: int = apart.AUTOMATON  # bytes of a compiled constraint
    compile_seconds: float = apart.SECONDS  # to compile a constraint
    tokens: int | None = None  # of an answer; None: the rest of the context
    answers: int = 8  # to one request (n)
    in_flight: int = 64  # answers of one client, including embeddings and masks
    queue: int = 256  # answers of all clients waiting for a slot of one model
    read_seconds: float = 20.0  # to receive a request's head, and again its body
    write_seconds: float = 30.0  # in which a client must read a part of its answer
    connections: int = 1024  # of all addresses; one address may hold a quarter
    image_rows: int = 1 << 30  # bytes of image embeddings in flight for one model, half of them for one client
    image_cache: int = 128 << 20  # bytes of image embeddings kept for later requests

    def check_answers(self, n: int | None) -> int:
        """The number of answers to a request."""
        if n is not None and n > self.answers:
            raise ApiError(400, f"n is {n}; give 1 to {self.answers}", "n")
        return n or 1

    def check_tokens(self, tokens: int | None, param: str = "max_tokens") -> int | None:
        """The requested maximum length of an answer."""
        if tokens is not None and self.tokens is not None and tokens > self.tokens:
            raise ApiError(400, f"{param} is {tokens}; this server's maximum is {self.tokens}", param)
        return tokens
