"""The page's own reader of JSON against Python's: the same texts are JSON, with the same values."""

from __future__ import annotations

import json
import random
from importlib import resources
from typing import Any

import pytest
from playwright.sync_api import Browser

PARTS = resources.files("tinsmith.serve.page")
SEEDS = [
    '{"a": [1, -2.5e3, true, false, null], "b": {"c": "\\u00e9\\n\\"x\\\\"}, "": []}',
    '[{"type": "object", "properties": {"x": {"enum": ["a", "b"]}}}, "é😀", 0, -0, 1E+2]',
    ' {"deep": [[[[{}]]]]} ',
    '"text"',
    "12",
]


READ = """texts => texts.map((text) => {
  const { value, error, places } = readJson(text);
  const { offset, message } = error ?? {};
  const told = error && { offset, message };
  return { value: error ? null : JSON.stringify(value), error: told, places: [...places] };
})"""


@pytest.fixture(scope="module")
def read(browser: Browser) -> Any:
    page = browser.new_page()
    for name in ("json.js", "suggest.js"):
        page.add_script_tag(content=(PARTS / name).read_text(encoding="utf-8"))
    yield lambda texts: page.evaluate(READ, texts)
    page.close()


def python(text: str) -> Any:
    """The value, or the error. Names that stand twice and the words NaN and Infinity are errors."""

    def pairs(given: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(given)) < len(given):
            raise ValueError("twice")
        return dict(given)

    def word(name: str) -> Any:
        raise ValueError(name)

    try:
        return json.loads(text, object_pairs_hook=pairs, parse_constant=word)
    except ValueError as error:
        return error


def damaged(seed: str, chance: random.Random) -> str:
    text = list(seed)
    for _ in range(chance.randint(0, 3)):
        at = chance.randrange(len(text) + 1)
        match chance.randrange(3):
            case 0:
                text.insert(at, chance.choice('{}[]",:\\ \n\t\x01019.eE+-tnaé/'))
            case 1:
                del text[at : at + 1]
            case _:
                text[at : at + 1] = chance.choice('{}[]",:\\ 1')
    return "".join(text)


def test_json_reader_agrees_with_python(read: Any) -> None:
    chance = random.Random(1)
    texts = [*SEEDS, "", " ", "[1,]", "NaN", "01", "1.", "'a'", "\ufeff1", '"\\ud83d\\ude00"']
    texts += [damaged(chance.choice(SEEDS), chance) for _ in range(2000)]
    refused = 0
    for text, found in zip(texts, read(texts), strict=True):
        expected = python(text)
        if isinstance(expected, ValueError):
            refused += 1
            assert found["error"], text
            assert 0 <= found["error"]["offset"] <= len(text.encode("utf-16-le")) // 2
        else:
            assert found["error"] is None, (text, found["error"])
            assert json.loads(found["value"]) == expected, text
    assert 200 < refused < 1900


def test_error_position_is_no_later_than_pythons(read: Any) -> None:
    """Every text up to the error can be gone on with, so the place is that of the first wrong character."""
    for text in ('{"a": 1 "b": 2}', "[1 2]", '{"a" 1}', "[1, }", '{"a": tru}', '["a\\x"]', '{"a": "b'):
        (found,) = read([text])
        error = python(text)
        assert isinstance(error, json.JSONDecodeError)
        assert found["error"]["offset"] <= error.pos, (text, found["error"])


def test_positions_match_json_pointers(read: Any) -> None:
    text = '{"a/b": [10, {"c~d": "x"}], "e": {}}'
    (found,) = read([text])
    places = {pointer: text[start:end] for pointer, (start, end) in found["places"]}
    assert places == {
        "": text,
        "/a~1b": '"a/b"',
        "/a~1b/0": "10",
        "/a~1b/1": '{"c~d": "x"}',
        "/a~1b/1/c~0d": '"c~d"',
        "/e": '"e"',
    }
