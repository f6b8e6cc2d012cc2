"""Writes unicode.[ch] and nfc.h of kernels/core/text/: classes of characters, and canonical composition.

    pip install unicodedata2==16.0.0 tokenizers && python scripts/unicode_tables.py

Unicode 16.0 is what Oniguruma knows, the regular expressions of Hugging Face's `tokenizers`; a newer version
would split text that has characters of 2025 otherwise than the models' own tokenizer does. Its normalizer is
older: characters that it does not know, found by asking it, stay as they are. (Neither a decomposition nor a
combining class ever changes once a character has it.)
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

import unicodedata2
from tokenizers import normalizers

VERSION = "16.0.0"
OTHER, MARK, SPACE, NUMBER, UPPER, LOWER, LETTER = range(7)
CARE = 8  # text with such a character may not be normalized
BLOCK, GROUP = 16, 32  # code points in a block, blocks in a group
# The property White_Space, which no Python module exposes (str.isspace also holds U+001C..U+001F).
WHITE_SPACE = {*range(0x9, 0xE), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B)}
WHITE_SPACE |= {0x2028, 0x2029, 0x202F, 0x205F, 0x3000}
CLASSES = {"Lu": UPPER, "Lt": UPPER, "Ll": LOWER, "Lm": LETTER, "Lo": LETTER}
CODES = [code for code in range(0x110000) if not 0xD800 <= code < 0xE000]
HANGUL_VOWELS_AND_FINALS = {*range(0x1161, 0x1176), *range(0x11A8, 0x11C3)}


def classify(code: int) -> int:
    if code in WHITE_SPACE:
        return SPACE
    category = unicodedata2.category(chr(code))
    return CLASSES.get(category, {"M": MARK, "N": NUMBER}.get(category[0], OTHER))


class Composition:
    """What `tokenizers` knows of Unicode's canonical decompositions and combining classes."""

    def __init__(self) -> None:
        self.decompose = normalizers.NFD().normalize_str
        self.compose = normalizers.NFC().normalize_str
        self.pairs = {code: pair for code in CODES if (pair := self.pair(code))}
        self.classes = {code: unicodedata2.combining(chr(code)) for code in CODES if self.moves(code)}

    def pair(self, code: int) -> tuple[int, int] | None:
        """The decomposition in one step; the second is 0 where it is another single character."""
        given = unicodedata2.decomposition(chr(code))
        if not given or given.startswith("<") or self.decompose(chr(code)) == chr(code):
            return None
        first, *second = (int(part, 16) for part in given.split())
        return first, second[0] if second else 0

    def moves(self, code: int) -> bool:
        """Whether it has a combining class that the library knows: then one of two marks changes places with
        it."""
        if not unicodedata2.combining(chr(code)):
            return False
        texts = (f"\u05d0\u302e{chr(code)}\u0334", f"\u05d0\u0345{chr(code)}\u0334")
        return any(
            unicodedata2.normalize("NFD", text) != text
            and self.decompose(text) == unicodedata2.normalize("NFD", text)
            for text in texts
        )

    def composes(self, code: int) -> bool:
        first, second = self.pairs[code]
        return bool(second) and self.compose(chr(first) + chr(second)) == chr(code)

    def care(self) -> set[int]:
        seconds = {second for code, (_, second) in self.pairs.items() if self.composes(code)}
        changed = {code for code in self.pairs if self.compose(chr(code)) != chr(code)}
        return {*self.classes, *seconds, *changed, *HANGUL_VOWELS_AND_FINALS}


def rows(values: Iterable[object]) -> str:
    return textwrap.fill(", ".join(map(str, values)), 108, initial_indent="    ", subsequent_indent="    ")


def share(values: Sequence[object], size: int) -> tuple[list[int], list[object]]:
    """For each `size` values the number of their part, and the different parts one after the other."""
    parts: dict[tuple[object, ...], int] = {}
    index = [parts.setdefault(tuple(values[i : i + size]), len(parts)) for i in range(0, len(values), size)]
    return index, [value for part in parts for value in part]


def class_tables(care: set[int]) -> tuple[list[int], list[object], list[object]]:
    """Groups of blocks up to the last that is not all OTHER; the groups' blocks; the blocks, two classes a
    byte."""
    classes = [classify(code) | CARE * (code in care) for code in range(0x110000)]
    blocks, parts = share(classes, BLOCK)
    zero = next(k for k in range(len(parts) // BLOCK) if not any(parts[k * BLOCK : (k + 1) * BLOCK]))
    groups, members = share(blocks, GROUP)
    while all(member == zero for member in members[groups[-1] * GROUP :][:GROUP]):
        groups.pop()
    packed = [int(str(low)) | int(str(high)) << 4 for low, high in zip(parts[::2], parts[1::2], strict=True)]
    return groups, members, list(packed)


def unicode_files(care: set[int]) -> tuple[str, str, int]:
    """The header, the source that has its tables, and their bytes."""
    groups, members, packed = class_tables(care)
    header = f"""/* Made by scripts/unicode_tables.py from Unicode {VERSION}; the tables are in unicode.c. */
#ifndef TINI_UNICODE_H
#define TINI_UNICODE_H

#include <stdint.h>

/* White space is the property White_Space; UPPER is Lu and Lt, LOWER is Ll, LETTER is Lm and Lo, MARK is M,
 * NUMBER is N. All from UPPER on are letters. */
enum {{ TINI_OTHER, TINI_MARK, TINI_SPACE, TINI_NUMBER, TINI_UPPER, TINI_LOWER, TINI_LETTER }};
enum {{ TINI_UNICODE_GROUPS = {len(groups)} }};

/* The row of tini_unicode_blocks for each {BLOCK * GROUP} code points; past the end all are OTHER. */
extern const uint8_t tini_unicode_groups[TINI_UNICODE_GROUPS];

/* The row of tini_unicode_classes for each {BLOCK} code points. */
extern const uint16_t tini_unicode_blocks[{len(members) // GROUP} * {GROUP}];

/* Two classes a byte, the lower code point in the low four bits. Bit 3 is set where a character may change when
 * text is normalized (NFC), or may change the ones before it. */
extern const uint8_t tini_unicode_classes[{2 * len(packed) // BLOCK} * {BLOCK // 2}];

static inline uint32_t tini_unicode_entry(uint32_t code) {{
    uint32_t group = code / {BLOCK * GROUP};
    if (group >= TINI_UNICODE_GROUPS)
        return TINI_OTHER;
    uint32_t block = tini_unicode_blocks[tini_unicode_groups[group] * {GROUP} + (code / {BLOCK} & {GROUP - 1})];
    return tini_unicode_classes[block * {BLOCK // 2} + (code & {BLOCK - 1}) / 2] >> 4 * (code & 1) & 15;
}}

static inline uint32_t tini_unicode_class(uint32_t code) {{
    return tini_unicode_entry(code) & 7;
}}

#endif
"""
    source = f"""/* Made by scripts/unicode_tables.py from Unicode {VERSION}; unicode.h says what this is. */
#include "unicode.h"

/* clang-format off */

const uint8_t tini_unicode_groups[TINI_UNICODE_GROUPS] = {{
{rows(groups)}
}};

const uint16_t tini_unicode_blocks[{len(members) // GROUP} * {GROUP}] = {{
{rows(members)}
}};

const uint8_t tini_unicode_classes[{2 * len(packed) // BLOCK} * {BLOCK // 2}] = {{
{rows(packed)}
}};
"""
    return header, source, len(groups) + 2 * len(members) + len(packed)


def nfc_header(known: Composition) -> tuple[str, int]:
    codes = sorted(known.pairs)
    kinds = sorted({(first >> 16, second) for first, second in known.pairs.values()})
    assert kinds[0] == (0, 0) and len(kinds) < 256
    kind_of = {kind: number for number, kind in enumerate(kinds)}
    pairs = [known.pairs[code] for code in codes]
    spans = [i for i, code in enumerate(codes) if not i or codes[i - 1] + 1 != code]
    composed = [i for i, code in enumerate(codes) if known.composes(code)]
    composed.sort(key=lambda i: pairs[i])
    runs: list[list[int]] = []
    for code, order in sorted(known.classes.items()):
        if runs and runs[-1][0] + runs[-1][1] == code and runs[-1][2] == order and runs[-1][1] < 255:
            runs[-1][1] += 1
        else:
            runs.append([code, 1, order])
    text = f"""/* Made by scripts/unicode_tables.py: canonical composition as Hugging Face has it. */
#ifndef TINI_NFC_H
#define TINI_NFC_H

#include <stdint.h>

enum {{ TINI_NFC_PAIRS = {len(codes)}, TINI_NFC_SPANS = {len(spans)} }};
enum {{ TINI_NFC_COMPOSED = {len(composed)}, TINI_NFC_RUNS = {len(runs)} }};

/* clang-format off */

/* Characters that have a decomposition lie in spans: the first one's code point, and its place in the tables
 * below. */
static const uint32_t tini_nfc_spans[TINI_NFC_SPANS] = {{
{rows(f"0x{codes[i]:X}" for i in spans)}
}};
static const uint16_t tini_nfc_places[TINI_NFC_SPANS + 1] = {{
{rows([*spans, len(codes)])}
}};

/* Decompositions in one step, ascending by the character: the low 16 bits of the first of two, and the number
 * of what else there is. */
static const uint16_t tini_nfc_firsts[TINI_NFC_PAIRS] = {{
{rows(f"0x{first & 0xFFFF:X}" for first, _ in pairs)}
}};
static const uint8_t tini_nfc_kinds[TINI_NFC_PAIRS] = {{
{rows(kind_of[first >> 16, second] for first, second in pairs)}
}};

/* The second character, 0 where there is none; in the high byte what the first has above its low 16 bits. */
static const uint32_t tini_nfc_seconds[{len(kinds)}] = {{
{rows(f"0x{plane << 24 | second:X}" for plane, second in kinds)}
}};

/* The places of pairs that compose, ascending by the first character, then by the second. */
static const uint16_t tini_nfc_composed[TINI_NFC_COMPOSED] = {{
{rows(composed)}
}};

/* Combining classes, ascending: the first code point, with the number of those of this class in the high byte;
 * and the class. */
static const uint32_t tini_nfc_runs[TINI_NFC_RUNS] = {{
{rows(f"0x{length << 24 | start:X}" for start, length, _ in runs)}
}};
static const uint8_t tini_nfc_orders[TINI_NFC_RUNS] = {{
{rows(order for _, _, order in runs)}
}};

/* clang-format on */

#endif
"""
    size = 6 * len(spans) + 3 * len(codes) + 4 * len(kinds) + 2 * len(composed) + 5 * len(runs)
    return text, size


def main() -> None:
    if unicodedata2.unidata_version != VERSION:
        raise SystemExit(f"unicodedata2 has Unicode {unicodedata2.unidata_version}; {VERSION} is wanted")
    known = Composition()
    text = Path(__file__).parents[1] / "kernels" / "core" / "text"
    header, source, size = unicode_files(known.care())
    composition, more = nfc_header(known)
    for name, content in {"unicode.h": header, "unicode.c": source, "nfc.h": composition}.items():
        (text / name).write_text(content, encoding="utf-8")
    print(f"{size + more} bytes of tables")


if __name__ == "__main__":
    main()
