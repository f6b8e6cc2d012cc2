"""Draws a command from a template, with the words of a home, and has the recognizer check its call."""

from __future__ import annotations

import json
import random
import tomllib
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

from hassil import expression as ex
from hassil.intents import IntentData, Intents, RangeSlotList, TextSlotList, TextSlotValue
from hassil.numbers import get_rbnf_engine
from hassil.recognize import recognize_all

# Where a call's arguments stand; every argument that the intents have is listed.
ARGUMENT_ORDER = (
    "name", "area", "floor", "domain", "device_class", "state", "item", "message", "search_query",
    "media_class", "brightness", "color", "temperature", "fan_mode", "percentage", "position", "volume_level",
    "volume_step", "hours", "minutes", "seconds", "start_hours", "start_minutes", "start_seconds",
    "conversation_command",
)  # fmt: skip
# Stands for the area that a satellite would fill in ("turn on the lights here"); never part of a call.
HERE_AREA = "@here"

Value = tuple[str, str]  # the list's name ("number" for every range) and what is passed on, as text


@dataclass(frozen=True)
class Template:
    name: str  # "HassTurnOn/7/2": intent, block of sentences, sentence
    family: str  # "HassTurnOn/7": the block, whose sentences give calls with the same arguments
    intent: str
    data: IntentData
    sentence: ex.Sentence


@dataclass(frozen=True)
class Command:
    template: Template
    text: str
    call: str
    values: tuple[Value, ...]
    pairs: frozenset[tuple[Value, Value]]


@dataclass
class Home:
    """The words that may fill a slot.

    lists: the values of a list that home.toml gives, as (said, passed on, domain or None);
    unseen: the values that no training example may hold.
    """

    lists: dict[str, list[tuple[str, Any, str | None]]]
    unseen: set[Value]

    @classmethod
    def read(cls, path: Path, rng: random.Random, numbers: dict[str, list[float]]) -> Home:
        """Of a file such as home.toml. numbers: by list, those that are said."""
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        lists: dict[str, list[tuple[str, Any, str | None]]] = {
            "area": [(area, area, None) for area in table["areas"]],
            "floor": [(floor, floor, None) for floor in table["floors"]],
            "name": [(name, name, domain) for domain, names in table["devices"].items() for name in names],
            **{name: [(word, word, None) for word in words] for name, words in table["words"].items()},
        }
        unseen: set[Value] = set()
        for names in table["devices"].values():
            hold_out([("name", name) for name in names], unseen, rng)
        for name in ("area", "floor", *table["words"]):
            hold_out([(name, text) for text, _, _ in lists[name]], unseen, rng)
        for name, values in numbers.items():
            lists[name] = [(f"{value:g}", value, None) for value in values]
            hold_out([("number", f"{value:g}") for value in values], unseen, rng)
        return cls(lists, unseen)


def with_others(home: Home, others: Home) -> Home:
    """The home with other words for all that it holds words for, and the numbers that training has."""
    numbers = {
        name: [entry for entry in entries if ("number", entry[0]) not in home.unseen]
        for name, entries in home.lists.items()
        if name not in others.lists
    }
    return Home({**numbers, **others.lists}, set())


def hold_out(values: Sequence[Value], unseen: set[Value], rng: random.Random) -> None:
    """Adds to `unseen` until a fifth of `values`, at least one, is in it."""
    wanted = max(1, len(values) // 5) - sum(value in unseen for value in values)
    rest = [value for value in values if value not in unseen]
    unseen.update(rng.sample(rest, max(0, min(wanted, len(rest) - 1))))


@dataclass
class Sampler:
    """Draws commands from templates; `draw` is all that callers need."""

    intents: Intents
    home: Home
    rng: random.Random
    seed: int
    language: str
    recognized: dict[str, frozenset[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.lists = {**self.intents.slot_lists, **text_lists(self.home)}

    def draw(self, template: Template, *, unseen: bool) -> Command | None:
        """One command of the template, or None when this draw does not make a valid one.

        unseen: whether the home's words come from the held-out ones.
        """
        slots: list[tuple[str, Any, Value]] = []
        text = " ".join("".join(self._say(template.sentence.expression, template, unseen, slots)).split())
        arguments = {**template.data.slots, **{slot: value for slot, value, _ in slots}}
        if len({slot for slot, _, _ in slots}) < len(slots):
            return None
        call = call_json(template.intent, arguments)
        if call not in self.recognize(text):
            return None
        values = tuple(value for _, _, value in slots)
        pairs = frozenset((min(pair), max(pair)) for pair in combinations(values, 2))
        return Command(template, text, call, values, pairs)

    def recognize(self, text: str) -> frozenset[str]:
        """Every call that hassil's recognizer gives for `text`."""
        if text not in self.recognized:
            results = recognize_all(
                text,
                self.intents,
                slot_lists=self.lists,
                intent_context={"area": HERE_AREA},
                language=self.language,
            )
            self.recognized[text] = frozenset(
                call_json(result.intent.name, {name: entity.value for name, entity in result.entities.items()})
                for result in results
            )
        return self.recognized[text]

    def is_held_pair(self, pair: tuple[Value, Value]) -> bool:
        """Whether the two values never meet in a training example."""
        return zlib.crc32(f"{self.seed} {pair}".encode()) % 6 == 0

    def _say(
        self, node: ex.Expression, template: Template, unseen: bool, slots: list[tuple[str, Any, Value]]
    ) -> Iterator[str]:
        match node:
            case ex.TextChunk():
                yield node.original_text
            case ex.Alternative():
                yield from self._say(self.rng.choice(node.items), template, unseen, slots)
            case ex.Permutation():
                for item in self.rng.sample(node.items, len(node.items)):
                    yield from (" ", *self._say(item, template, unseen, slots), " ")
            case ex.Group():
                for item in node.items:
                    yield from self._say(item, template, unseen, slots)
            case ex.RuleReference():
                rules = {**self.intents.expansion_rules, **template.data.expansion_rules}
                yield from self._say(rules[node.rule_name].expression, template, unseen, slots)
            case ex.ListReference():
                text, value, key = self._pick(node.list_name, template, unseen)
                slots.append((node.slot_name, value, key))
                yield text
            case _:
                raise TypeError(f"{template.name}: unknown expression {node!r}")

    def _pick(self, list_name: str, template: Template, unseen: bool) -> tuple[str, Any, Value]:
        slot_list = {**self.intents.slot_lists, **template.data.slot_lists}.get(list_name)
        if list_name not in self.home.lists:
            assert isinstance(slot_list, TextSlotList), f"home.toml lacks the list {list_name}"
            entry: TextSlotValue = self.rng.choice(slot_list.values)
            text = "".join(self._say(entry.text_in, template, unseen, []))
            return text, entry.value_out, (list_name, str(entry.value_out))
        kind = "number" if isinstance(slot_list, RangeSlotList) else list_name
        domains = template.data.requires_context.get("domain") if list_name == "name" else None
        text, value, _ = self.rng.choice(
            [
                entry
                for entry in self.home.lists[list_name]
                if ((kind, entry[0]) in self.home.unseen) == unseen and (not domains or entry[2] in domains)
            ]
        )
        key = (kind, text)
        if isinstance(slot_list, RangeSlotList):
            if isinstance(value, int) and self.rng.random() < 0.1:
                text = get_rbnf_engine(self.language).format_number(value).text
            if slot_list.multiplier is not None:
                value *= slot_list.multiplier
        return text, value, key


def text_lists(home: Home) -> dict[str, TextSlotList]:
    """The lists that Home Assistant would hand to the recognizer; numbers and free text it knows itself."""
    return {
        name: TextSlotList.from_tuples(
            [(text, value, {"domain": domain} if domain else None) for text, value, domain in home.lists[name]],
            allow_template=False,
            name=name,
        )
        for name in ("area", "floor", "name")
    }


def call_json(intent: str, arguments: dict[str, Any]) -> str:
    """The call as compact JSON: strings stripped, whole numbers as integers, arguments in ARGUMENT_ORDER."""
    unknown = set(arguments) - set(ARGUMENT_ORDER)
    if unknown:
        raise ValueError(f"{intent}: arguments {sorted(unknown)} have no place in ARGUMENT_ORDER")
    tidy = {
        name: tidy_value(arguments[name])
        for name in ARGUMENT_ORDER
        if arguments.get(name, HERE_AREA) != HERE_AREA
    }
    return json.dumps({"name": intent, "arguments": tidy}, separators=(",", ":"), ensure_ascii=False)


def tidy_value(value: Any) -> Any:
    if isinstance(value, str):
        return value.strip()
    return int(value) if isinstance(value, float) and value.is_integer() else value


def read_templates(intents: Intents) -> list[Template]:
    return [
        Template(f"{intent.name}/{block}/{row}", f"{intent.name}/{block}", intent.name, data, sentence)
        for intent in intents.intents.values()
        for block, data in enumerate(intent.data)
        for row, sentence in enumerate(data.sentences)
    ]
