"""A chat template's table to the bytes that the C core uses in place; kernels/core/turns.h documents them."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from tinsmith.compiler.tokenizer import token_text, words
from tinsmith.formats.turns import TurnTable
from tinsmith.models.spec import Tokenizer

MAGIC = 0x4E525554
VERSION = 1
STRIP = 1


def encode(table: TurnTable, tokenizer: Tokenizer) -> bytes:
    """turns.bin: every text of the table cut at the control tokens written in it, leftmost, then longest."""
    control = {
        token_text(token, kind): i
        for i, (token, kind) in enumerate(zip(tokenizer.tokens, tokenizer.types, strict=True))
        if kind == "control" and token
    }
    pattern = re.compile(b"|".join(map(re.escape, sorted(control, key=len, reverse=True))) or rb"(?!)")
    first, parts, plain = [0], bytearray(), bytearray()
    for text in _texts(table):
        at, data = 0, text.encode("utf-8", "surrogatepass")
        for found in pattern.finditer(data):
            plain += data[at : found.start()]
            parts += struct.pack("<Ii", len(plain), control[found.group()])
            at = found.end()
        if at < len(data):
            plain += data[at:]
            parts += struct.pack("<Ii", len(plain), -1)
        first.append(len(parts) // 8)
    header = struct.pack("<5I", MAGIC, VERSION, STRIP * table.strip, first[-1], len(plain))
    return b"".join((header, words(first), parts, plain))


def _texts(table: TurnTable) -> Iterator[str]:
    """In the order of TINI_TURN_*."""
    yield table.start_system
    yield table.start
    yield from (table.opening[role] for role in ("user", "assistant"))
    yield from (table.ending[role] for role in ("system", "user", "assistant"))
    yield table.generation
