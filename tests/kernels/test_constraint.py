"""Masks in the C core, with bounds and control tokens, held to a slow reader and to llguidance."""

from __future__ import annotations

import json
import os
import random
import struct
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.kernels import safety
from tests.kernels.constraint_reference import (
    AB,
    GRAMMARS,
    LETTER,
    Needs,
    Oracle,
    Reference,
    Vocabulary,
    choose,
    grammar,
    ids,
    tiny_image,
)
from tests.models import c_programs
from tests.models.tiny_models import tiny_spec
from tinsmith import _core
from tinsmith.constraint import makers
from tinsmith.constraint.grammar import (
    Ref,
    Repeat,
    choice,
    optional,
    sequence,
    text,
    token,
)
from tinsmith.constraint.json_schema import compile_schema
from tinsmith.errors import RuntimeFault
from tinsmith.formats import tin
from tinsmith.models import family


@pytest.mark.parametrize("name", GRAMMARS)
def test_masks_are_those_of_trying_every_token(smol: Vocabulary, name: str) -> None:
    """Along random walks, with masks kept and with room for one; what is kept gives the same mask again."""
    data = GRAMMARS[name]()
    reference = Reference(data, smol)
    for masks in (0, 1):
        constraint, at, rng = (
            _core.Constraint(smol.model, data, masks=masks),
            reference.start,
            random.Random(name),
        )
        for _ in range(25):
            mask = constraint.mask()
            assert ids(mask) == reference.mask(at)
            assert (constraint.state() != _core.CONSTRAINT_OPEN) == at.ends
            assert constraint.mask() == mask
            number = choose(rng, smol, ids(mask))
            assert (constraint.state() == _core.CONSTRAINT_MUST_END) == (number is None)
            if number is None:
                break
            constraint.accept(number)
            at = reference.walk(at, smol.bytes[number])


@pytest.mark.parametrize("name", ["value", "at most", "names"])
def test_a_constraint_begins_again(smol: Vocabulary, name: str) -> None:
    """What was kept of one answer gives the next the masks of a new constraint."""
    data, rng = GRAMMARS[name](), random.Random(5)
    constraint = _core.Constraint(smol.model, data, masks=8)
    for _ in range(4):
        constraint.begin()
        fresh = _core.Constraint(smol.model, data)
        for _ in range(30):
            mask = fresh.mask()
            assert constraint.mask() == mask
            number = choose(rng, smol, ids(mask))
            if number is None:
                break
            fresh.accept(number)
            constraint.accept(number)


def test_tokens_of_255_bytes_are_the_longest_that_are_allowed() -> None:
    tokenizer = tiny_spec("llama").tokenizer
    tokens, types = [*tokenizer.tokens[:-2], "a" * 255, "b" * 256], [*tokenizer.types[:-2], "user", "user"]
    image = tiny_image(tokenizer=replace(tokenizer, tokens=tokens, types=types))
    vocabulary = Vocabulary(_core.Model(image))
    constraint = _core.Constraint(vocabulary.model, makers.regex("a{255}|b{256}").data)
    longest, longer = vocabulary.size - 2, vocabulary.size - 1
    allowed = ids(constraint.mask())
    assert longest in allowed and longer not in allowed
    constraint.accept(longest)
    assert constraint.state() == _core.CONSTRAINT_MUST_END


def test_mask_into_and_state_and_size(tiny: Vocabulary) -> None:
    constraint = _core.Constraint(tiny.model, makers.regex("a|ab").data, masks=3)
    room = bytearray(len(constraint.mask()) + 4)
    constraint.mask_into(room)
    assert bytes(room[:-4]) == constraint.mask()
    with pytest.raises(ValueError, match="a mask has"):
        constraint.mask_into(bytearray(4))
    (a,), (b,) = tiny.canonical("a"), tiny.canonical("b")
    assert constraint.state() == _core.CONSTRAINT_OPEN
    constraint.accept(a)
    assert constraint.state() == _core.CONSTRAINT_MAY_END
    with pytest.raises(RuntimeFault, match="is not allowed here"):
        constraint.accept(a)
    constraint.accept(b)
    assert constraint.state() == _core.CONSTRAINT_MUST_END
    assert ids(constraint.mask()) == set(tiny.ends)
    constraint.accept(tiny.ends[0])
    with pytest.raises(RuntimeFault, match="is not allowed here"):
        constraint.accept(a)
    constraint.begin()
    with pytest.raises(RuntimeFault, match="can't end here"):
        constraint.accept(tiny.ends[0])
    larger = _core.Constraint(tiny.model, makers.regex("a|ab").data, masks=4)
    assert larger.size() > constraint.size()


# ---- A bound on tokens --------------------------------------------------------------------------------------


WORD = choice((text("on"), text("off")))
BOUNDED: dict[str, Callable[[], bytes]] = {
    "sums": GRAMMARS["sums"],
    "nested": GRAMMARS["nested"],
    "counted twice": lambda: grammar(Repeat(Repeat(AB, 4, 5), 2, 90)),
    "counted and more": lambda: grammar(sequence((Repeat(AB, 2, 90), token(3), text("!")))),
    "counted in brackets": lambda: grammar(
        sequence((text("["), Repeat(sequence((WORD, text(";"))), 1, 90), optional(LETTER), text("]")))
    ),
}


@pytest.mark.parametrize("name", BOUNDED)
def test_near_the_end_only_what_can_be_ended_is_allowed(tiny: Vocabulary, name: str) -> None:
    data = BOUNDED[name]()
    reference, rng = Reference(data, tiny), random.Random(name)
    needs = Needs(reference)
    for _ in range(3):
        constraint, at = _core.Constraint(tiny.model, data), reference.start
        for _ in range(10):
            free, here = ids(constraint.mask()), needs.place(at)
            reached = {n: needs.place(to) for n, to in reference.reached(at).items()}
            ends = set(tiny.ends) if at.ends else set()
            for left in range(1, 12):
                bound = left - 1 if here <= left else here - 1
                want = {number for number, distance in reached.items() if distance <= bound}
                assert ids(constraint.mask(left)) == want | ends
            number = choose(rng, tiny, free)
            if number is None:
                break
            constraint.accept(number)
            at = reference.walk(at, tiny.bytes[number])


@pytest.mark.parametrize("name", ["value", "spaced value", "object", "at least", "short", "names", "control"])
def test_whatever_is_chosen_ends_in_time(smol: Vocabulary, name: str) -> None:
    data, rng = GRAMMARS[name](), random.Random(name)
    reference = Reference(data, smol)
    shortest = Needs(reference).place(reference.start)
    assert shortest <= reference.oracle.shortest
    constraint = _core.Constraint(smol.model, data)
    for most in (shortest, shortest + 1, shortest + 7, shortest + 40):
        for force in (False, True):
            constraint.begin()
            tokens: list[int] = []
            while len(tokens) < most:
                left = most - len(tokens)
                forced = constraint.forced(tokens, left)[:left] if force else []
                number = forced[0] if forced else choose(rng, smol, ids(constraint.mask(left)))
                if number is None:
                    break
                constraint.accept(number)
                tokens.append(number)
            assert constraint.state() != _core.CONSTRAINT_OPEN


def test_a_long_answer_of_few_tokens_is_not_ruled_out(smol: Vocabulary) -> None:
    """A call of more bytes and fewer tokens than 48 may be chosen with 48."""
    long = '{"name":"turn_on_the_light","arguments":{"room":"the living room"}}'
    data = makers.choices(['{"name":"none"}', long]).data
    tokens, constraint = smol.canonical(long), _core.Constraint(smol.model, data)
    assert len(tokens) < 48 < len(long)
    for place, token_ in enumerate(tokens):
        assert token_ in ids(constraint.mask(48 - place))
        constraint.accept(token_)


# ---- Depth, prefixes, control tokens -------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 2, 5, 64, 300])
def test_no_frame_is_pushed_past_the_depth(smol: Vocabulary, depth: int) -> None:
    """As many brackets as frames are opened where that is tried, and then closed."""
    data, rng = GRAMMARS["brackets"](), random.Random(depth)
    constraint = _core.Constraint(smol.model, data, depth=depth)
    written = b""
    while constraint.state() != _core.CONSTRAINT_MUST_END:
        allowed = ids(constraint.mask())
        opening = [number for number in allowed if smol.bytes[number].endswith(b"(")]
        number = rng.choice(opening or sorted(allowed))
        constraint.accept(number)
        written += smol.bytes[number]
    assert written == b"(" * depth + b"x" + b")" * depth
    with pytest.raises(RuntimeFault, match="at most 4096"):
        _core.Constraint(smol.model, data, depth=5000)


def test_a_depth_that_allows_no_text_is_refused(tiny: Vocabulary) -> None:
    inner = sequence((text("a"), Repeat(LETTER, 70, 80), text("b")))
    data = grammar(sequence((Repeat(Ref("inner"), 70, 80), text("."))), inner=inner)
    assert Oracle(data).depth == 2
    with pytest.raises(RuntimeFault, match="needs 2 frames"):
        _core.Constraint(tiny.model, data, depth=1)


@pytest.mark.parametrize("prefix", [b" ", b"na", b"\xe6\x97", b"http:", b' {"', "  é".encode()])
def test_a_prefix_comes_first(smol: Vocabulary, prefix: bytes) -> None:
    for data in (makers.regex(r"[\s\S]*").data, makers.regex(r"(me|tion|\d)+!").data):
        reference, constraint = Reference(data, smol), _core.Constraint(smol.model, data)
        constraint.begin(prefix)
        at, left, rng = reference.start, prefix, random.Random(prefix)
        for _ in range(6):
            allowed = ids(constraint.mask())
            assert allowed == reference.mask(at, left)
            assert constraint.state() == _core.CONSTRAINT_OPEN or not left
            number = choose(rng, smol, allowed)
            if number is None:
                break
            constraint.accept(number)
            at = reference.walk(at, smol.bytes[number][len(left) :])
            left = left[len(smol.bytes[number]) :]
    with pytest.raises(RuntimeFault, match="at most 256"):
        constraint.begin(b"x" * 257)


def test_control_tokens_are_only_what_the_grammar_names(smol: Vocabulary) -> None:
    free = _core.Constraint(smol.model, makers.regex(r"[\s\S]*").data)
    controls = {number for number, data in smol.bytes.items() if data[0] == 0xFF}
    assert controls
    assert ids(free.mask()).isdisjoint(controls)
    one = _core.Constraint(smol.model, grammar(sequence((text("a"), token(5)))))
    assert one.forced() == [*smol.canonical("a"), 5]
    one.accept(smol.canonical("a")[0])
    assert ids(one.mask()) == {5}
    assert one.forced() == [5]


# ---- llguidance ---------------------------------------------------------------------------------------------


def llguidance_walks(vocabulary: Vocabulary) -> Callable[[str], object]:
    library = pytest.importorskip("llguidance")

    class Tokens:
        eos_token_id, bos_token_id = vocabulary.ends[-1], None
        tokens = [vocabulary.bytes.get(n, b"\xff<%d>" % n) for n in range(vocabulary.size)]  # noqa: RUF012
        special_token_ids = [n for n, data in enumerate(tokens) if data[0] == 0xFF]  # noqa: RUF012

        def __call__(self, data: bytes) -> list[int]:
            return vocabulary.model.tokenize(data)

    tokenizer = library.LLTokenizer(library.TokenizerWrapper(Tokens()))

    def walk(made: str) -> object:
        matcher = library.LLMatcher(tokenizer, made)
        assert not matcher.is_error(), matcher.get_error()
        return matcher

    return walk


REGEXES = [
    r"(yes|no|maybe)( (indeed|not))*",
    r"[A-Z][a-z]{2,9}, [0-9]{1,3} [a-z]+(\.|!)",
    r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])",
    r"([a-z]+@[a-z]+\.(org|com);)+",
    r"x(é|日本|ñ)*y{3,40}",
]
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "size": {"enum": ["small", "medium", "large"]},
        "on": {"type": "boolean"},
        "all": {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 250}},
    },
    "required": ["name", "size", "on", "all"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("made", [*REGEXES, SCHEMA], ids=str)
def test_masks_are_llguidances(smol: Vocabulary, made: str | dict[str, object]) -> None:
    library = pytest.importorskip("llguidance")
    np = pytest.importorskip("numpy")
    walk = llguidance_walks(smol)
    if isinstance(made, str):
        data, lark = makers.regex(made).data, library.LLMatcher.grammar_from_regex(made)
    else:
        data = compile_schema(made).data
        lark = library.LLMatcher.grammar_from_json_schema(
            json.dumps(made), overrides={"whitespace_flexible": False}
        )
    rng, ends = random.Random(str(made)), set(smol.ends)
    for _ in range(5):
        matcher, constraint = walk(lark), _core.Constraint(smol.model, data)
        buffer = np.zeros((smol.size + 31) // 32, np.uint32)
        for _ in range(25):
            allowed = ids(constraint.mask())
            matcher.unsafe_compute_mask_ptr(buffer.ctypes.data, buffer.nbytes)  # type: ignore[attr-defined]
            theirs = ids(buffer.tobytes())
            assert bool(theirs & ends) == bool(allowed & ends)
            if isinstance(made, dict):
                # Escapes that say what a plain character says are allowed there, and the plain U+007F here.
                theirs -= {n for n in theirs - allowed if b"\\" in smol.bytes.get(n, b"")}
                theirs |= {n for n in allowed - theirs if b"\x7f" in smol.bytes.get(n, b"")}
            # Where bytes are forced, llguidance allows only the tokenizer's own token for them.
            if len(theirs - ends) == 1 and len({smol.bytes[n][0] for n in allowed - ends}) == 1:
                assert theirs <= allowed
            else:
                assert theirs - ends == allowed - ends
            plain = [n for n in allowed & theirs if b"\\" not in smol.bytes.get(n, b"\\")]
            if not plain:
                break
            number = choose(rng, smol, set(plain))
            assert number is not None
            constraint.accept(number)
            assert matcher.try_consume_tokens([number]) == 1  # type: ignore[attr-defined]


# ---- The tree of tokens -------------------------------------------------------------------------------------


def paths(data: bytes) -> Iterator[tuple[bytes, int]]:
    """(bytes, token) of every token of a trie.bin, aliases too."""
    _, _, _, nodes, aliases, _, _, _ = struct.unpack_from("<8I", data)
    at, path, by_token = 32 + 257 * 4, b"", {}
    for k in range(nodes):
        byte_size, depth_token = struct.unpack_from("<II", data, at + 8 * k)
        path = path[: (depth_token & 255) - 1] + bytes([byte_size & 255])
        if depth_token >> 8 != 0xFFFFFF:
            by_token[depth_token >> 8] = path
            yield path, depth_token >> 8
    for k in range(aliases):
        number, same = struct.unpack_from("<II", data, at + 8 * nodes + 8 * k)
        yield by_token[same], number


def test_the_tree_has_every_token(smol: Vocabulary, tiny: Vocabulary) -> None:
    for vocabulary in (smol, tiny):
        data = vocabulary.model.entry("trie.bin")
        assert data == _core.make_trie(vocabulary.model.entry("tokenizer.bin"))
        assert sorted(paths(data)) == [(text_, number) for _, text_, number in vocabulary.sorted]


def test_tokens_of_the_same_bytes_come_together() -> None:
    given = tiny_spec(family.by_name("llama")).tokenizer
    types = [
        "user" if text_.startswith("[PAD") else kind
        for text_, kind in zip(given.tokens, given.types, strict=True)
    ]
    names = {t: "the" for t in range(len(types) - 2, len(types))}
    tokens = [names.get(k, name) for k, name in enumerate(given.tokens)]
    model = _core.Model(tiny_image(tokenizer=replace(given, tokens=tokens, types=types)))
    the = {k for k in range(len(tokens)) if model.token(k)[0] == b"the"}
    assert len(the) == 3
    constraint = _core.Constraint(model, makers.regex("the").data)
    assert the < ids(constraint.mask())
    for number in the:
        constraint.begin()
        constraint.accept(number)
        assert constraint.state() == _core.CONSTRAINT_MUST_END


def test_the_tree_has_tokens_of_up_to_255_bytes(tmp_path: Path) -> None:
    given = tiny_spec(family.by_name("llama")).tokenizer
    names = [*given.tokens[:-2], 255 * "t", 256 * "t"]
    types = [*given.types[:-2], "normal", "normal"]
    image = tiny_image(tokenizer=replace(given, tokens=names, types=types))
    model, path = _core.Model(image), tmp_path / "long.tin"
    path.write_bytes(image)
    constraint = _core.Constraint(model, makers.regex("t{255,300}").data)
    assert ids(constraint.mask()) >= {len(names) - 2}
    assert len(names) - 1 not in ids(constraint.mask())
    constraint.accept(len(names) - 2)
    assert constraint.state() == _core.CONSTRAINT_MAY_END
    parts = [safety.HERE / "trie_check.c", c_programs.core(), *safety.SANITIZE, "-lm", "-pthread"]
    program = tmp_path / "trie_check"
    subprocess.run([os.environ.get("CC", "cc"), *safety.STRICT, *parts, "-o", program], check=True)
    assert subprocess.run([program, path], capture_output=True, text=True, check=True).stdout == "255\n"


def test_a_tin_without_a_tree_is_refused_with_what_to_do() -> None:
    whole = tin.Tin(tiny_image())
    entries = [
        (name, bytes(whole.entry(name))) for name in whole.names if name not in ("trie.bin", "manifest.json")
    ]
    model = _core.Model(tin.pack_bytes(entries, whole.manifest))
    with pytest.raises(RuntimeFault, match="build it again"):
        _core.Constraint(model, makers.regex("a").data)
