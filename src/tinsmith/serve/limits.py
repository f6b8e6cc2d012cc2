"""What one request, one client and all of them together may take."""

from __future__ import annotations

from dataclasses import dataclass

from tinsmith.constraint import limits
from tinsmith.runtime.images import ImageLimits


@dataclass(frozen=True)
class Limits(ImageLimits):
    """body: bytes of a request's. schema: bytes of a JSON Schema, or of all tools. automaton: bytes of what is
    compiled of it; compiling: seconds for that. tokens: of an answer at most; None: what its context holds.
    answers: to one request (n). streams: answers of one client at once, embeddings and masks among them; queue:
    of all, beyond those that have a place. reading: seconds for a request's head, and again for its body;
    writing: seconds in which a client has to take some of its answer. connections: at once; an address has a
    part of them. Of pictures, a request is one question.
    rows: bytes of what a file's tower made of pictures, for questions under way, of which one client may have
    half; seen: bytes of it that are kept for those who ask again. How long lists are is said in fields.py."""

    body: int = 4 << 20
    schema: int = limits.SCHEMA
    automaton: int = limits.AUTOMATON
    compiling: float = limits.SECONDS
    tokens: int | None = None
    answers: int = 8
    streams: int = 64
    queue: int = 256
    reading: float = 20.0
    writing: float = 30.0
    connections: int = 1024
    rows: int = 1 << 30
    seen: int = 128 << 20
