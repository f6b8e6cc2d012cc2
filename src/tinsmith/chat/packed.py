"""Encodes turn tables for the C core, which uses the bytes in place (kernels/core/text/turns.h)."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from tinsmith.chat.turns import MODES, ROLES, SLOTS, STRIPS, Turns, TurnTable
from tinsmith.errors import UnsupportedError
from tinsmith.spec import Tokenizer
from tinsmith.tokenizer.packed import token_text, words

MAGIC = 0x4E525554
VERSION = 2
NONE = 0xFFFFFFFF
FLAGS = {
    "strict": 1, "no_system": 2, "no_tool": 4, "escaped": 8, "bare": 16, "single": 32, "thoughts": 64,
    "asked": 256, "spelled": 512,
}  # fmt: skip
LAST_ANSWER = 128
LONGEST_WORD = 1024


def encode(turns: Turns, tokenizer: Tokenizer) -> bytes:
    """turns.bin. Splits the tables' texts at control tokens, leftmost, then longest.

    Raises UnsupportedError for a table that the core would reject.
    """
    choices = (turns.default, turns.thinking, turns.direct)
    tables: list[TurnTable] = []
    for table in choices:
        if table is not None and table not in tables:
            tables.append(table)
    pattern, control = _control(tokenizer)
    first, parts, plain, special = [0], bytearray(), bytearray(), bytearray()
    for text in (text for table in tables for text in _texts(table)):
        at, data = 0, text.encode("utf-8", "surrogatepass")
        for match in pattern.finditer(data):
            plain += data[at : match.start()]
            parts += struct.pack("<Ii", len(plain), control[match.group()])
            at = match.end()
        if at < len(data):
            plain += data[at:]
            parts += struct.pack("<Ii", len(plain), -1)
        first.append(len(parts) // 8)
    for number, table in enumerate(tables):
        for role, texts in table.special.items():
            for word in texts:
                data = word.encode("utf-8", "surrogatepass")
                if len(data) > LONGEST_WORD:
                    raise UnsupportedError(
                        f"the chat template searches messages for a text of {len(data)} bytes; the maximum is "
                        f"{LONGEST_WORD}"
                    )
                special += struct.pack("<4I", number, ROLES.index(role), len(plain), len(data))
                plain += data
    places = [NONE if table is None else tables.index(table) for table in choices]
    counts = len(special) // 16, len(parts) // 8, len(plain)
    header = struct.pack("<9I", MAGIC, VERSION, len(tables), *places, *counts)
    return b"".join((header, *map(_rules, tables), special, words(first), parts, plain))


def control_texts(tokenizer: Tokenizer) -> list[str]:
    """The texts of the control tokens, without bytes that are not UTF-8."""
    _, control = _control(tokenizer)
    return [text.decode("utf-8", "ignore") for text in control]


def _control(tokenizer: Tokenizer) -> tuple[re.Pattern[bytes], dict[bytes, int]]:
    control = {
        token_text(token, kind): i
        for i, (token, kind) in enumerate(zip(tokenizer.tokens, tokenizer.types, strict=True))
        if kind == "control" and token
    }
    pattern = b"|".join(map(re.escape, sorted(control, key=len, reverse=True))) or rb"(?!)"
    return re.compile(pattern), control


def _rules(table: TurnTable) -> bytes:
    """tini_turn_rules."""
    flags = sum(bit for name, bit in FLAGS.items() if getattr(table, name))
    strips = [STRIPS[table.strip[slot]] for slot in SLOTS]
    thoughts = table.thoughts
    if thoughts is None:
        return struct.pack("<I12B", flags, *strips, *[0] * 7)
    flags += LAST_ANSWER * (thoughts.until == "assistant")
    modes = [MODES.index(mode) for mode in thoughts.places]
    return struct.pack("<I12B", flags, *strips, *modes, STRIPS[thoughts.strip], STRIPS[thoughts.rest], 0, 0)


def _texts(table: TurnTable) -> Iterator[str]:
    """In the order of TINI_TURN_*."""
    yield from (table.start_system, table.start, table.first)
    yield from (table.opening[role] for role in ROLES[1:])
    yield table.between
    yield from (table.ending[role] for role in ROLES)
    yield from (table.finish[role] for role in ROLES[1:])
    yield table.generation
    yield from ("", "") if table.thoughts is None else (table.thoughts.before, table.thoughts.after)
