"""Samples a voice assistant's commands, with the function call that each one means.

Sentences are drawn from the English templates of `home-assistant-intents`; the words for rooms, devices and
numbers come from home.toml beside this file. Each call is checked with `hassil`, the recognizer that Home
Assistant itself uses: an example whose call the recognizer does not give is dropped.

    python sample.py --out data [--seed 1] [--closed N]

writes train.jsonl (3,000), train-1000.jsonl (its first 1,000), validation.jsonl (200), test.jsonl (500),
tools.json (every function with its arguments) and LICENSES.txt. The same seed and package versions give the
same bytes. README.md describes the splits.

With --closed N also train-closed.jsonl: N commands of all templates and all of home.toml's words, none of them
a command of the other files, for a model that need not know anything else.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import tomllib
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from itertools import combinations
from pathlib import Path
from typing import Any

from hassil import expression as ex
from hassil.intents import IntentData, Intents, RangeSlotList, TextSlotList, TextSlotValue
from hassil.numbers import get_rbnf_engine
from hassil.recognize import recognize_all
from home_assistant_intents import get_intents

HERE = Path(__file__).parent
PACKAGES = ("home-assistant-intents", "hassil")
PARTS = ("seen", "unseen_template", "unseen_value", "unseen_both", "unseen_combination")
# Where a call's arguments stand; every argument that the English intents have is listed.
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
    def read(cls, path: Path, rng: random.Random) -> Home:
        table = tomllib.loads(path.read_text())
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
            hold_out([(name, said) for said, _, _ in lists[name]], unseen, rng)
        for name, numbers in table["numbers"].items():
            lists[name] = [(f"{number:g}", number, None) for number in numbers]
            hold_out([("number", f"{number:g}") for number in numbers], unseen, rng)
        return cls(lists, unseen)


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
                text, self.intents, slot_lists=self.lists, intent_context={"area": HERE_AREA}, language="en"
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
                said, value, key = self._pick(node.list_name, template, unseen)
                slots.append((node.slot_name, value, key))
                yield said
            case _:
                raise TypeError(f"{template.name}: unknown expression {node!r}")

    def _pick(self, list_name: str, template: Template, unseen: bool) -> tuple[str, Any, Value]:
        slot_list = {**self.intents.slot_lists, **template.data.slot_lists}.get(list_name)
        if list_name not in self.home.lists:
            assert isinstance(slot_list, TextSlotList), f"home.toml lacks the list {list_name}"
            entry: TextSlotValue = self.rng.choice(slot_list.values)
            said = "".join(self._say(entry.text_in, template, unseen, []))
            return said, entry.value_out, (list_name, str(entry.value_out))
        kind = "number" if isinstance(slot_list, RangeSlotList) else list_name
        domains = template.data.requires_context.get("domain") if list_name == "name" else None
        said, value, _ = self.rng.choice(
            [
                entry
                for entry in self.home.lists[list_name]
                if ((kind, entry[0]) in self.home.unseen) == unseen and (not domains or entry[2] in domains)
            ]
        )
        key = (kind, said)
        if isinstance(slot_list, RangeSlotList):
            if isinstance(value, int) and self.rng.random() < 0.1:
                said = get_rbnf_engine("en").format_number(value).text
            if slot_list.multiplier is not None:
                value *= slot_list.multiplier
        return said, value, key


def text_lists(home: Home) -> dict[str, TextSlotList]:
    """The lists that Home Assistant would hand to the recognizer; numbers and free text it knows itself."""
    return {
        name: TextSlotList.from_tuples(
            [(said, value, {"domain": domain} if domain else None) for said, value, domain in home.lists[name]],
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


@dataclass
class Argument:
    """What a function's argument may be: one of a few values, numbers of a range, or any words."""

    values: dict[Any, None] = field(default_factory=dict)  # a set that keeps the order
    ranges: list[dict[str, Any]] = field(default_factory=list)
    free: bool = False

    def schema(self) -> dict[str, Any]:
        texts = [value for value in self.values if isinstance(value, str)]
        numbers = [value for value in self.values if not isinstance(value, str)]
        kinds = [*self.ranges]
        if self.free:
            kinds.append({"type": "string"})
        elif texts:
            kinds.append({"type": "string", "enum": texts})
        inside = [n for n in numbers for r in self.ranges if r["minimum"] <= n <= r["maximum"]]
        if rest := [n for n in numbers if n not in inside]:
            kinds.append({"type": "integer", "enum": rest})
        return kinds[0] if len(kinds) == 1 else {"anyOf": kinds}


def tools(sampler: Sampler, templates: Sequence[Template]) -> list[dict[str, Any]]:
    """Every function that the templates call, in the shape of OpenAI's tools, its arguments in ARGUMENT_ORDER.

    A home knows its own rooms and devices, so they are listed with those that no training example names.
    """
    known: dict[str, dict[str, Argument]] = {}
    needed: dict[str, set[str]] = {}
    for template in templates:
        arguments = known.setdefault(template.intent, {})
        for name, value in template.data.slots.items():
            arguments.setdefault(name, Argument()).values[value] = None
        for node in references(template.sentence.expression, template, sampler):
            add_list(arguments.setdefault(node.slot_name, Argument()), node.list_name, template, sampler)
        always = {*template.data.slots, *always_said(template.sentence.expression, template, sampler)}
        needed[template.intent] = needed.get(template.intent, always) & always
    return [
        {
            "type": "function",
            "function": {
                "name": intent,
                "parameters": {
                    "type": "object",
                    "properties": {
                        name: arguments[name].schema() for name in ARGUMENT_ORDER if name in arguments
                    },
                    "required": [name for name in ARGUMENT_ORDER if name in needed[intent]],
                    "additionalProperties": False,
                },
            },
        }
        for intent, arguments in known.items()
    ]


def add_list(argument: Argument, name: str, template: Template, sampler: Sampler) -> None:
    """Adds what a slot list can pass on."""
    found = {**sampler.intents.slot_lists, **template.data.slot_lists}.get(name)
    if isinstance(found, RangeSlotList):
        low, high = sorted(int(end * (found.multiplier or 1)) for end in (found.start, found.stop))
        kind: dict[str, Any] = {"type": "integer", "minimum": low, "maximum": high}
        if found.fraction_type is not None:
            kind = {"type": "number", "minimum": low, "maximum": high, "multipleOf": 0.5}
        elif found.step > 1:
            kind["multipleOf"] = found.step
        if kind not in argument.ranges:
            argument.ranges.append(kind)
    elif isinstance(found, TextSlotList):
        argument.values |= dict.fromkeys(tidy_value(entry.value_out) for entry in found.values)
    elif name in ("area", "floor", "name"):
        domains = template.data.requires_context.get("domain") if name == "name" else None
        entries = [v for _, v, domain in sampler.home.lists[name] if not domains or domain in domains]
        argument.values |= dict.fromkeys(entries)
    else:
        argument.free = True


def references(node: ex.Expression, template: Template, sampler: Sampler) -> Iterator[ex.ListReference]:
    """Every list that a sentence mentions."""
    if isinstance(node, ex.ListReference):
        yield node
    for part in parts_of(node, template, sampler):
        yield from references(part, template, sampler)


def always_said(node: ex.Expression, template: Template, sampler: Sampler) -> set[str]:
    """The slots that every way to say the sentence fills."""
    if isinstance(node, ex.ListReference):
        return {node.slot_name}
    found = [always_said(part, template, sampler) for part in parts_of(node, template, sampler)]
    if not found:
        return set()
    return set.intersection(*found) if isinstance(node, ex.Alternative) else set.union(*found)


def parts_of(node: ex.Expression, template: Template, sampler: Sampler) -> Sequence[ex.Expression]:
    if isinstance(node, ex.RuleReference):
        rules = {**sampler.intents.expansion_rules, **template.data.expansion_rules}
        return [rules[node.rule_name].expression]
    return node.items if isinstance(node, ex.Group) else []


@dataclass
class Splits:
    train: list[Command]
    validation: list[Command]
    test: dict[str, list[Command]]  # by part
    closed: list[Command] = field(default_factory=list)


@dataclass
class Splitter:
    """Fills the splits so that no two commands, of whatever split, are the same words."""

    sampler: Sampler
    templates: list[Template]
    taken: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.rng = self.sampler.rng
        self.held = self._hold_out_templates()

    def splits(self, train: int, subset: int, validation: int, part: int) -> Splits:
        """`train` commands whose first `subset` hold every family of templates, and the other splits.

        What is "seen" in the test set is in the first `subset` training commands already; what is "unseen" is
        in none of them all.
        """
        shown = [template for template in self.templates if template.name not in self.held]
        first = self._one_of_each_family(shown)
        first += self._fill(shown, subset - len(first), self._is_plain)
        self.rng.shuffle(first)
        result = Splits(first + self._fill(shown, train - subset, self._is_plain), [], {})
        result.validation = self._fill(shown, validation, self._is_plain)

        names = {command.template.name for command in first}
        values = {value for command in first for value in command.values}
        known = [template for template in shown if template.name in names]
        held = [template for template in self.templates if template.name in self.held]

        def has_known_values(command: Command) -> bool:
            return values.issuperset(command.values)

        def is_seen(command: Command) -> bool:
            return has_known_values(command) and self._is_plain(command)

        def is_new_combination(command: Command) -> bool:
            return has_known_values(command) and not self._is_plain(command)

        def has_words_of_the_home(command: Command) -> bool:
            return any(value in self.sampler.home.unseen for value in command.values)

        result.test = {
            "seen": self._fill(known, part, is_seen),
            "unseen_template": self._fill(held, part, is_seen),
            "unseen_value": self._fill(known, part, has_words_of_the_home, unseen=True),
            "unseen_both": self._fill(held, part, has_words_of_the_home, unseen=True),
            "unseen_combination": self._fill(known, part, is_new_combination),
        }
        return result

    def closed(self, count: int) -> list[Command]:
        """`count` further commands, of every template; a fifth from the words that are held out elsewhere."""
        held = self._fill(self.templates, count // 5, lambda command: True, unseen=True)
        found = held + self._fill(self.templates, count - len(held), lambda command: True)
        self.rng.shuffle(found)
        return found

    def _hold_out_templates(self) -> set[str]:
        """One template of three in five families that have several: calls like theirs are still in training."""
        families: dict[str, list[str]] = {}
        for template in self.templates:
            families.setdefault(template.family, []).append(template.name)
        return {
            self.rng.choice(names) for names in families.values() if len(names) > 1 and self.rng.random() < 0.6
        }

    def _is_plain(self, command: Command) -> bool:
        return not any(self.sampler.is_held_pair(pair) for pair in command.pairs)

    def _one_of_each_family(self, templates: Sequence[Template]) -> list[Command]:
        families: dict[str, list[Template]] = {}
        for template in templates:
            families.setdefault(template.family, []).append(template)
        return [command for family in families.values() for command in self._fill(family, 1, self._is_plain)]

    def _fill(
        self,
        templates: Sequence[Template],
        count: int,
        accept: Callable[[Command], bool],
        *,
        unseen: bool = False,
    ) -> list[Command]:
        """`count` new commands that `accept` takes: an intent by the root of its number of templates, then one
        of its templates, then words."""
        by_intent: dict[str, list[Template]] = {}
        for template in templates:
            by_intent.setdefault(template.intent, []).append(template)
        intents = list(by_intent)
        weights = [math.sqrt(len(by_intent[intent])) for intent in intents]
        commands: list[Command] = []
        for _ in range(200 + 100 * count):
            if len(commands) == count:
                return commands
            template = self.rng.choice(by_intent[self.rng.choices(intents, weights)[0]])
            command = self.sampler.draw(template, unseen=unseen)
            if command and accept(command) and (words := plain_words(command.text)) not in self.taken:
                self.taken.add(words)
                commands.append(command)
        raise RuntimeError(f"only {len(commands)} of {count} commands found; give home.toml more words")


def plain_words(text: str) -> str:
    """Lower case, letters and digits only: what two sentences must differ in."""
    return " ".join("".join(char if char.isalnum() else " " for char in text.lower()).split())


def sample(
    seed: int, *, train: int = 3000, subset: int = 1000, validation: int = 200, part: int = 100, closed: int = 0
) -> tuple[Splits, Sampler]:
    rng = random.Random(seed)
    intents = Intents.from_dict(get_intents("en") or {})
    sampler = Sampler(intents, Home.read(HERE / "home.toml", rng), rng, seed)
    splitter = Splitter(sampler, read_templates(intents))
    splits = splitter.splits(train, subset, validation, part)
    splits.closed = splitter.closed(closed)
    return splits, sampler


def rows(commands: Iterable[Command], sampler: Sampler, part: str | None = None) -> Iterator[dict[str, Any]]:
    for command in commands:
        row: dict[str, Any] = {"input": command.text, "output": command.call}
        if part:
            others = sorted(sampler.recognize(command.text) - {command.call})
            row |= {"accept": [command.call, *others], "part": part}
        yield row | {
            "about": {"template": command.template.name, "values": [list(pair) for pair in command.values]}
        }


def write_jsonl(path: Path, lines: Iterable[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")


def licenses() -> str:
    text = "The sampled data is derived from these packages.\n"
    for name in PACKAGES:
        about = metadata.metadata(name)
        license_name = about.get("License-Expression") or about.get("License") or "see the package"
        text += f"\n{name} {about['Version']}\nLicence: {license_name}\nAuthor: {about.get('Author-email')}\n"
        for file in metadata.files(name) or []:
            if "licenses" in file.parts:
                text += f"\n{file.read_text()}\n"
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--closed", type=int, default=0, metavar="N", help="also N commands of all words")
    options = parser.parse_args(arguments)
    splits, sampler = sample(options.seed, closed=options.closed)
    options.out.mkdir(parents=True, exist_ok=True)
    train = list(rows(splits.train, sampler))
    write_jsonl(options.out / "train.jsonl", train)
    write_jsonl(options.out / "train-1000.jsonl", train[:1000])
    if splits.closed:
        write_jsonl(options.out / "train-closed.jsonl", rows(splits.closed, sampler))
    write_jsonl(options.out / "validation.jsonl", rows(splits.validation, sampler))
    test = [row for part in PARTS for row in rows(splits.test[part], sampler, part)]
    write_jsonl(options.out / "test.jsonl", test)
    functions = json.dumps(tools(sampler, read_templates(sampler.intents)), indent=1, ensure_ascii=False)
    (options.out / "tools.json").write_text(functions + "\n", encoding="utf-8")
    (options.out / "LICENSES.txt").write_text(licenses(), encoding="utf-8")
    closed = f"{len(splits.closed)} closed, " if splits.closed else ""
    print(f"{options.out}: {len(train)} train, {closed}{len(splits.validation)} validation, {len(test)} test")
    return 0


if __name__ == "__main__":
    sys.exit(main())
