"""Samples a voice assistant's commands with their function calls.

Sentences are drawn from the templates of `home-assistant-intents`; the words for rooms and devices come from
home.toml beside this file, or from another language's file in languages/. Each call is checked with `hassil`,
the recognizer that Home Assistant itself uses: an example whose call the recognizer does not give is dropped.

    python sample.py --out data [--language de] [--seed 1] [--closed N] [--others N]

writes train.jsonl (3,000), train-1000.jsonl (its first 1,000), validation.jsonl (200), test.jsonl (500),
held-out.txt (the words that the test has and the 1,000 have not), tools.json (every function with its
arguments) and LICENSES.txt. The same seed and package versions give the same bytes. README.md describes the
splits.

With --closed N also train-closed.jsonl: N commands of all templates and all of home.toml's words, none of them
a command of the other files, for a model of this home only. With --others N also others.jsonl: N commands of
the 1,000's templates with the words of others.toml for rooms, devices and phrases, which no other file has:
they compare training methods without using the test set.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from drawing import Command, Home, Sampler, Template, read_templates, with_others
from functions import tools
from hassil.intents import Intents, TextSlotList
from home_assistant_intents import get_intents

HERE = Path(__file__).parent
PACKAGES = ("home-assistant-intents", "hassil")
PARTS = ("seen", "unseen_template", "unseen_value", "unseen_both", "unseen_combination")


@dataclass
class Splits:
    train: list[Command]
    validation: list[Command]
    test: dict[str, list[Command]]  # by part
    closed: list[Command] = field(default_factory=list)
    others: list[dict[str, Any]] = field(default_factory=list)  # rows


@dataclass
class Splitter:
    """Fills the splits so that no two commands, over all splits, have the same words."""

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
        examples = held + self._fill(self.templates, count - len(held), lambda command: True)
        self.rng.shuffle(examples)
        return examples

    def others(self, known: set[str], count: int) -> list[dict[str, Any]]:
        """Rows of `count` further commands of these templates, each with a word that none before had."""
        words = Home.read(HERE / "others.toml", random.Random(0), {})
        home = with_others(self.sampler.home, words)
        fresh = {(name, text) for name in words.lists for text, _, _ in words.lists[name]}
        splitter = copy(self)
        splitter.sampler = replace(self.sampler, home=home, recognized={})
        templates = [template for template in self.templates if template.name in known]
        commands = splitter._fill(templates, count, lambda command: not fresh.isdisjoint(command.values))
        return list(rows(commands, splitter.sampler, "others"))

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
        raise RuntimeError(f"only {len(commands)} of {count} commands found; give the home more words")


def plain_words(text: str) -> str:
    """Lower case, letters and digits only: what two sentences must differ in."""
    return " ".join("".join(char if char.isalnum() else " " for char in text.lower()).split())


def sample(
    seed: int,
    *,
    language: str = "en",
    train: int = 3000,
    subset: int = 1000,
    validation: int = 200,
    part: int = 100,
    closed: int = 0,
    others: int = 0,
) -> tuple[Splits, Sampler]:
    rng = random.Random(seed)
    intents = Intents.from_dict(get_intents(language) or {})
    for slots in intents.slot_lists.values():
        if isinstance(slots, TextSlotList):  # an argument is one value: French's "store" stands for two classes
            slots.values = [entry for entry in slots.values if not isinstance(entry.value_out, list)]
    english = HERE / "home.toml"
    numbers = tomllib.loads(english.read_text(encoding="utf-8"))["numbers"]
    words = english if language == "en" else HERE / "languages" / f"{language}.toml"
    sampler = Sampler(intents, Home.read(words, rng, numbers), rng, seed, language)
    splitter = Splitter(sampler, read_templates(intents))
    splits = splitter.splits(train, subset, validation, part)
    splits.closed = splitter.closed(closed)
    splits.others = splitter.others({command.template.name for command in splits.train[:subset]}, others)
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


def words(examples: Iterable[dict[str, Any]]) -> set[str]:
    return {word for row in examples for word in plain_words(row["input"]).split()}


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
    languages = ["en", *sorted(file.stem for file in (HERE / "languages").glob("*.toml"))]
    parser.add_argument("--language", choices=languages, default="en")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--closed", type=int, default=0, metavar="N", help="also N commands of all words")
    parser.add_argument("--others", type=int, default=0, metavar="N", help="also N commands of further words")
    options = parser.parse_args(arguments)
    if options.others and options.language != "en":
        parser.error("--others: its words, of others.toml, are English")
    splits, sampler = sample(
        options.seed, language=options.language, closed=options.closed, others=options.others
    )
    options.out.mkdir(parents=True, exist_ok=True)
    train = list(rows(splits.train, sampler))
    write_jsonl(options.out / "train.jsonl", train)
    write_jsonl(options.out / "train-1000.jsonl", train[:1000])
    if splits.closed:
        write_jsonl(options.out / "train-closed.jsonl", rows(splits.closed, sampler))
    if splits.others:
        write_jsonl(options.out / "others.jsonl", splits.others)
    write_jsonl(options.out / "validation.jsonl", rows(splits.validation, sampler))
    test = [row for part in PARTS for row in rows(splits.test[part], sampler, part)]
    write_jsonl(options.out / "test.jsonl", test)
    held = words(test) - words(train[:1000])
    (options.out / "held-out.txt").write_text("".join(f"{word}\n" for word in sorted(held)), encoding="utf-8")
    functions = json.dumps(tools(sampler, read_templates(sampler.intents)), indent=1, ensure_ascii=False)
    (options.out / "tools.json").write_text(functions + "\n", encoding="utf-8")
    (options.out / "LICENSES.txt").write_text(licenses(), encoding="utf-8")
    closed = f"{len(splits.closed)} closed, " if splits.closed else ""
    print(f"{options.out}: {len(train)} train, {closed}{len(splits.validation)} validation, {len(test)} test")
    return 0


if __name__ == "__main__":
    sys.exit(main())
