"""Packs a tokenizer for the C core; kernels/core/text/tokenizer.h documents the layout."""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterable, Sequence
from itertools import accumulate

from tinsmith import _core
from tinsmith.errors import FormatError, RuntimeFault, UnsupportedError
from tinsmith.spec import Tokenizer
from tinsmith.tokenizer.pretokenizers import pretokenizer
from tinsmith.tokenizer.sentencepiece import SPACE, byte_of, ranked

MODELS = ("bpe", "sentencepiece", "unigram")

MAGIC = 0x4B4F5454
VERSION = 2
EMPTY = 0xFFFFFFFF
KINDS = {"normal": 0, "control": 1, "user": 2, "unused": 3, "unknown": 1, "byte": 0}
ENDS_GENERATION = 4
ADD_BOS, ADD_EOS, NFC, SPACES, UNK, FUSE_UNK, SPLIT_SPACES = 1, 2, 4, 8, 256, 512, 128
PREFIXES = {"none": 0, "prepend": 16, "always": 32, "first": 64}
LSTRIP, RSTRIP, NORMALIZED = 1, 2, 4
JOINT_BYTES = 8192
# Distance of an unknown character's score from the worst token's, as in SentencePiece.
UNKNOWN_PENALTY = 10.0


def byte_alphabet() -> list[str]:
    """The character for each byte in a byte-level vocabulary (GPT-2's bytes_to_unicode): itself in printable
    Latin-1, else a code point from 256 on."""
    printable = {*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = (byte for byte in range(256) if byte not in printable)
    moved = {byte: 256 + i for i, byte in enumerate(others)}
    return [chr(moved.get(byte, byte)) for byte in range(256)]


ALPHABET = byte_alphabet()
BYTE_OF = {character: byte for byte, character in enumerate(ALPHABET)}


def token_text(token: str, kind: str, model: str = "bpe") -> bytes:
    """A token's raw bytes. Byte-level models write normal tokens in the byte-level alphabet; a token with
    another character is plain text, as in Hugging Face's decoder. Other models write a space as U+2581."""
    if model == "bpe":
        if kind == "normal" and BYTE_OF.keys() >= set(token):
            return bytes(map(BYTE_OF.__getitem__, token))
    elif kind == "byte" and (byte := byte_of(token)) is not None:
        return bytes([byte])
    elif kind not in ("control", "unknown"):
        token = token.replace(SPACE, " ")
    return token.encode("utf-8", "surrogatepass")


def encode(tokenizer: Tokenizer) -> bytes:
    """tokenizer.bin. Raises UnsupportedError for an unknown pre-tokenizer, FormatError for an inconsistent
    vocabulary."""
    t = tokenizer
    check(t)
    texts = [token_text(token, kind, t.model) for token, kind in zip(t.tokens, t.types, strict=True)]
    ids = {token: i for i, token in enumerate(t.tokens)}
    is_text = matched(t)
    merges = resolve_merges(t, ids) if t.model != "unigram" else []
    offsets = list(accumulate(map(len, texts), initial=0))
    specials, written = special_tokens(t, texts, offsets)
    merge_slots, text_slots = slots(len(merges)), slots(sum(is_text))
    header = struct.pack(
        "<10I4i2I16s",
        *(MAGIC, VERSION, MODELS.index(t.model), flags(t)),
        *(len(texts), len(merges), merge_slots, text_slots, len(specials), offsets[-1] + len(written)),
        *(-1 if i is None else i for i in (t.bos, t.eos, t.unk, t.pad)),
        *(0, 0),  # bytes of the longest text, which the core finds
        pretokenizer(t.pre).split.encode() if t.model == "bpe" else b"",
    )
    kinds = bytearray(KINDS[kind] for kind in t.types)
    for end in t.end_tokens:
        kinds[end] |= ENDS_GENERATION
    parts = [
        header,
        score_part(t) if t.model == "unigram" else b"",
        words(offsets),
        words(word for merge in merges for word in merge),
        words([EMPTY]) * (merge_slots + text_slots),
        words(word for special in specials for word in special),
        struct.pack("<256i", *byte_ids(t, ids)),
        bytes(JOINT_BYTES) if t.model == "sentencepiece" else b"",
        bytes(kinds),
        *texts,
        written,
    ]
    try:
        return _core.index_tokenizer(b"".join(parts), t.ignore_merges, bytes(is_text))
    except RuntimeFault as fault:
        raise FormatError(f"the tokenizer can't be compiled: {fault}") from fault


def words(values: Iterable[int]) -> bytes:
    """Little-endian uint32."""
    packed = array("I", values)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def slots(count: int) -> int:
    """The slots of a hash table that is at most half full."""
    return 1 << max(1, (2 * count).bit_length())


def flags(t: Tokenizer) -> int:
    spaces = t.model != "bpe"
    return (
        (ADD_BOS * t.add_bos | ADD_EOS * t.add_eos | NFC * t.nfc | SPACES * spaces | PREFIXES[t.prefix])
        | (SPLIT_SPACES * t.split_spaces)
        | (UNK * (spaces and t.unk is not None))
        | (FUSE_UNK * (t.fuse_unk or t.model == "unigram"))
    )


def check(t: Tokenizer) -> None:
    if t.model not in MODELS or t.prefix not in PREFIXES:
        raise UnsupportedError(f"tokenizer {t.model!r} with the prefix {t.prefix!r} is not supported")
    if (t.model == "bpe" and (t.prefix != "none" or t.split_spaces)) or (
        t.model != "bpe" and (t.nfc or t.ignore_merges)
    ):
        raise UnsupportedError(f"tokenizer {t.model!r}: these space, merge and NFC rules are not supported")


def matched(t: Tokenizer) -> list[bool]:
    """Whether the text lookup finds each token. User tokens are found earlier, unless normalization makes
    them."""
    if t.model == "bpe":
        letters = BYTE_OF.keys()
        return [k == "normal" and letters >= set(token) for token, k in zip(t.tokens, t.types, strict=True)]
    return [
        (kind == "normal" or (kind == "user" and SPACE in token)) and " " not in token
        for token, kind in zip(t.tokens, t.types, strict=True)
    ]


def resolve_merges(t: Tokenizer, ids: dict[str, int]) -> list[tuple[int, int, int, int]]:
    """(left, right, merged, rank), ids in order of rank. No merge may make a control token."""
    control = {i for i, kind in enumerate(t.types) if KINDS[kind] == KINDS["control"]}
    merges = []
    given = ranked(t) if t.model == "sentencepiece" else ((a, b, k) for k, (a, b) in enumerate(t.merges))
    for left, right, rank in given:
        try:
            merge = ids[left], ids[right], ids[left + right], rank
        except KeyError as error:
            missing = error.args[0]
            raise FormatError(
                f"tokenizer's merge {rank} ({left!r} {right!r}) needs the token {missing!r}, which it lacks"
            ) from None
        if merge[2] in control:
            raise FormatError(f"tokenizer's merge {rank} makes the control token {left + right!r} out of text")
        merges.append(merge)
    return merges


def special_tokens(
    t: Tokenizer, texts: Sequence[bytes], offsets: Sequence[int]
) -> tuple[list[tuple[int, int, int, int]], bytes]:
    """(token, offset, length, flags) of non-empty control and user tokens in order of their bytes; and the
    bytes that differ from the tokens' text."""
    by_text = {
        token.encode("utf-8", "surrogatepass"): i
        for i, (token, kind) in enumerate(zip(t.tokens, t.types, strict=True))
        if kind in ("control", "unknown", "user") and token
    }
    bits = {LSTRIP: set(t.lstrip), RSTRIP: set(t.rstrip), NORMALIZED: set(t.normalized)}
    entries, written = [], bytearray()
    for text in sorted(by_text):
        token = by_text[text]
        at = offsets[token]
        if text != texts[token]:
            at = offsets[-1] + len(written)
            written += text
        entries.append((token, at, len(text), sum(bit for bit, tokens in bits.items() if token in tokens)))
    return entries, bytes(written)


def byte_ids(t: Tokenizer, ids: dict[str, int]) -> list[int]:
    """The token of each byte, or -1: a byte-level vocabulary may lack some bytes, others all."""
    if t.model == "bpe":
        candidates = [ids.get(character, -1) for character in ALPHABET]
        for i in candidates:
            if i >= 0 and t.types[i] in ("control", "user"):
                raise FormatError(
                    f"tokenizer's token {t.tokens[i]!r} is a byte of text and a {t.types[i]} token too, so "
                    "text would lose that byte; take it out of the added tokens"
                )
        return [i if i >= 0 and t.types[i] == "normal" else -1 for i in candidates]
    tokens = {byte_of(token): i for i, token in enumerate(t.tokens) if t.types[i] == "byte"}
    # A character that is a token (Gemma 2's tab) needs no byte token.
    alone = {byte: ids.get(chr(byte), -1) for byte in range(128)} if tokens else {}
    all_bytes = [tokens.get(byte, alone.get(byte, -1)) for byte in range(256)]
    if tokens and (-1 in all_bytes or None in tokens):
        raise FormatError(f"tokenizer has tokens for {len(tokens)} bytes; it must have <0x00> to <0xFF>")
    return all_bytes


def score_part(t: Tokenizer) -> bytes:
    if t.scores is None:
        raise FormatError("a unigram tokenizer needs scores")
    normal = [score for score, kind in zip(t.scores, t.types, strict=True) if kind == "normal"]
    unknown = min(normal, default=0.0) - UNKNOWN_PENALTY
    return struct.pack(f"<{len(t.scores) + 1}d", *t.scores, unknown)
