"""A slow reader of constraints, the vocabularies that it reads them over, and grammars that tests share."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property

from tests.constraint.oracle import NO_STATE, Configuration, Oracle, one_byte
from tests.models.tiny_models import tiny_spec
from tinsmith import _core, compiler, quant
from tinsmith.constraint import makers
from tinsmith.constraint.grammar import (
    Expr,
    Grammar,
    Ref,
    Repeat,
    choice,
    optional,
    sequence,
    text,
    token,
)
from tinsmith.constraint.machine.automaton import compile_grammar
from tinsmith.constraint.schema import json_text
from tinsmith.models import family

Configurations = frozenset[Configuration]


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
            configurations = self.oracle.step(at.configurations, byte)
            at.after[byte] = self.place(configurations) if configurations else None
        return at.after[byte]

    def walk(self, at: Place, data: bytes) -> Place:
        for byte in data:
            to = self.step(at, byte)
            assert to
            at = to
        return at

    def reached(self, at: Place, prefix: bytes = b"") -> dict[int, Place]:
        """The tokens that may come, and where they lead; prefix: what must come before."""
        seen, way, dead = {}, [at], 1 << 30
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
                seen[number] = way[-1]
        return seen

    def mask(self, at: Place, prefix: bytes = b"") -> set[int]:
        key = (at, prefix)
        if key not in self.masks:
            ends = self.vocabulary.ends if not prefix and at.ends else ()
            self.masks[key] = {*self.reached(at, prefix), *ends}
        return self.masks[key]


class Needs:
    """Tokens in which the shortest way to the end can be gone, by the file's distances in bytes: of states, as
    they are met, and of places. Tokens that spell bytes of the way are tried from each byte on, within a
    rule."""

    def __init__(self, reference: Reference) -> None:
        self.oracle = reference.oracle
        self.spelled = {data for data in reference.vocabulary.bytes.values() if len(data) <= 64}
        self.known: dict[int, int] = {}

    def _first(self, state: int) -> tuple[bytes, int] | tuple[int, int, int] | None:
        """What the way does first: a byte and the state behind it; or a call's enter, leave and least."""
        oracle = self.oracle
        first, count, accepts, distance = oracle.states[state]
        if accepts:
            return None
        for number, to in enumerate(oracle.next[state]):
            if to != NO_STATE and oracle.states[to][3] == distance - 1:
                return bytes([oracle.class_of.index(number)]), to
        for enter, leave, least, _, _ in oracle.calls[first : first + count]:
            if oracle.states[enter][3] * least + oracle.states[leave][3] == distance:
                return enter, leave, least
        raise AssertionError(state)

    def state(self, state: int) -> int:
        if state not in self.known:
            self.known[state] = self._need(state)
        return self.known[state]

    def _need(self, state: int) -> int:
        first = self._first(state)
        if first is None:
            return 0
        if len(first) == 3:
            enter, leave, least = first
            return self.state(enter) * least + self.state(leave)
        spelled, at = first
        found = [self.state(at)]
        while True:
            if spelled in self.spelled:
                found.append(self.state(at))
            following = self._first(at)
            if following is None or len(following) == 3:
                return 1 + min(found)
            spelled, at = spelled + following[0], following[1]

    def place(self, at: Place) -> int:
        return min(self._configuration(*one) for one in at.configurations)

    def _configuration(self, state: int, stack: int) -> int:
        need = self.state(state)
        while stack:
            stack, call, done = self.oracle.frames[stack]
            enter, leave, least, _, _ = self.oracle.calls[call]
            need += max(0, least - done - 1) * self.state(enter) + self.state(leave)
        return need


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
    made = Grammar()
    json_text.rules(made, spacing)
    made.rules |= {"start": start, **rules}
    return compile_grammar(made, "gbnf").data


DIGIT, LETTER = one_byte((48, 57)), one_byte((97, 122))
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
    "names": lambda: makers.regex(r"(\d{3}-\d{4}|[A-Z][a-zé]+( [A-Z][a-z]+){0,80})").data,
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
