"""A tokenizer to the bytes that the C core uses in place; kernels/core/tokenizer.h documents them."""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterable

from tinsmith.errors import FormatError, UnsupportedError
from tinsmith.models.spec import Tokenizer

# The names in kernels/core/pretokenizer.c.
PRETOKENIZERS = ("gpt-2", "smollm")

MAGIC = 0x4B4F5454
VERSION = 1
EMPTY = 0xFFFFFFFF
KINDS = {"normal": 0, "control": 1, "user": 2, "unused": 3}
ENDS_GENERATION = 4
ADD_BOS, ADD_EOS = 1, 2


def byte_alphabet() -> list[str]:
    """The character that stands for each byte in a byte-level vocabulary (GPT-2's bytes_to_unicode): printable
    Latin-1 stands for itself, the others take code points from 256 on."""
    printable = {*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = (byte for byte in range(256) if byte not in printable)
    moved = {byte: 256 + i for i, byte in enumerate(others)}
    return [chr(moved.get(byte, byte)) for byte in range(256)]


ALPHABET = byte_alphabet()
BYTE_OF = {character: byte for byte, character in enumerate(ALPHABET)}


def token_text(token: str, kind: str) -> bytes:
    """A token's raw bytes. Only type "normal" is written in the byte-level alphabet; a normal token that has a
    character outside it is plain text, as Hugging Face's byte-level decoder takes it."""
    if kind == "normal":
        try:
            return bytes(map(BYTE_OF.__getitem__, token))
        except KeyError:
            pass
    return token.encode("utf-8", "surrogatepass")


def encode(tokenizer: Tokenizer) -> bytes:
    """tokenizer.bin. Raises UnsupportedError for an unknown pre-tokenizer, FormatError for a vocabulary that
    contradicts itself."""
    t = tokenizer
    if t.pre not in PRETOKENIZERS:
        raise UnsupportedError(f"pre-tokenizer {t.pre!r} is not supported; known: {', '.join(PRETOKENIZERS)}")
    check(t)
    texts = [token_text(token, kind) for token, kind in zip(t.tokens, t.types, strict=True)]
    ids = {token: i for i, token in enumerate(t.tokens)}
    merges = resolve_merges(t, ids)
    slots = hash_merges(merges)
    specials = special_tokens(t, texts)
    kinds = bytearray(KINDS[kind] for kind in t.types)
    for end in t.end_tokens:
        kinds[end] |= ENDS_GENERATION
    offsets = [0]
    for text in texts:
        offsets.append(offsets[-1] + len(text))
    header = struct.pack(
        "<8I4i16s",
        *(MAGIC, VERSION, len(texts), len(merges), len(slots), len(specials), offsets[-1]),
        ADD_BOS * t.add_bos | ADD_EOS * t.add_eos,
        *(-1 if i is None else i for i in (t.bos, t.eos, t.unk, t.pad)),
        t.pre.encode(),
    )
    parts = [
        header,
        words(offsets),
        words(word for merge in merges for word in merge),
        words(slots),
        words(specials),
        struct.pack("<256i", *byte_ids(t, ids)),
        bytes(kinds),
        *texts,
    ]
    return b"".join(parts)


def words(values: Iterable[int]) -> bytes:
    """Little-endian uint32."""
    packed = array("I", values)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def check(t: Tokenizer) -> None:
    if len(t.types) != len(t.tokens):
        raise FormatError(f"tokenizer has {len(t.tokens)} tokens but {len(t.types)} token types")
    if unknown := set(t.types) - KINDS.keys():
        raise FormatError(f"tokenizer has the token type {min(unknown)!r}; known: {', '.join(KINDS)}")
    named = {"bos": t.bos, "eos": t.eos, "unk": t.unk, "pad": t.pad}
    named |= {f"end_tokens[{i}]": end for i, end in enumerate(t.end_tokens)}
    for name, token in named.items():
        if token is not None and not 0 <= token < len(t.tokens):
            raise FormatError(f"tokenizer's {name} is {token}; its ids are 0 to {len(t.tokens) - 1}")


def resolve_merges(t: Tokenizer, ids: dict[str, int]) -> list[tuple[int, int, int]]:
    """(left, right, merged) ids in order of rank. No text may make a control token, so no merge may."""
    merges = []
    for rank, (left, right) in enumerate(t.merges):
        try:
            merge = ids[left], ids[right], ids[left + right]
        except KeyError as error:
            missing = error.args[0]
            raise FormatError(
                f"tokenizer's merge {rank} ({left!r} {right!r}) needs the token {missing!r}, which it lacks"
            ) from None
        if t.types[merge[2]] == "control":
            raise FormatError(f"tokenizer's merge {rank} makes the control token {left + right!r} out of text")
        merges.append(merge)
    return merges


def hash_merges(merges: list[tuple[int, int, int]]) -> list[int]:
    """The slots of tokenizer.h, at most half full. Of a pair that stands twice, the later rank counts."""
    ranks = {(left, right): rank for rank, (left, right, _) in enumerate(merges)}
    bits = max(1, (2 * len(ranks)).bit_length())
    slots = [EMPTY] * (1 << bits)
    mask = len(slots) - 1
    for (left, right), rank in ranks.items():
        h = (left * 0x9E3779B1 + right * 0x85EBCA77) & 0xFFFFFFFF
        slot = ((h ^ h >> 15) * 0x2C1B3C6D & 0xFFFFFFFF) >> (32 - bits)
        while slots[slot] != EMPTY:
            slot = (slot + 1) & mask
        slots[slot] = rank
    return slots


def special_tokens(t: Tokenizer, texts: list[bytes]) -> list[int]:
    """Ids of the control and user tokens in order of their bytes. An empty one can't be matched."""
    by_text = {texts[i]: i for i, kind in enumerate(t.types) if kind in ("control", "user") and texts[i]}
    return [by_text[text] for text in sorted(by_text)]


def byte_ids(t: Tokenizer, ids: dict[str, int]) -> list[int]:
    """The normal token of each byte, or -1: a vocabulary may lack bytes that its training text never had."""
    found = (ids.get(character, -1) for character in ALPHABET)
    return [i if i >= 0 and t.types[i] == "normal" else -1 for i in found]
