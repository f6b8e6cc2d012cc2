#!/usr/bin/env python3
"""Draws commands and their calls from templates.

python commands.py --out data [--count 3000] [--seed 1]

Writes train.jsonl, validation.jsonl and test.jsonl. No test command is a training command.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from typing import Any

_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
    " seventeen eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
SMALL = dict(enumerate(_SMALL.split()))
TENS = dict(zip(range(20, 100, 10), _TENS.split(), strict=True))
LENGTHS = {"half a metre": 50, "a metre": 100, "one metre": 100, "a metre and a half": 150, "two metres": 200}
LENGTHS |= {
    "two and a half metres": 250,
    "three metres": 300,
    "a hand's breadth": 10,
    "a foot": 30,
    "a step": 60,
}
ANGLES = {"a quarter turn": 90, "half a turn": 180, "a full turn": 360, "a right angle": 90, "a little": 15}
FORWARD = [
    "drive forward {}",
    "go forward {}",
    "move ahead {}",
    "{} forward",
    "go on for {}",
    "advance {}",
    "roll on {}",
]
BACK = ["back up {}", "go back {}", "reverse {}", "{} backwards", "move back by {}", "pull back {}"]
TURN = [
    "turn {way} {}",
    "turn {way} by {}",
    "rotate {} {way}",
    "spin {way} {}",
    "{} to the {way}",
    "swing {} to the {way}",
]
GO = [
    "go to the {}",
    "drive to the {}",
    "head for the {}",
    "to the {}",
    "come to the {}",
    "the {} next",
    "park at the {}",
]
HOME = ["go home", "come home", "drive home", "back home", "return home", "head home", "go back home", "home"]
PACE = {
    "slow": ["go slower", "slow down", "not so fast", "drive slowly", "take it easy", "slowly now"],
    "normal": ["normal speed", "drive normally", "at the usual pace", "back to normal speed", "regular pace"],
    "fast": ["go faster", "speed up", "full speed", "hurry up", "drive fast", "quick now"],
}
STOP = [
    "stop",
    "halt",
    "freeze",
    "stand still",
    "stop right there",
    "hold it",
    "enough",
    "don't move",
    "wait there",
]
BEFORE = [
    "",
    "",
    "",
    "please ",
    "rover, ",
    "hey rover, ",
    "now ",
    "ok, ",
    "could you ",
    "and then ",
    "rover please ",
]
AFTER = ["", "", "", "", " please", " now", ", thanks", " for me", " then"]


def words(number: int) -> str:
    """Up to 399."""
    if number >= 100:
        rest = number % 100
        return f"{SMALL[number // 100]} hundred" + (f" and {words(rest)}" if rest else "")
    if number < 20:
        return SMALL[number]
    return TENS[number // 10 * 10] + (f" {SMALL[number % 10]}" if number % 10 else "")


def number(drawn: random.Random, low: int, high: int) -> tuple[str, int]:
    """Written in digits or words; round ones more often than others."""
    step = drawn.choice([1, 5, 5, 10, 10])
    value = drawn.randrange(-(-low // step), high // step + 1) * step
    return (str(value) if drawn.random() < 0.5 else words(value)), value


def drive(drawn: random.Random) -> tuple[str, dict[str, Any]]:
    text, value = drawn.choice(list(LENGTHS.items()))
    if drawn.random() < 0.75:
        text, value = number(drawn, 5, 300)
        text += drawn.choice([" centimetres", " centimetres", " cm"])
    way = drawn.choice(["forward", "back"])
    said = drawn.choice(FORWARD if way == "forward" else BACK).format(text)
    return said, {"name": "drive", "arguments": {"way": way, "centimetres": value}}


def turn(drawn: random.Random) -> tuple[str, dict[str, Any]]:
    text, value = drawn.choice(list(ANGLES.items()))
    if drawn.random() < 0.75:
        text, value = number(drawn, 5, 360)
        text += " degrees"
    way = drawn.choice(["left", "right"])
    said = drawn.choice(TURN).format(text, way=way)
    return said, {"name": "turn", "arguments": {"way": way, "degrees": value}}


def go(drawn: random.Random) -> tuple[str, dict[str, Any]]:
    place = drawn.choice(["home", "charger", "door", "window", "table"])
    said = drawn.choice(HOME) if place == "home" else drawn.choice(GO).format(place)
    return said, {"name": "go", "arguments": {"to": place}}


def pace(drawn: random.Random) -> tuple[str, dict[str, Any]]:
    speed = drawn.choice(list(PACE))
    return drawn.choice(PACE[speed]), {"name": "pace", "arguments": {"speed": speed}}


def stop(drawn: random.Random) -> tuple[str, dict[str, Any]]:
    return drawn.choice(STOP), {"name": "stop", "arguments": {}}


KINDS = [drive, drive, drive, turn, turn, turn, go, go, pace, stop]


def command(drawn: random.Random) -> dict[str, str]:
    said, call = drawn.choice(KINDS)(drawn)
    text = drawn.choice(BEFORE) + said + drawn.choice(AFTER)
    return {"input": text, "output": json.dumps(call, separators=(",", ":"))}


def draw(count: int, seed: int) -> dict[str, list[dict[str, str]]]:
    drawn, seen = random.Random(seed), {}
    while len(seen) < count + 400:
        one = command(drawn)
        seen.setdefault(one["input"], one)
    rows = list(seen.values())
    drawn.shuffle(rows)
    return {"test": rows[:300], "validation": rows[300:400], "train": rows[400:]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    for name, rows in draw(given.count, given.seed).items():
        (given.out / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
    main()
