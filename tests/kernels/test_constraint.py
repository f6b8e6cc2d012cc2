"""Constraints in the C core: masks, forced runs and damage, held to a slow reader of them and to llguidance."""

from __future__ import annotations

import json
import random
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import pytest
from tiny_models import tiny_spec

from tinsmith import _core, compiler, quant
from tinsmith.constraint import json_text
from tinsmith.constraint.automaton import compile_grammar
from tinsmith.constraint.grammar import (
    Expr,
    Grammar,
    OneByte,
    Ref,
    Repeat,
    choice,
    optional,
    sequence,
    text,
    token,
)
from tinsmith.constraint.json_schema import compile_schema
from tinsmith.constraint.regex import compile_regex
from tinsmith.errors import RuntimeFault
from tinsmith.formats import tin
from tinsmith.models import family, load

sys.path.insert(0, str(Path(__file__).parents[1] / "constraint"))
from oracle import Configuration, Oracle

Configurations = frozenset[Configuration]
FORMAT, VERSION = "TIN_ERR_FORMAT", "TIN_ERR_VERSION"


class Vocabulary:
    """A model's tokens by the bytes that a constraint knows them by; ends: tokens that end a generation."""

    def __init__(self, model: _core.Model) -> None:
        self.model = model
        self.size: int = model.info()["vocab"]
        self.ends = []
        self.bytes: dict[int, bytes] = {}
        for number in range(self.size):
            data, control, end = model.token(number)
            if end:
                self.ends.append(number)
            elif control:
                self.bytes[number] = b"\xff" + number.to_bytes(3, "big")
            elif data and b"\xff" not in data and not data.startswith(b"[PAD"):
                self.bytes[number] = data
        # With how many bytes each shares with the one before.
        self.sorted: list[tuple[int, bytes, int]] = []
        last = b""
        for data, number in sorted((data, number) for number, data in self.bytes.items()):
            common = next((k for k in range(min(len(data), len(last))) if data[k] != last[k]), None)
            self.sorted.append((min(len(data), len(last)) if common is None else common, data, number))
            last = data

    @cached_property
    def canonical(self) -> Callable[[str], list[int]]:
        return self.model.tokenize


@pytest.fixture(scope="module")
def smol(base_gguf: Path) -> Vocabulary:
    return Vocabulary(_core.Model(compiler.build_image(load(base_gguf))))


@pytest.fixture(scope="module")
def tiny() -> Vocabulary:
    return Vocabulary(_core.Model(tiny_image()))


def tiny_image(**changes: object) -> memoryview:
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "max_position_embeddings": 64}
    spec = tiny_spec(family.by_name("llama"), **sizes)
    return compiler.build_image(quant.apply(replace(spec, **changes), "Q8_0"))  # type: ignore[arg-type]


class Place:
    """Where a text stands; after: the places that follow, by byte, as far as they were asked for."""

    def __init__(self, configurations: Configurations, ends: bool) -> None:
        self.configurations, self.ends = configurations, ends
        self.after: dict[int, Place | None] = {}


class Reference:
    """Masks by trying every token, a byte at a time, with what was tried before kept."""

    def __init__(self, data: bytes, vocabulary: Vocabulary) -> None:
        self.oracle, self.vocabulary = Oracle(data), vocabulary
        self.places: dict[Configurations, Place] = {}
        self.masks: dict[tuple[Place, bytes], set[int]] = {}
        self.start = self.place(self.oracle.begin())

    def place(self, configurations: Configurations) -> Place:
        if configurations not in self.places:
            self.places[configurations] = Place(configurations, self.oracle.ends(configurations))
        return self.places[configurations]

    def step(self, at: Place, byte: int) -> Place | None:
        if byte not in at.after:
            found = self.oracle.step(at.configurations, byte)
            at.after[byte] = self.place(found) if found else None
        return at.after[byte]

    def walk(self, at: Place, data: bytes) -> Place:
        for byte in data:
            to = self.step(at, byte)
            assert to
            at = to
        return at

    def reached(self, at: Place, prefix: bytes = b"") -> dict[int, Place]:
        """The tokens that may come, and where they lead; prefix: what must come before."""
        found, way, dead = {}, [at], 1 << 30
        for common, data, number in self.vocabulary.sorted:
            if common > dead:
                continue
            dead = 1 << 30
            del way[common + 1 :]
            for k in range(common, len(data)):
                byte = data[k]
                if k < len(prefix):
                    to = at if byte == prefix[k] else None
                else:
                    to = way[-1].after[byte] if byte in way[-1].after else self.step(way[-1], byte)
                if to is None:
                    dead = k
                    break
                way.append(to)
            else:
                found[number] = way[-1]
        return found

    def mask(self, at: Place, prefix: bytes = b"") -> set[int]:
        key = (at, prefix)
        if key not in self.masks:
            ends = self.vocabulary.ends if not prefix and at.ends else ()
            self.masks[key] = {*self.reached(at, prefix), *ends}
        return self.masks[key]


def ids(mask: bytes) -> set[int]:
    return {8 * k + bit for k, byte in enumerate(mask) if byte for bit in range(8) if byte >> bit & 1}


def choose(rng: random.Random, vocabulary: Vocabulary, allowed: set[int]) -> int | None:
    """Short tokens as often as long ones, and control tokens whenever they may come."""
    numbers = sorted(allowed.difference(vocabulary.ends))
    if not numbers:
        return None
    special = [n for n in numbers if vocabulary.bytes[n][0] == 0xFF]
    if special and len(special) < 4:
        return special[0]
    some = rng.sample(numbers, min(len(numbers), 6))
    return min(some, key=lambda n: len(vocabulary.bytes[n])) if rng.random() < 0.5 else some[0]


def grammar(start: Expr, spacing: json_text.Spacing = "compact", **rules: Expr) -> bytes:
    found = Grammar()
    json_text.rules(found, spacing)
    found.rules |= {"start": start, **rules}
    return compile_grammar(found, "gbnf").data


DIGIT, LETTER = OneByte(((48, 57),)), OneByte(((97, 122),))
STRING, CHARACTER, INTEGER = (Ref(name) for name in (json_text.STRING, json_text.CHARACTER, json_text.INTEGER))
AB = choice((text("ab"), text("a"), text("aab")))
GRAMMARS: dict[str, Callable[[], bytes]] = {
    "value": lambda: grammar(Ref(json_text.value_rule())),
    "spaced value": lambda: grammar(Ref(json_text.value_rule("free")), "free"),
    "object": lambda: grammar(
        sequence(
            (
                text('{"name":'),
                STRING,
                text(',"n":'),
                INTEGER,
                text(',"all":['),
                Repeat(sequence((STRING, text(","))), 2, 5),
                text("]}"),
            )
        )
    ),
    "at most": lambda: grammar(sequence((text('"'), Repeat(CHARACTER, 3, 90), text('"')))),
    "at least": lambda: grammar(sequence((text('"'), Repeat(CHARACTER, 30, None), text('"')))),
    "short": lambda: grammar(
        Repeat(sequence((text('"'), Repeat(CHARACTER, 5, 20), text('"'), Repeat(text(" "), 1, 3))), 1, 400)
    ),
    "both": lambda: grammar(Repeat(Repeat(AB, 70, 75), 2, 90)),
    "names": lambda: compile_regex(r"(\d{3}-\d{4}|[A-Z][a-zé]+( [A-Z][a-z]+){0,80})").data,
    "sums": lambda: grammar(
        choice(
            (
                sequence((Ref("start"), text("+"), Ref("start"))),
                sequence((text("("), Ref("start"), text(")"))),
                DIGIT,
                LETTER,
            )
        )
    ),
    "brackets": lambda: grammar(choice((text("x"), sequence((text("("), Ref("start"), text(")")))))),
    "nested": lambda: grammar(choice((text("a"), sequence((text("a"), Ref("start"), text("a")))))),
    "ambiguous": lambda: grammar(
        sequence((Repeat(AB, 3, 9), token(1), Repeat(AB, 70, 200), optional(text("!"))))
    ),
    "control": lambda: grammar(
        Repeat(sequence((choice((token(3), token(5))), Repeat(LETTER, 1, 9), text("</tool>"))), 1, None)
    ),
}


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


def test_mask_into_and_state_and_size(tiny: Vocabulary) -> None:
    constraint = _core.Constraint(tiny.model, compile_regex("a|ab").data, masks=3)
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
    larger = _core.Constraint(tiny.model, compile_regex("a|ab").data, masks=4)
    assert larger.size() > constraint.size()


# ---- A bound on tokens --------------------------------------------------------------------------------------


def distance_of(reference: Reference, at: Place, known: dict[Place, int]) -> int:
    """Bytes to the nearest end, by breadth-first search."""
    if at not in known:
        level, seen, bytes_ = {at}, {at}, 0
        while not any(place.ends for place in level):
            following = {reference.step(place, byte) for place in level for byte in range(256)}
            level = {place for place in following if place} - seen
            seen |= level
            bytes_ += 1
        known[at] = bytes_
    return known[at]


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
    known: dict[Place, int] = {}
    for _ in range(3):
        constraint, at = _core.Constraint(tiny.model, data), reference.start
        for _ in range(10):
            free, here = ids(constraint.mask()), distance_of(reference, at, known)
            reached = {n: distance_of(reference, to, known) for n, to in reference.reached(at).items()}
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
    shortest = Oracle(data).shortest
    constraint = _core.Constraint(smol.model, data)
    for most in (shortest, shortest + 1, shortest + 7, shortest + 40):
        constraint.begin()
        for left in range(most, 0, -1):
            allowed = ids(constraint.mask(left))
            assert allowed
            number = choose(rng, smol, allowed)
            if number is None:
                break
            constraint.accept(number)
        assert constraint.state() != _core.CONSTRAINT_OPEN


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
    for data in (compile_regex(r"[\s\S]*").data, compile_regex(r"(me|tion|\d)+!").data):
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
    free = _core.Constraint(smol.model, compile_regex(r"[\s\S]*").data)
    controls = {number for number, data in smol.bytes.items() if data[0] == 0xFF}
    assert controls
    assert ids(free.mask()).isdisjoint(controls)
    one = _core.Constraint(smol.model, grammar(sequence((text("a"), token(5)))))
    assert one.forced() == [*smol.canonical("a"), 5]
    one.accept(smol.canonical("a")[0])
    assert ids(one.mask()) == {5}
    assert one.forced() == [5]


# ---- Forced runs --------------------------------------------------------------------------------------------

WORDS = ["living room", "kitchen", "naïve", "x", "日本", "a b", "don't", "true", "12", "3.5", "turn_on", "Temp"]
TAILS = ["", " ", "  ", "-", "\n", "'", "'s", "s", "es", "ing", "é", "1", " \n\t", "  x", "\u3000y", "\u00a0"]


def check_forced(vocabulary: Vocabulary, data: bytes, answers: list[tuple[str, str]]) -> tuple[int, int]:
    """Walks each (prompt, answer) by its canonical tokens; forced ones must be those. Counts of both."""
    constraint = _core.Constraint(vocabulary.model, data)
    forced = whole = 0
    for prompt, answer in answers:
        before, tokens = vocabulary.canonical(prompt), vocabulary.canonical(answer)
        constraint.begin()
        at = 0
        while at < len(tokens):
            found = constraint.forced(before + tokens[:at])
            assert found == tokens[at : at + len(found)], (answer, at)
            for number in found:
                constraint.accept(number)
            at += len(found)
            forced += len(found)
            if at < len(tokens):
                assert tokens[at] in ids(constraint.mask())
                constraint.accept(tokens[at])
                at += 1
        assert constraint.state() != _core.CONSTRAINT_OPEN
        whole += len(tokens)
    return forced, whole


@pytest.mark.parametrize(("comma", "colon"), [(",", ":"), (", ", ": ")])
def test_forced_tokens_of_calls_are_the_tokenizers_own(smol: Vocabulary, comma: str, colon: str) -> None:
    rng = random.Random(1)
    names = choice(text(json.dumps(word, ensure_ascii=False)) for word in WORDS)
    flag = choice((text("true"), text("false")))
    parts = ('{"name"', names, '"arguments"', '{"room_name"', STRING, '"value"', INTEGER, '"on"', flag, "}}")
    marks = ("", colon, comma, colon, colon, comma, colon, comma, colon, "")
    exprs = [text(mark + part) if isinstance(part, str) else sequence((text(mark), part))
             for mark, part in zip(marks, parts, strict=True)]  # fmt: skip
    answers = []
    for _ in range(40):
        inner = {"room_name": rng.choice(WORDS) + rng.choice(TAILS), "value": rng.randrange(99), "on": True}
        whole = {"name": rng.choice(WORDS), "arguments": inner}
        answers.append(("a word.\n\n", json.dumps(whole, ensure_ascii=False, separators=(comma, colon))))
    forced, tokens = check_forced(smol, grammar(sequence(exprs)), answers)
    assert forced > tokens / 2


@pytest.mark.parametrize("seed", range(12))
def test_forced_tokens_of_choices_are_the_tokenizers_own(smol: Vocabulary, seed: int) -> None:
    rng = random.Random(seed)
    first = [rng.choice(WORDS) + rng.choice(TAILS) + rng.choice(WORDS) for _ in range(6)]
    options = sorted({word + tail for word in first for tail in rng.sample(TAILS, 3)})
    answers = [(rng.choice(["", "Q: ", "the ", "don"]), option) for option in options]
    forced, _ = check_forced(smol, grammar(choice(map(text, options))), answers)
    assert forced


@pytest.mark.parametrize("seed", range(12))
def test_forced_tokens_between_free_text_are_the_tokenizers_own(smol: Vocabulary, seed: int) -> None:
    rng = random.Random(seed)
    free = {"letters": LETTER, "blanks": OneByte(((32, 32), (65, 70), (97, 110)))}
    pieces = [(rng.choice(WORDS) + rng.choice(TAILS), rng.choice(list(free))) for _ in range(6)]
    data = grammar(sequence([part for word, kind in pieces for part in (text(word), Repeat(free[kind], 0, 4))]))

    def answer() -> str:
        letters = {"letters": "aeintrxz", "blanks": "  AEaein"}
        return "".join(word + "".join(rng.choices(letters[kind], k=rng.randrange(5))) for word, kind in pieces)

    check_forced(smol, data, [(rng.choice(["", "the ", "x  "]), answer()) for _ in range(25)])


def test_forced_tokens_go_on_after_what_was_chosen_otherwise(smol: Vocabulary) -> None:
    """After tokens that the tokenizer would not have chosen, the run is cut for itself."""
    constraint = _core.Constraint(smol.model, compile_regex('\\{"name":[0-9]').data)
    (brace,) = smol.canonical("{")
    assert smol.canonical('{"name":')[0] != brace
    constraint.accept(brace)
    assert constraint.forced([brace]) == smol.canonical('"name":')
    assert constraint.forced([brace, 10**9, -5]) == smol.canonical('"name":')


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
        data, lark = compile_regex(made).data, library.LLMatcher.grammar_from_regex(made)
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
    constraint = _core.Constraint(model, compile_regex("the").data)
    assert the < ids(constraint.mask())
    for number in the:
        constraint.begin()
        constraint.accept(number)
        assert constraint.state() == _core.CONSTRAINT_MUST_END


def test_a_tin_without_a_tree_is_refused_with_what_to_do() -> None:
    whole = tin.Tin(tiny_image())
    entries = [
        (name, bytes(whole.entry(name))) for name in whole.names if name not in ("trie.bin", "manifest.json")
    ]
    model = _core.Model(tin.pack_bytes(entries, whole.manifest))
    with pytest.raises(RuntimeFault, match="build it again"):
        _core.Constraint(model, compile_regex("a").data)


# ---- Damage -------------------------------------------------------------------------------------------------


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
    place, data = whole.index(trie), compile_regex("(the|in|[a-f]+ )+").data
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
