"""Faults for benchmarks/data_check.py: each function makes a row faulty in one way, or returns None for a row
that can't be."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tinsmith.pipeline.recipe.tables import Constraint

FOREIGN = [
    "Mach bitte das Licht im Wohnzimmer aus",
    "Wie warm ist es gerade im Schlafzimmer",
    "Stelle einen Wecker für zehn Minuten",
    "Öffne die Rollläden in der Küche",
    "Ich möchte die Heizung etwas höher stellen",
    "Allume la lumière dans la chambre",
    "Quelle est la température dans le salon",
    "Ferme les volets de la cuisine s'il te plaît",
    "Mets un minuteur de vingt minutes",
    "Je voudrais écouter de la musique dans la salle de bain",
    "Enciende la luz de la cocina",
    "Qué temperatura hace en el dormitorio",
    "Cierra las persianas del salón por favor",
    "Pon un temporizador de quince minutos",
    "Quiero escuchar música en el baño",
    "Accendi la luce in camera da letto",
    "Che temperatura c'è in soggiorno",
    "Chiudi le tapparelle della cucina",
    "Imposta un timer di dieci minuti",
    "Doe het licht in de woonkamer uit",
    "Hoe warm is het nu in de slaapkamer",
    "Zet de verwarming een beetje hoger",
    "Acende a luz da cozinha por favor",
    "Qual é a temperatura na sala de estar",
    "Fecha as persianas do quarto",
    "Zgaś światło w salonie",
    "Jaka jest temperatura w sypialni",
    "Släck lampan i vardagsrummet",
    "Hur varmt är det i sovrummet",
    "Выключи свет в гостиной",
    "Какая температура в спальне",
    "Kapat mutfaktaki ışıkları lütfen",
    "Oturma odasında sıcaklık kaç derece",
    "寝室の電気を消してください",
    "打开厨房的灯",
]
PERSONAL = [
    "write to {name}.{name2}@{name2}mail.com",
    "my number is +49 {a}{b} {c}{d}{e}{f}{g}",
    "call me at (2{a}2) 45{b}-{c}{d}{e}{f}",
    "phone 6{a}7-23{b}-{c}{d}{e}{f}",
    "the key is sk-{hex}{hex}",
    "token ghp_{hex}{hex}",
    "my card is 4539 1488 0343 6467",
    "card 5425233430109903",
    "account DE89 3704 0044 0532 0130 00",
    "account GB82WEST12345698765432",
    "ip 8{a}.12{b}.7{c}.1{d}",
    "password: {name}{a}{b}{c}!",
]
MARKS = [
    "<|im_end|>",
    "<|im_start|>assistant",
    "[INST]",
    "</s>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<end_of_turn>",
]
ACCENTS = ["café", "naïve", "crème", "Müller", "señor", "Zürich", "it’s", "“now”", "façade", "10 €"]
NAMES = ("anna", "tom", "maria", "john", "lena", "peter", "sofia", "mark")
FILLER = ("please", "hey", "ok", "thanks")


@dataclass
class Set:
    """rows: by split; task: how answers are read; constraint: the recipe's table of it."""

    task: str
    rows: dict[str, list[dict[str, Any]]]
    constraint: Constraint = field(default_factory=Constraint)


@dataclass
class Planting:
    """Changes rows of a set, one fault in each. planted: split, number and kind; beside: rows that a fault has
    to do with, with its own."""

    set: Set
    rng: random.Random
    planted: dict[tuple[str, int], str] = field(default_factory=dict)
    beside: dict[tuple[str, int], tuple[str, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clean = [row["input"] for row in self.set.rows["train"]]

    def free(self, split: str = "train") -> int:
        """A row that no fault has to do with."""
        while True:
            at = split, self.rng.randrange(len(self.set.rows[split]))
            if at not in self.planted and at not in self.beside:
                return at[1]

    def plant(self, kind: str, make: Callable[[Planting, dict[str, Any]], dict[str, Any] | None]) -> None:
        while True:
            i = self.free()
            self.planted["train", i] = kind  # so that a partner is another
            new = make(self, dict(self.set.rows["train"][i]))
            if new is not None:
                self.set.rows["train"][i] = new
                return
            del self.planted["train", i]

    def partner(self, split: str = "train") -> dict[str, Any]:
        i = self.free(split)
        self.beside[split, i] = next(reversed(self.planted))
        return self.set.rows[split][i]


Row = dict[str, Any]


def invalid(p: Planting, row: Row) -> Row:
    text = row["output"]
    ways = [
        text[: p.rng.randrange(len(text) // 3, len(text) - 1)],
        text.replace('"', "'"),
        text[:-1] + ",}",
        f"Sure! {text}",
        text.replace(":", "", 1),
        f"```json\n{text}\n```",
        text + "}",
    ]
    return row | {"output": p.rng.choice(ways)}


def forbidden(p: Planting, row: Row) -> Row | None:
    call = json.loads(row["output"])
    arguments = call["arguments"]
    numbers = [key for key, value in arguments.items() if isinstance(value, int | float)]
    texts = [key for key in arguments if key in ("area", "floor", "domain", "device_class")]
    way = p.rng.randrange(4)
    if way == 0 and numbers:
        arguments[p.rng.choice(numbers)] = "many"
    elif way == 1 and texts:
        arguments[p.rng.choice(texts)] = "the other one"
    elif way == 2:
        arguments["urgent"] = True
    elif way == 3 and texts:
        arguments[p.rng.choice(texts)] = 7
    else:
        return None
    return row | {"output": compact(call)}


def forbidden_label(p: Planting, row: Row) -> Row:
    return row | {"output": p.rng.choice(["other", "unknown", "n/a", "misc", "none of these"])}


def mistyped(word: str, rng: random.Random) -> str:
    i = rng.randrange(1, len(word) - 1)
    ways = [
        word[:i] + word[i + 1 :],
        word[:i] + word[i] + word[i:],
        word[: i - 1] + word[i] + word[i - 1] + word[i + 1 :],
    ]
    return rng.choice([way for way in ways if way != word])


def label_typo(p: Planting, row: Row) -> Row | None:
    counts = Counter(label(p.set, one["output"]) for one in p.set.rows["train"])
    own = label(p.set, row["output"])
    if len(own) < 5 or counts[own] < 30:
        return None
    new = p.rng.choice([mistyped(own, p.rng), own.swapcase(), mistyped(own, p.rng), f"{own[:3]} {own[3:]}"])
    return row | {"output": row["output"].replace(own, new)}


def label(given: Set, output: str) -> str:
    try:
        return json.loads(output)["name"] if given.task == "call" else output
    except (ValueError, KeyError, TypeError):
        return ""


def contradiction(p: Planting, row: Row) -> Row | None:
    other = p.partner()
    if other["output"] == row["output"]:
        return None
    text = other["input"]
    return row | {"input": p.rng.choice([text, text.upper(), f"{text}.", f" {text} "])}


def nearly(text: str, rng: random.Random) -> str:
    words = text.split()
    long = [i for i, word in enumerate(words) if len(word) > 4 and word.isalpha()]
    way = rng.randrange(4)
    if way == 0 and long:
        i = rng.choice(long)
        words[i] = mistyped(words[i], rng)
    elif way == 1:
        words.insert(rng.choice([0, len(words)]), rng.choice(FILLER))
    elif way == 2:
        words[-1] += rng.choice("!?.")
        words = [word.upper() for word in words] if rng.random() < 0.3 else words
    else:
        words[0] = words[0].capitalize()
        words[-1] += " !"
    return " ".join(words)


def near_duplicate(p: Planting, row: Row) -> Row | None:
    other = p.partner()
    return row | {"input": nearly(other["input"], p.rng), "output": other["output"]}


def leak(p: Planting, row: Row) -> Row:
    other = p.partner(p.rng.choice(["validation", "test"]))
    text = other["input"] if p.rng.random() < 0.5 else nearly(other["input"], p.rng)
    return row | {"input": text, "output": other["output"]}


def too_long(p: Planting, row: Row) -> Row:
    pasted = " ".join(p.rng.choice(p.clean) for _ in range(700))
    return row | {"input": f"{row['input']} {pasted}"[:6000]}


def ungrounded(p: Planting, row: Row) -> Row | None:
    """A name of the input's that became another row's."""
    call = json.loads(row["output"])
    keys = [key for key in call["arguments"] if key in ("name", "area", "floor", "item")]
    if not keys:
        return None
    key = p.rng.choice(keys)
    values = sorted({value for one in p.set.rows["train"] if (value := argument(one, call["name"], key))})
    values = [value for value in values if value.lower() not in row["input"].lower()]
    if not values:
        return None
    call["arguments"][key] = p.rng.choice(values)
    return row | {"output": compact(call)}


def argument(row: Row, name: str, key: str) -> str | None:
    try:
        call = json.loads(row["output"])
        value = call["arguments"].get(key) if call["name"] == name else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return value if isinstance(value, str) else None


def personal(p: Planting, row: Row) -> Row:
    digits = {one: p.rng.randrange(2, 9) for one in "abcdefg"}
    names = dict(zip(("name", "name2"), p.rng.sample(NAMES, 2), strict=True))
    text = p.rng.choice(PERSONAL).format(**digits, **names, hex=f"{p.rng.getrandbits(64):016x}")
    return row | {"input": f"{row['input']}, {text}"}


def language(p: Planting, row: Row) -> Row:
    return row | {"input": p.rng.choice(FOREIGN)}


def encoding(p: Planting, row: Row) -> Row:
    word = p.rng.choice(ACCENTS)
    broken = word.encode().decode("cp1252", "replace")
    lost = "".join(one if one.isascii() else "\ufffd" for one in word)
    ways = [broken, broken, lost, f"{word}\x07", f"\u200b{word}"]
    return row | {"input": f"{row['input']} {p.rng.choice(ways)}"}


def template(p: Planting, row: Row) -> Row:
    mark = p.rng.choice(MARKS)
    if p.rng.random() < 0.5:
        return row | {"output": f"{row['output']}{mark}"}
    return row | {"input": f"{row['input']}{mark}"}


def empty(p: Planting, row: Row) -> Row:
    return row | {p.rng.choice(["input", "output"]): p.rng.choice(["", "  ", "\n"])}


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


KINDS: dict[str, dict[str, Callable[[Planting, Row], Row | None]]] = {
    "call": {
        "invalid": invalid,
        "forbidden": forbidden,
        "label_typo": label_typo,
        "contradiction": contradiction,
        "near_duplicate": near_duplicate,
        "leak": leak,
        "too_long": too_long,
        "ungrounded": ungrounded,
        "personal": personal,
        "language": language,
        "encoding": encoding,
        "template": template,
    },
    "classify": {
        "empty": empty,
        "forbidden": forbidden_label,
        "label_typo": label_typo,
        "contradiction": contradiction,
        "near_duplicate": near_duplicate,
        "leak": leak,
        "too_long": too_long,
        "personal": personal,
        "language": language,
        "encoding": encoding,
        "template": template,
    },
}
