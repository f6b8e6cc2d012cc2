"""Tokenizing takes steps in proportion to the text, whatever the vocabulary and the text: files that would take
more are refused when they are opened. Steps are counted, not timed (steps.c)."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.kernels import textcore
from tests.kernels.textcore import SPECIAL, Opened
from tests.kernels.tokenizer_kinds import tiny
from tinsmith.errors import FormatError
from tinsmith.spec import Tokenizer
from tinsmith.tokenizer.packed import EMPTY, MODELS, encode

# Of a sound vocabulary, a byte of the worst text; from n to 4 n bytes they may only grow by as many.
STEPS_A_BYTE = 400


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    return textcore.load_core(tmp_path_factory.mktemp("counted"), *textcore.COUNTED)


def steps(core: ctypes.CDLL, work: Callable[[], object]) -> int:
    counter = ctypes.c_uint64.in_dll(core, "steps")
    before = counter.value
    work()
    return counter.value - before


def hostile_texts(t: Tokenizer) -> dict[str, bytes]:
    """What a search could go over again and again."""
    special = [
        token.encode() for token, kind in zip(t.tokens, t.types, strict=True) if kind in ("control", "user")
    ]
    return {
        "one letter": b"a",
        "spaces": b" ",
        "lines": b"\n",
        "spaces and lines": b" \n",
        "upper case": b"A",
        "digits": b"7",
        "apostrophes": b"'",
        "no UTF-8": b"\xff",
        "marks": "\u0301".encode(),
        "marks out of order": "\u0301\u0323".encode(),
        "wide spaces": "\u3000".encode(),
        "CJK": "漢".encode(),
        "U+2581": "▁".encode(),
        "spelled bytes": b"<0x0A>",
        "specials": b"".join(special),
        "the beginning of one": max(special, key=len)[:-1],
    }


def linear(core: ctypes.CDLL, t: Tokenizer) -> None:
    ours = Opened(core, encode(t))
    for name, piece in hostile_texts(t).items():
        few, many = (piece * (size // len(piece)) for size in (4000, 16000))
        taken = [steps(core, lambda text=text: ours.encode(text, SPECIAL)) for text in (few, many)]
        assert taken[1] < STEPS_A_BYTE * len(many), name
        assert taken[1] < 5 * taken[0], (name, taken)


@pytest.mark.parametrize("model", MODELS)
def test_steps_are_in_proportion_to_the_text(core: ctypes.CDLL, model: str) -> None:
    linear(core, tiny(model))


@pytest.mark.parametrize("strip", ["lstrip", "rstrip"])
def test_specials_of_white_space_do_not_go_over_it_again(core: ctypes.CDLL, strip: str) -> None:
    t = tiny("bpe")
    line = len(t.tokens)
    for normalized in ((), (line,)):
        linear(
            core,
            replace(
                t,
                tokens=[*t.tokens, "\n"],
                types=[*t.types, "user"],
                normalized=(*t.normalized, *normalized),
                **{strip: (line,)},
            ),
        )


def parts(data: bytes) -> tuple[list[int], int]:
    """The header's numbers (vocab, merges, merge_slots, text_slots, specials) and where merge_slots begin."""
    model, _, vocab, merges, *slots = struct.unpack_from("<7I", data, 8)
    scores = 8 * (vocab + 1) if model == MODELS.index("unigram") else 0
    specials = struct.unpack_from("<I", data, 32)[0]
    return [vocab, merges, *slots[:2], specials], 80 + scores + 4 * (vocab + 1) + 16 * merges


def with_slots(data: bytes, text_slots: int, used: int) -> bytes:
    """The file with a hash of texts of so many slots, all of which but the first `used` are empty."""
    (_, _, merge_slots, old, _), at = parts(data)
    at += 4 * merge_slots
    table = struct.pack(f"<{text_slots}I", *[0] * used, *[EMPTY] * (text_slots - used))
    header = data[:28] + struct.pack("<I", text_slots) + data[32:80]
    return header + data[80:at] + table + data[at + 4 * old :]


def test_a_hash_without_empty_slots_is_refused(core: ctypes.CDLL) -> None:
    """A search goes on to an empty one: with one in 2^20 slots it would read 4 MB for each byte of text."""
    data = encode(tiny("unigram"))
    for slots, used in ((1 << 20, (1 << 20) - 1), (1024, 257), (512, 512)):
        with pytest.raises(ValueError, match="no empty slot"):
            Opened(core, with_slots(data, slots, used))


@pytest.mark.parametrize("longest", [1 << 12, (1 << 32) - 1])
@pytest.mark.parametrize("model", MODELS)
def test_a_longest_token_that_is_not_there_is_refused(core: ctypes.CDLL, model: str, longest: int) -> None:
    data = encode(tiny(model))
    with pytest.raises(ValueError, match=rf"its longest token has \d+ bytes, not {longest}"):
        Opened(core, data[:56] + struct.pack("<I", longest) + data[60:])


def more_tokens(t: Tokenizer, tokens: list[str], kind: str) -> Tokenizer:
    scores = None if t.scores is None else [*t.scores, *[-1.0] * len(tokens)]
    return replace(t, tokens=[*t.tokens, *tokens], types=[*t.types, *[kind] * len(tokens)], scores=scores)


def test_a_unigram_token_that_is_too_long_is_refused() -> None:
    """Every length up to the longest is tried at every place of a text."""
    t = tiny("unigram")
    encode(more_tokens(t, ["a" * 256], "normal"))
    with pytest.raises(FormatError, match="a token of 257 bytes; a unigram model's have at most 256"):
        encode(more_tokens(t, ["a" * 257], "normal"))


@pytest.mark.parametrize("kind", ["control", "user"])
@pytest.mark.parametrize("model", MODELS)
def test_a_special_token_that_is_too_long_is_refused(model: str, kind: str) -> None:
    t = tiny(model)
    encode(more_tokens(t, ["<" * 1024], kind))
    with pytest.raises(FormatError, match="special token .* has 1025 bytes; at most 1024"):
        encode(more_tokens(t, ["<" * 1025], kind))


def pair_hash(left: int, right: int) -> int:
    h = (left * 0x9E3779B1 + right * 0x85EBCA77) & 0xFFFFFFFF
    return (h ^ h >> 15) * 0x2C1B3C6D & 0xFFFFFFFF


def flooded(t: Tokenizer, letters: int, merges: int) -> Tokenizer:
    """Merges of pairs of letters whose hashes lie in one 64th of the slots."""
    signs = [chr(0x4E00 + k) for k in range(letters)]
    first = len(t.tokens)
    pairs = [
        (left, right)
        for left in range(letters)
        for right in range(letters)
        if pair_hash(first + left, first + right) >> 26 == 0
    ][:merges]
    assert len(pairs) == merges
    made = [signs[left] + signs[right] for left, right in pairs]
    full = more_tokens(more_tokens(t, signs, "normal"), made, "normal")
    return replace(full, merges=[*t.merges, *((signs[left], signs[right]) for left, right in pairs)])


def test_merges_that_flood_the_hash_are_refused() -> None:
    """As a GGUF could have them, so that every look-up goes over thousands of slots."""
    with pytest.raises(FormatError, match="no empty slot in 256"):
        encode(flooded(tiny("bpe"), 500, 3000))
