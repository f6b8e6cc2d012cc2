"""Constraints in the C core: damaged ones, and those that ask for too much."""

from __future__ import annotations

import random
import struct

import pytest

from tests.kernels.constraint_reference import AB, GRAMMARS, Vocabulary, grammar, ids, tiny_image
from tinsmith import _core
from tinsmith.constraint import makers
from tinsmith.constraint.grammar import (
    Ref,
    Repeat,
    choice,
    optional,
    sequence,
    text,
)
from tinsmith.errors import RuntimeFault

FORMAT, VERSION = "TIN_ERR_FORMAT", "TIN_ERR_VERSION"


def use(model: _core.Model, data: bytes, rng: random.Random) -> bool:
    """Walks a little, if it is taken: no token that a mask has is refused."""
    try:
        constraint = _core.Constraint(model, data, masks=2)
        for _ in range(4):
            allowed = ids(constraint.mask(rng.randrange(9)))
            assert max(allowed, default=0) < model.info()["vocab"]
            for number in constraint.forced([5, 6]):
                constraint.accept(number)
            allowed = ids(constraint.mask())
            if not allowed or constraint.state() == _core.CONSTRAINT_MUST_END:
                break
            constraint.accept(rng.choice(sorted(allowed)))
    except RuntimeFault as error:
        assert error.status in (FORMAT, VERSION, "TIN_ERR_ARGUMENT", "TIN_ERR_UNSUPPORTED")
        return False
    return True


def test_a_damaged_constraint_is_an_error_or_works(tiny: Vocabulary) -> None:
    whole, rng = grammar(sequence((text("in"), Repeat(AB, 70, 75), optional(Ref("start"))))), random.Random(4)
    taken = sum(
        use(tiny.model, whole[:at] + bytes([byte]) + whole[at + 1 :], rng)
        for at in range(len(whole))
        for byte in {whole[at] ^ 1 << rng.randrange(8), 0, 255} - {whole[at]}
    )
    assert 0 < taken < 3 * len(whole)
    for size in range(0, len(whole), 7):
        assert not use(tiny.model, whole[:size], rng)


def test_a_damaged_tree_is_an_error_or_works(tiny: Vocabulary) -> None:
    whole, rng = bytearray(tiny_image()), random.Random(6)
    trie = tiny.model.entry("trie.bin")
    place, data = whole.index(trie), makers.regex("(the|in|[a-f]+ )+").data
    taken = 0
    for at in range(0, len(trie), 3):
        image = tin_copy(whole, place + at, trie[at] ^ 1 << rng.randrange(8))
        try:
            model = _core.Model(image)
        except RuntimeFault as error:
            assert error.status in (FORMAT, VERSION)
            continue
        taken += use(model, data, rng)
    assert taken < len(trie) / 20  # a token of another byte, or another place, is seen


def tin_copy(whole: bytearray, at: int, byte: int) -> memoryview:
    import mmap

    image = mmap.mmap(-1, len(whole))
    image[:] = bytes(whole)
    image[at] = byte
    return memoryview(image)


def test_chains_and_distances_are_checked(tiny: Vocabulary) -> None:
    whole = GRAMMARS["sums"]()
    states, calls = struct.unpack_from("<I4xI", whole, 8)
    assert calls
    call = 64 + 256 + 12 * states
    # A call that enters the state that makes it.
    caller = next(s for s in range(states) if struct.unpack_from("<H", whole, 324 + 12 * s)[0])
    looped = bytearray(whole)
    for k in range(calls):
        struct.pack_into("<I", looped, call + 48 * k, caller)
    with pytest.raises(RuntimeFault, match="calls itself without a byte|call 0 is damaged"):
        _core.Constraint(tiny.model, bytes(looped))
    for state in range(states):
        wrong = bytearray(whole)
        at = 64 + 256 + 12 * state + 8
        struct.pack_into("<I", wrong, at, struct.unpack_from("<I", whole, at)[0] + 1)
        with pytest.raises(RuntimeFault, match="bytes from its end"):
            _core.Constraint(tiny.model, bytes(wrong))


def test_too_many_readings_are_an_error_that_says_so(tiny: Vocabulary) -> None:
    """a^n in n ways: each end of the inner rule may be one of the outer's, so that counts differ."""
    a = Repeat(Repeat(choice((text("a"), text("aa"))), 70, 999), 70, 999)
    constraint = _core.Constraint(tiny.model, grammar(a))
    (letter,) = tiny.canonical("a")
    with pytest.raises(RuntimeFault, match="too ambiguous here: more than 128 readings"):
        for _ in range(2000):
            constraint.accept(letter)
    assert letter not in tiny.ends
    with pytest.raises(RuntimeFault, match="too ambiguous"):
        constraint.mask()


def many_calls(calls: int, *, shared: bool = False) -> bytes:
    """A text that is read in two ways, each in a state of so many calls, none of which can ever be made."""
    enters, readings, end, states = (1, 2), (3, 4), 5, 6
    every, none = bytes([255] * 32), bytes(32)
    first = [struct.pack("<4I", enter, end, 1, 1) + every for enter in enters]
    idle = struct.pack("<4I", enters[0], end, 1, 1) + none
    # first call, calls, accepts, distance of: the start, what it calls, what that leads to, the end
    ways = [(2, calls, 1, 0), (2 if shared else 2 + calls, calls, 1, 0)]
    after = 2 + calls * (1 if shared else 2)
    infos = [(0, 2, 0, 1), (2, 0, 0, 1), (2, 0, 0, 1), *ways, (after, 0, 1, 0)]
    table = [0xFFFF, *readings, *readings, 0xFFFF]
    return b"".join(
        (
            struct.pack("<8I32x", 0x4E4F4354, 1, states, 256, after, 0, 4096, 1),
            bytes(range(256)),
            *(struct.pack("<IHHI", *info) for info in infos),
            *first,
            idle * (after - 2),
            *(struct.pack("<H", to) * 256 for to in table),
        )
    )


def test_a_state_of_many_calls_is_an_error_before_it_takes_seconds(tiny: Vocabulary) -> None:
    """Every byte at every place of the tree of tokens would look at all of them."""
    (letter,) = tiny.canonical("a")
    for count in (100, 40_000, 65_533):
        constraint = _core.Constraint(tiny.model, many_calls(count))
        assert letter in ids(constraint.mask())
        constraint.accept(letter)
        assert constraint.state() == _core.CONSTRAINT_MAY_END
        if count == 100:
            assert letter in ids(constraint.mask())
            continue
        with pytest.raises(RuntimeFault, match="too large here: more than 16777216") as fault:
            constraint.mask()
        assert fault.value.status == "TIN_ERR_UNSUPPORTED"
        constraint.begin()
        assert letter in ids(constraint.mask())


def test_states_that_share_calls_are_refused(smol: Vocabulary) -> None:
    """Checking 65,533 states that share 65,533 calls would take minutes."""
    with pytest.raises(RuntimeFault, match="state 4 is damaged") as fault:
        _core.Constraint(smol.model, many_calls(9, shared=True))
    assert fault.value.status == FORMAT
