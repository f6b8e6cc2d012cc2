"""The language of docs, help, errors and comments: plain words, short sentences, a budget of words.

words.toml has the words, and the texts that are not rewritten yet.
"""

from __future__ import annotations

import ast
import functools
import re
import tomllib
from pathlib import Path

import pytest
import sentences
from sentences import Passage

ROOT = Path(__file__).parents[2]
RULES = tomllib.loads(Path(__file__).with_name("words.toml").read_text("utf-8"))
WORDS_IN_ALL = 55_000
WORDS_A_SENTENCE, CHARACTERS_A_LINE, CHARACTERS_A_ROW = 40, 120, 200


@functools.cache
def passages() -> list[Passage]:
    return list(sentences.passages())


@functools.cache
def pages() -> list[Path]:
    return sentences.pages()


def found(word: dict[str, object], passage: Passage) -> list[str]:
    """What a passage has of a word's pattern, outside of what is allowed."""
    if not passage.path.startswith(tuple(word.get("only", [""]))):  # type: ignore[call-overload]
        return []
    text = passage.text
    for phrase in word.get("allowed", []):  # type: ignore[attr-defined]
        text = re.sub(re.escape(phrase), "", text, flags=re.I)
    matches = re.finditer(str(word["pattern"]), text, 0 if word.get("case") else re.I)
    return [match[0] for match in matches]


@pytest.mark.parametrize("word", RULES["word"], ids=lambda word: word["instead"])
def test_texts_use_the_words_of_the_field(word: dict[str, object]) -> None:
    faults = [f"{passage}: {one!r}" for passage in passages() for one in found(word, passage)]
    assert not faults, f"write {word['instead']}:\n" + "\n".join(faults)


def test_a_word_is_found_but_where_it_is_allowed() -> None:
    held = next(word for word in RULES["word"] if "held" in word["pattern"])
    text = "Answers are held to the schema, and held in memory; held-out rows are not."
    assert found(held, Passage("docs", "docs/x.md", 1, text)) == ["held"]
    places = next(word for word in RULES["word"] if "places" in word["pattern"])
    assert found(places, Passage("docs", "docs/serving.md", 1, "four places")) == ["places"]
    assert found(places, Passage("docs", "docs/x.md", 1, "four places")) == []


def test_classes_of_the_server_have_plain_names() -> None:
    strange = {"House", "Hand", "Hands", "Shelf", "Posed", "Left", "_Door"}
    for source in (ROOT / "src" / "tinsmith" / "serve").rglob("*.py"):
        tree = ast.parse(source.read_text("utf-8"))
        names = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
        assert not names & strange, source


def test_sentences_are_short() -> None:
    faults = [
        f"{passage}: {sentences.count(one)} words: {one}"
        for passage in passages()
        if passage.kind in ("docs", "help")
        for one in sentences.sentences(passage.text)
        if sentences.count(one) > WORDS_A_SENTENCE
    ]
    assert not faults, "\n".join(faults)


def test_lines_and_rows_fit() -> None:
    faults = []
    for page in pages():
        for number, line in sentences.prose_lines(page):
            most = CHARACTERS_A_ROW if line.startswith("|") else CHARACTERS_A_LINE
            if len(line) > most and not re.search(r"\S{80}", line):  # an address can't be cut
                faults.append(f"{page.relative_to(ROOT)}:{number}: {len(line)} of {most} characters")
    assert not faults, "\n".join(faults)


def test_the_documentation_keeps_its_budget_of_words() -> None:
    words = {str(page.relative_to(ROOT)): len(page.read_text("utf-8").split()) for page in pages()}
    assert sum(words.values()) <= WORDS_IN_ALL, sorted(words.items(), key=lambda item: -item[1])
