"""The rendered task of the skills example: a message says what its answer holds, and the test set is new."""

from __future__ import annotations

import importlib.util
import json
import random
import re
from pathlib import Path
from types import ModuleType

import pytest

SKILLS = Path(__file__).parents[2] / "examples" / "skills"
SPLITS = {"train": 200, "validation": 50, "test": 100}


@pytest.fixture(scope="module")
def module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("skills_appointments", SKILLS / "appointments.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_same_seed_gives_the_same_messages(module: ModuleType) -> None:
    first, again = (module.appointments(SPLITS, random.Random(1)) for _ in range(2))
    assert first == again != module.appointments(SPLITS, random.Random(2))
    texts = [text for rows in first.values() for text, _ in rows]
    assert len(set(texts)) == len(texts) == 350


def test_an_answer_says_what_stands_in_the_message(module: ModuleType) -> None:
    for rows in module.appointments(SPLITS, random.Random(1)).values():
        for text, answer in rows:
            said = json.loads(answer)
            assert list(said) == module.SCHEMA["required"]
            assert all(said[key] in text for key in ("what", "who", "where"))
            month, day = map(int, said["date"].split("-"))
            assert re.search(rf"\b{day}\b", text)
            assert module.MONTHS[month - 1] in text
            hour, minute = map(int, said["time"].split(":"))
            shown = re.findall(r"(?<![\d:])(\d+)(?::(\d\d))?( [ap]m)?(?!\d)", text)
            read = [
                (int(h) % 12 + 12 * (half == " pm") if half else int(h), int(m or 0))
                for h, m, half in shown
                if m or half
            ]
            assert (hour, minute) in read


def test_the_test_set_has_words_and_templates_of_its_own(module: ModuleType) -> None:
    made = module.appointments(SPLITS, random.Random(1))
    values = {
        split: {(key, json.loads(answer)[key]) for _, answer in rows for key in ("what", "who", "where")}
        for split, rows in made.items()
    }
    assert values["validation"] & values["train"]
    assert not values["test"] & values["train"]
