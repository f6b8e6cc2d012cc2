"""Draws a home's commands with their Home Assistant calls.

    python sample.py --out data [--seed 1] [--train 3000]

writes train.jsonl, validation.jsonl (200), test.jsonl (300) and tools.json from house.toml's words. The
same seed gives the same bytes; no two commands, in whatever file, are the same words.
"""

from __future__ import annotations

import argparse
import json
import random
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ON = (
    "turn on {}",
    "switch on {}",
    "turn {} on",
    "switch {} on",
    "{} on",
    "start {}",
    "put {} on",
    "get {} going",
)
OFF = (
    "turn off {}",
    "switch off {}",
    "turn {} off",
    "switch {} off",
    "{} off",
    "stop {}",
    "shut {} off",
    "shut down {}",
)
ROOM_ON = ("lights on in the {}", "light up the {}", "make it bright in the {}", "it is too dark in the {}")
ROOM_OFF = (
    "lights off in the {}",
    "lights out in the {}",
    "make it dark in the {}",
    "it is too bright in the {}",
)
LIGHTS = (
    "the lights in the {}",
    "the {} lights",
    "all the lights in the {}",
    "{} lights",
    "every light in the {}",
)
BEFORE = (
    "",
    "",
    "",
    "please ",
    "could you ",
    "can you ",
    "would you ",
    "hey, ",
    "i want you to ",
    "it is time to ",
)
AFTER = ("", "", "", "", " please", " now", " for me", " right away", " again", ", will you")
NOTHING = {"name": "HassNevermind", "arguments": {}}

Command = tuple[str, dict[str, Any]]


def called(on: bool, **arguments: str) -> dict[str, Any]:
    return {"name": "HassTurnOn" if on else "HassTurnOff", "arguments": arguments}


def draw(words: dict[str, list[str]], rng: random.Random) -> Command:
    """A command and its call."""
    kind = rng.random()
    if kind < 0.2:
        said = rng.choice(words["chatter"]).replace("{device}", rng.choice(words["devices"]))
        return said.replace("{}", rng.choice(words["fillers"])), NOTHING
    on = rng.random() < 0.5
    if kind < 0.4:
        area = rng.choice(words["areas"])
        what, call = rng.choice(LIGHTS).format(area), called(on, area=area, domain="light")
        if rng.random() < 0.3:
            return rng.choice(ROOM_ON if on else ROOM_OFF).format(area) + rng.choice(AFTER), call
    else:
        device = rng.choice(words["devices"])
        what, call = rng.choice(("the ", "the ", "", "my ")) + device, called(on, name=device)
    return rng.choice(BEFORE) + rng.choice(ON if on else OFF).format(what) + rng.choice(AFTER), call


def written(text: str, rng: random.Random) -> str:
    """As people type, or as speech recognition writes: half of the time with a capital and punctuation."""
    return text if rng.random() < 0.5 else text[0].upper() + text[1:] + rng.choice((".", ".", "", "!"))


def closed(**properties: Any) -> dict[str, Any]:
    """An object of these, and no others."""
    named = {"type": "object", "properties": properties, "required": list(properties)}
    return named | {"additionalProperties": False}


def tools(words: dict[str, list[str]]) -> list[dict[str, Any]]:
    """In OpenAI's shape: a call is for a device by its name, or for the lights of an area."""
    name, area = ({"type": "string", "enum": words[key]} for key in ("devices", "areas"))
    switched = {"anyOf": [closed(name=name), closed(area=area, domain={"type": "string", "enum": ["light"]})]}
    shapes = {"HassTurnOn": switched, "HassTurnOff": switched, "HassNevermind": closed()}
    return [
        {"type": "function", "function": {"name": name, "parameters": shape}} for name, shape in shapes.items()
    ]


def distinct(make: Callable[[], Command]) -> Iterator[Command]:
    seen: set[str] = set()
    while True:
        text, call = make()
        plain = "".join(c for c in text.lower() if c.isalnum() or c == " ")
        if plain not in seen:
            seen.add(plain)
            yield text, call


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path("data"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--train", type=int, default=3000)
    given = parser.parse_args()
    words = tomllib.loads(Path(__file__).with_name("house.toml").read_text(encoding="utf-8"))
    rng = random.Random(given.seed)
    commands = distinct(lambda: draw(words, rng))
    given.out.mkdir(parents=True, exist_ok=True)
    for name, count in (("validation", 200), ("test", 300), ("train", given.train)):
        rows = []
        for _ in range(count):
            text, call = next(commands)
            output = json.dumps(call, separators=(",", ":"))
            rows.append(json.dumps({"input": written(text, rng), "output": output}) + "\n")
        (given.out / f"{name}.jsonl").write_text("".join(rows), encoding="utf-8")
    (given.out / "tools.json").write_text(json.dumps(tools(words), indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
