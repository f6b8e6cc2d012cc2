"""What the command line says of itself is what the repository has: each verb's --help, and docs/commands.md."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from tinsmith.cli import verbs

ROOT = Path(__file__).parents[2]
AGAIN = "run scripts/commands.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("commands_script", ROOT / "scripts" / "commands.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("verb", ["", *verbs()])
def test_help_is_as_it_was(script: ModuleType, verb: str) -> None:
    file = script.GOLDEN / f"{verb.replace(' ', '-') or 'tinsmith'}.txt"
    assert script.shown(*verb.split(), "--help") == file.read_text(encoding="utf-8"), AGAIN


def test_no_help_is_of_a_verb_that_is_gone(script: ModuleType) -> None:
    assert {path.name for path in script.GOLDEN.iterdir()} == set(script.golden()), AGAIN


def test_the_page_is_what_the_verbs_say(script: ModuleType) -> None:
    assert script.PAGE.read_text(encoding="utf-8") == script.page(), AGAIN
