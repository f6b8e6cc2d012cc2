"""What the village's characters learn, of characters.toml: `characters.py FOLDER` writes tools and examples.

The last phrase of each outcome is for the test, the one before for validation. The others are training examples
with and without the character's name.
"""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
GIVEN = tomllib.loads((HERE / "characters.toml").read_text(encoding="utf-8"))
CHARACTERS = {key: value for key, value in GIVEN.items() if key not in ("everyone", "off_topic")}


def call_of(outcome: dict[str, Any]) -> dict[str, Any]:
    arguments = {key: value for key, value in outcome.items() if key not in ("call", "said")}
    return {"name": outcome["call"], "arguments": arguments}


def tools(outcomes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A tool for each name, whose arguments are those that occur."""
    found: dict[str, dict[str, list[Any]]] = {}
    for call in map(call_of, outcomes):
        for key, value in call["arguments"].items():
            values = found.setdefault(call["name"], {}).setdefault(key, [])
            if value not in values:
                values.append(value)
    return [
        {
            "name": name,
            "parameters": {
                "type": "object",
                "properties": {key: {"enum": values} for key, values in keys.items()},
                "required": list(keys),
            },
        }
        for name, keys in found.items()
    ]


def examples(name: str, outcomes: list[dict[str, Any]]) -> dict[str, list[dict[str, str]]]:
    splits: dict[str, list[dict[str, str]]] = {"train": [], "validation": [], "test": []}
    for outcome in outcomes:
        output = json.dumps(call_of(outcome), separators=(",", ":"))
        *learned, validated, tested = outcome["said"]
        learned += [f"{name}, {text}" for text in learned]
        for split, texts in (("train", learned), ("validation", [validated]), ("test", [tested])):
            splits[split] += [{"input": text, "output": output} for text in texts]
    return splits


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    everything = []
    for key, character in CHARACTERS.items():
        outcomes = character["does"] + GIVEN["everyone"]
        everything += outcomes
        (folder / f"{key}-tools.json").write_text(json.dumps(tools(outcomes), indent=1) + "\n")
        for split, rows in examples(character["name"], outcomes).items():
            lines = "".join(json.dumps(row) + "\n" for row in rows)
            (folder / f"{key}-{split}.jsonl").write_text(lines)
    (folder / "tools.json").write_text(json.dumps(tools(everything), indent=1) + "\n")
    (folder / "off_topic.txt").write_text("\n".join(GIVEN["off_topic"]) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
