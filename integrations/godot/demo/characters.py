"""What the village's characters learn: `characters.py FOLDER` writes, for each, its tools and its examples.

A character is a list of outcomes: a call, and what players say that it should follow from. The last phrasing of each
is kept for the test, the one before for validation; of the others examples are made with and without its name.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

PLACES = ("forge", "inn", "gate", "well")
Outcome = tuple[str, dict[str, Any], tuple[str, ...]]

WALKS: list[Outcome] = [
    ("walk", {"place": "forge"}, ("go to the forge", "we need you at the forge", "head over to the anvil", "walk to the smithy", "meet me at the forge")),
    ("walk", {"place": "inn"}, ("go to the inn", "come along to the inn", "let's have a meal together", "walk over to the tavern", "meet me at the inn")),
    ("walk", {"place": "gate"}, ("go to the gate", "there is trouble at the gate", "walk down to the town gate", "come and see who is outside the walls", "meet me at the gate")),
    ("walk", {"place": "well"}, ("go to the well", "fetch some water", "walk to the middle of the village", "we gather around the well", "meet me at the well")),
]
GREETINGS = ("hello", "good morning", "hi there", "greetings", "good day to you")
THANKS = ("thank you", "thanks a lot", "I owe you one", "that was kind of you", "many thanks")
DANGERS = ("are there bandits about?", "is the road safe?", "have you seen the robbers?", "what about the bandits in the woods?", "any news of the bandits?")
GOODBYES = ("goodbye", "see you later", "I must be off", "farewell", "until tomorrow then")

CHARACTERS: dict[str, list[Outcome]] = {
    "smith": [
        ("forge", {"item": "sword"}, ("make me a sword", "I need a blade", "forge something sharp to fight with", "can you make a long sword?", "I want a new sword")),
        ("forge", {"item": "shield"}, ("make me a shield", "I need something to block arrows", "forge a round shield", "can you make a shield?", "I want a new shield")),
        ("forge", {"item": "horseshoe"}, ("my horse has lost a shoe", "make a horseshoe", "the mare needs shoeing", "can you shoe a horse?", "I want a new horseshoe")),
        ("forge", {"item": "nails"}, ("I need nails", "make a bag of nails", "the roof must be nailed down", "can you make some nails?", "I want a hundred nails")),
        ("say", {"line": "hello"}, GREETINGS),
        ("say", {"line": "thanks"}, THANKS),
        ("say", {"line": "bandits"}, DANGERS),
        ("say", {"line": "goodbye"}, GOODBYES),
        ("say", {"line": "price"}, ("how much is it?", "what do you charge?", "is that expensive?", "what does it cost?", "name your price")),
        *WALKS,
    ],
    "innkeeper": [
        ("pour", {"drink": "ale"}, ("an ale please", "pour me a beer", "I want something strong", "a pint of your best", "one ale")),
        ("pour", {"drink": "cider"}, ("a cider please", "pour me some cider", "do you have apples in a mug?", "something made of apples", "one cider")),
        ("pour", {"drink": "milk"}, ("a milk please", "pour me some milk", "something for the child", "nothing strong for me", "one milk")),
        ("rent", {"nights": 1}, ("a bed for tonight", "I need a room", "can I sleep here?", "a room for one night", "one night please")),
        ("rent", {"nights": 2}, ("a room until the day after tomorrow", "a room for two nights", "we stay two nights", "a bed for two nights", "two nights please")),
        ("rent", {"nights": 3}, ("a room for three nights", "we stay three nights", "a bed for three nights", "I stay for three days", "three nights please")),
        ("say", {"line": "hello"}, GREETINGS),
        ("say", {"line": "thanks"}, THANKS),
        ("say", {"line": "bandits"}, DANGERS),
        ("say", {"line": "goodbye"}, GOODBYES),
        ("say", {"line": "rumour"}, ("what's new?", "tell me a story", "heard any gossip?", "what do people say?", "any rumours?")),
        *WALKS,
    ],
    "guard": [
        ("gate", {"state": "open"}, ("open the gate", "let me out", "let the merchants in", "I have to leave, unbar the door", "please open up")),
        ("gate", {"state": "closed"}, ("close the gate", "bar the door", "shut them out", "nobody may come in any more", "please lock up")),
        ("ring", {"times": 1}, ("ring the bell", "wake the village", "sound the bell once", "give a signal", "ring once")),
        ("ring", {"times": 3}, ("raise the alarm", "fire!", "bandits are coming, sound the alarm", "we are under attack", "ring three times")),
        ("say", {"line": "hello"}, GREETINGS),
        ("say", {"line": "thanks"}, THANKS),
        ("say", {"line": "bandits"}, DANGERS),
        ("say", {"line": "goodbye"}, GOODBYES),
        ("say", {"line": "halt"}, ("give me your spear", "I will sneak past you", "look away for a moment", "take this coin and forget my face", "let me steal something")),
        *WALKS,
    ],
}
NAMES = {"smith": "Mara", "innkeeper": "Tobin", "guard": "Ilse"}
OFF_TOPIC = (
    "what is the capital of France?", "how do I sort a list in Python?", "translate this letter to German",
    "the stock market fell again", "my phone does not charge", "who won the football match?",
    "explain photosynthesis", "write a cover letter", "how far is the moon?", "my printer is out of ink",
    "book a flight to Rome", "what is 12 times 31?",
)


def tools(outcomes: list[Outcome]) -> list[dict[str, Any]]:
    """One for each name, whose argument is one of those that occur."""
    found: dict[str, dict[str, list[Any]]] = {}
    for name, arguments, _ in outcomes:
        for key, value in arguments.items():
            values = found.setdefault(name, {}).setdefault(key, [])
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


def examples(name: str, outcomes: list[Outcome]) -> dict[str, list[dict[str, str]]]:
    splits: dict[str, list[dict[str, str]]] = {"train": [], "validation": [], "test": []}
    for function, arguments, phrasings in outcomes:
        output = json.dumps({"name": function, "arguments": arguments}, separators=(",", ":"))
        *learned, validated, tested = phrasings
        for split, texts in (("train", learned), ("validation", [validated]), ("test", [tested])):
            for text in texts:
                splits[split].append({"input": text, "output": output})
                if split == "train":
                    splits[split].append({"input": f"{NAMES[name]}, {text}", "output": output})
    return splits


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, outcomes in CHARACTERS.items():
        (folder / f"{name}-tools.json").write_text(json.dumps(tools(outcomes), indent=1) + "\n")
        for split, rows in examples(name, outcomes).items():
            lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            (folder / f"{name}-{split}.jsonl").write_text(lines)
    everything = [outcome for outcomes in CHARACTERS.values() for outcome in outcomes]
    (folder / "tools.json").write_text(json.dumps(tools(everything), indent=1) + "\n")
    (folder / "off_topic.txt").write_text("\n".join(OFF_TOPIC) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
