"""Writes kernels/core/unicode.h: which code points are letters, numbers and white space.

    pip install unicodedata2==16.0.0 && python scripts/unicode_tables.py

Unicode 16.0 is what Oniguruma knows, the regular expressions of Hugging Face's `tokenizers`; a newer version
would split text that has characters of 2025 otherwise than the models' own tokenizer does.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from pathlib import Path

import unicodedata2

VERSION = "16.0.0"
OTHER, LETTER, NUMBER, SPACE = range(4)
BLOCK = 256
# The property White_Space, which no Python module exposes (str.isspace also holds U+001C..U+001F).
WHITE_SPACE = {*range(0x9, 0xE), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B)}
WHITE_SPACE |= {0x2028, 0x2029, 0x202F, 0x205F, 0x3000}


def classify(code: int) -> int:
    if code in WHITE_SPACE:
        return SPACE
    return {"L": LETTER, "N": NUMBER}.get(unicodedata2.category(chr(code))[0], OTHER)


def pack(classes: list[int]) -> bytes:
    """Four classes a byte, the first in the low bits."""
    quads = zip(*(classes[i::4] for i in range(4)), strict=True)
    return bytes(a | b << 2 | c << 4 | d << 6 for a, b, c, d in quads)


def rows(values: Iterable[int]) -> str:
    return textwrap.fill(", ".join(map(str, values)), 108, initial_indent="    ", subsequent_indent="    ")


def tables() -> tuple[list[int], list[bytes]]:
    """The block of each 256 code points up to the last that is not OTHER, and the different blocks."""
    index: list[int] = []
    blocks: dict[bytes, int] = {}
    for start in range(0, 0x110000, BLOCK):
        block = pack([classify(code) for code in range(start, start + BLOCK)])
        index.append(blocks.setdefault(block, len(blocks)))
    while index[-1] == blocks[bytes(BLOCK // 4)]:
        index.pop()
    return index, list(blocks)


def main() -> None:
    if unicodedata2.unidata_version != VERSION:
        raise SystemExit(f"unicodedata2 has Unicode {unicodedata2.unidata_version}; {VERSION} is wanted")
    index, blocks = tables()
    initializers = ",\n".join(f"    {{{rows(block).strip()}}}" for block in blocks)
    text = f"""/* Made by scripts/unicode_tables.py from Unicode {VERSION}. */
#ifndef TINI_UNICODE_H
#define TINI_UNICODE_H

#include <stdint.h>

enum {{ TINI_OTHER, TINI_LETTER, TINI_NUMBER, TINI_SPACE, TINI_UNICODE_BLOCKS = {len(index)} }};

/* clang-format off */

/* The row of tini_unicode_classes that holds code points 256 k .. 256 k + 255; past the end all are OTHER. */
static const uint8_t tini_unicode_index[TINI_UNICODE_BLOCKS] = {{
{rows(index)}
}};

/* Four classes a byte, the lowest code point in the low two bits. */
static const uint8_t tini_unicode_classes[{len(blocks)}][{BLOCK // 4}] = {{
{initializers}
}};

/* clang-format on */

static inline uint32_t tini_unicode_class(uint32_t code) {{
    uint32_t block = code >> 8;
    if (block >= TINI_UNICODE_BLOCKS)
        return TINI_OTHER;
    return tini_unicode_classes[tini_unicode_index[block]][(code & 255) >> 2] >> 2 * (code & 3) & 3;
}}

#endif
"""
    path = Path(__file__).parents[1] / "kernels" / "core" / "unicode.h"
    path.write_text(text, encoding="utf-8")
    print(f"{path}: {len(index) + len(blocks) * BLOCK // 4} bytes of tables")


if __name__ == "__main__":
    main()
