"""Constraints on their way into a tin."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

import tinsmith
from tests.models.tiny_models import tiny_spec
from tinsmith import constraint as compiled
from tinsmith import models, tasks
from tinsmith.constraint import makers
from tinsmith.data.readers import Example
from tinsmith.errors import ConstraintError, DataError, FormatError, InputError, RecipeError
from tinsmith.models import family
from tinsmith.pipeline import constraint as constraints
from tinsmith.pipeline import recipe
from tinsmith.pipeline.recipe.tables import Constraint
from tinsmith.prepare.allowed import Checker

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "light",
            "parameters": {
                "type": "object",
                "properties": {
                    "room": {"type": "string", "enum": ["hall", "attic"]},
                    "on": {"type": "boolean"},
                },
                "required": ["on"],
            },
        },
    }
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tinsmith.Model:
    path = tmp_path_factory.mktemp("constraints") / "tiny.gguf"
    models.save_gguf(tiny_spec(family.by_name("llama")), path)
    return tinsmith.load(path, threads=1)


def test_a_file_is_sealed_with_its_name_and_digest(model: tinsmith.Model, tmp_path: Path) -> None:
    text = json.dumps(TOOLS)
    (tmp_path / "tools.json").write_text(text)
    sealed = constraints.seal(Constraint(tools="tools.json"), tmp_path)
    assert sealed.facts["sha256"] == hashlib.sha256(text.encode()).hexdigest()
    facts = {key: sealed.facts[key] for key in ("source", "file", "kind", "format", "spacing", "shortest")}
    assert facts == {
        "source": "tools",
        "file": "tools.json",
        "kind": "tools",
        "format": "json",
        "spacing": "compact",
        "shortest": len('{"name":"light","arguments":{"on":true}}'),
    }
    checker = Checker(model, sealed.data)
    assert checker.departure('{"name":"light","arguments":{"room":"attic","on":false}}') is None
    departure = checker.departure('{"name":"light","arguments":{"room":"cellar","on":false}}')
    assert departure is not None
    assert 'got \'cellar","on":false}}\'; allowed there: "a", "h"' in str(departure)


def test_labels_are_those_of_the_training_examples(model: tinsmith.Model, tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(
        '[base]\nmodel = "m"\n[data]\ntrain = "a"\nvalidation = "b"\ntest = "c"\ntask = "classify"\n'
        '[constraint]\nchoices = "labels"\n'
    )
    train = [Example("1", "good"), Example("2", "bad"), Example("3", "good")]
    sealed = constraints.of_recipe(recipe.load(tmp_path / "r.toml"), train)
    assert sealed is not None
    checker = Checker(model, sealed.data)
    assert [checker.departure(text) is None for text in ("good", "bad", "ugly")] == [True, True, False]


def test_several_labels_are_a_list_of_them(model: tinsmith.Model, tmp_path: Path) -> None:
    outputs = ['["a","b"]', '["c"]', "[]"]
    sealed = constraints.seal(Constraint(choices="labels"), tmp_path, tasks.by_name("classify"), outputs)
    checker = Checker(model, sealed.data)
    allowed = [
        checker.departure(text) is None for text in ('["c","a"]', "[]", '["a","a"]', '["a","b","c"]', "a")
    ]
    assert allowed == [True, True, False, False, False]


DATA = '[base]\nmodel = "m"\n[data]\ntrain = "a"\nvalidation = "b"\ntest = "c"\n'
FREE = "[constraint]\nunconstrained = true\n"
CALL = '{"name": "light", "arguments": {"on": true}}'


@pytest.mark.parametrize(
    ("more", "outputs", "found"),
    [
        ('task = "classify"\n', ["good", "bad"], ("choices", None)),
        ('task = "classify"\n' + FREE, ["good", "bad"], None),
        ('task = "chat"\n', ["good", "bad"], None),
        ('tools = "tools.json"\n', [CALL.replace(" ", "")], ("tools", "compact")),
        ('tools = "tools.json"\n', [CALL], ("tools", "spaced")),
        (
            'tools = "tools.json"\n',
            [f"[{CALL},{CALL}]".replace(" ", ""), CALL.replace(" ", "")],
            ("tools", "compact"),
        ),
        (
            'tools = "tools.json"\n',
            [CALL.replace(" ", ""), CALL],
            "tools would forbid an output at character 9,",
        ),
        ('tools = "tools.json"\n[constraint]\nregex = "a"\n', [CALL], None),
        ("", [CALL], None),
        ('task = "extract"\nschema = "schema.json"\n', ['{"a":1}'], ("schema", "compact")),
        (
            'task = "extract"\nschema = "schema.json"\n',
            ['{"a":"1"}'],
            "schema would forbid an output at character 6,",
        ),
    ],
)
def test_a_constraint_follows_from_the_task(
    more: str, outputs: list[str], found: Any, model: tinsmith.Model, tmp_path: Path
) -> None:
    (tmp_path / "tools.json").write_text(json.dumps(TOOLS))
    (tmp_path / "schema.json").write_text('{"properties": {"a": {"type": "integer"}}, "required": ["a"]}')
    (tmp_path / "r.toml").write_text(DATA + more)
    base = tmp_path / "tiny.gguf"
    models.save_gguf(tiny_spec(family.by_name("llama")), base)
    train = [Example(str(n), output) for n, output in enumerate(outputs)]
    sealed = constraints.of_task(recipe.load(tmp_path / "r.toml"), train, outputs, base)
    if isinstance(found, str):
        assert isinstance(sealed, str) and sealed.startswith(found)
    elif found is None:
        assert sealed is None
    else:
        assert isinstance(sealed, constraints.Sealed)
        assert (sealed.facts["source"], sealed.facts.get("spacing")) == found


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('tools = "tools.json"\n', ["no example has some arguments of the others: light.room"]),
        ('[constraint]\nschema = "schema.json"\n', ["no example has some fields: a"]),
        ('[constraint]\nchoices = ["x", "y"]\n', ["no example has 2 of the 2 labels: x, y"]),
        ("", []),
    ],
)
def test_what_no_example_shows_is_said(more: str, said: list[str], tmp_path: Path) -> None:
    (tmp_path / "tools.json").write_text(json.dumps(TOOLS))
    (tmp_path / "schema.json").write_text('{"properties": {"a": {"type": "integer"}}}')
    (tmp_path / "r.toml").write_text(DATA + more)
    train = [Example("on", '{"name": "light", "arguments": {"on": true}}')]
    loaded = recipe.load(tmp_path / "r.toml")
    assert list(constraints.unshown(loaded, train)) == said
    assert list(constraints.unshown(loaded, [])) == []


def test_a_file_that_it_would_follow_from_and_that_is_not_there(tmp_path: Path) -> None:
    """A mistyped name is no wish to have no constraint."""
    (tmp_path / "r.toml").write_text(DATA + 'task = "extract"\nschema = "shema.json"\n')
    with pytest.raises(
        InputError, match=r"r\.toml: \[data\] schema: .*shema\.json: no such file; check the path"
    ):
        constraints.of_task(recipe.load(tmp_path / "r.toml"), [Example("1", "{}")], ["{}"], tmp_path)


@pytest.mark.parametrize("search", [0, 5, None])
def test_a_search_may_be_stated_alone(search: int | None, model: tinsmith.Model, tmp_path: Path) -> None:
    stated = "" if search is None else f"[constraint]\nmax_backtracks = {search}\n"
    (tmp_path / "tools.json").write_text(json.dumps(TOOLS))
    (tmp_path / "r.toml").write_text(DATA + 'tools = "tools.json"\n' + stated)
    base, output = tmp_path / "tiny.gguf", CALL.replace(" ", "")
    models.save_gguf(tiny_spec(family.by_name("llama")), base)
    loaded = recipe.load(tmp_path / "r.toml")
    sealed = constraints.of_task(loaded, [Example("1", output)], [output], base)
    assert isinstance(sealed, constraints.Sealed)
    assert compiled.Constraint.of_bytes("tools", sealed.data).search == (16 if search is None else search)
    if stated:
        (tmp_path / "r.toml").write_text(DATA + stated)
        with pytest.raises(RecipeError, match="says nothing of the answer"):
            recipe.load(tmp_path / "r.toml")


@pytest.mark.parametrize(("stated", "worth"), [("", 4.0), ("max_backtracks = 0", 0.0)])
def test_what_training_says_of_new_words_is_sealed(stated: str, worth: float, tmp_path: Path) -> None:
    """Every word that one example alone has stands in its answer here; those that several have say nothing."""
    (tmp_path / "tools.json").write_text(json.dumps(TOOLS))
    (tmp_path / "r.toml").write_text(
        DATA + 'tools = "tools.json"\n' + f"[constraint]\n{stated}\n" * bool(stated)
    )
    base, output = tmp_path / "tiny.gguf", CALL.replace(" ", "")
    models.save_gguf(tiny_spec(family.by_name("llama")), base)
    train = [Example(f"about word{n}", f"word{n}", ()) for n in range(40)]
    loaded = recipe.load(tmp_path / "r.toml")
    sealed = constraints.of_task(loaded, train, [output], base)
    assert isinstance(sealed, constraints.Sealed)
    assert sealed.facts["coverage"] == worth
    assert compiled.Constraint.of_bytes("tools", sealed.data).coverage == worth


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (FREE + 'regex = "a"\n', "unconstrained: contradicts the other keys"),
        ('schema = "s"\n', "schema: the answers of the task call are no JSON by a schema"),
        ('[eval]\nbaselines = ["tfidf"]\n', 'baselines: "tfidf" learns labels; the task call has none'),
    ],
)
def test_what_does_not_go_together(more: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(DATA + more)
    with pytest.raises(RecipeError, match=re.escape(message)):
        recipe.load(tmp_path / "r.toml")


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("(ja|nein), bitte", "ja, bitte", None),
        ("(ja|nein), bitte", "nun", "at character 2, after 'n': got 'un'; allowed there: \"e\""),
        ("a(bc?)?", "abd", "at character 3, after 'ab': got 'd'; allowed there: \"c\", the end"),
        ("ab", "a", "at character 2, after 'a': got the end; allowed there: \"b\""),
        ("a|b", "", 'at character 1, after the beginning: got the end; allowed there: "a", "b"'),
        ("xé", "xè", "at character 2, after 'x': got 'è'; allowed there: a character beyond ASCII"),
        ("a", "aa", "at character 2, after 'a': got 'a'; allowed there: the end"),
    ],
)
def test_where_a_text_departs(model: tinsmith.Model, pattern: str, text: str, expected: str | None) -> None:
    departure = Checker(model, makers.regex(pattern).data).departure(text)
    assert (departure and str(departure)) == expected


def test_an_output_that_departs_names_file_and_example(model: tinsmith.Model) -> None:
    checker = Checker(model, makers.regex("[0-9]+").data)
    examples = [Example("one", "1"), Example("two", "2b")]
    constraints.check_outputs(checker, Path("train.jsonl"), examples[:1])
    with pytest.raises(
        DataError, match=r"train.jsonl: example 2: .*forbids its output at character 2, after '2'"
    ):
        constraints.check_outputs(checker, Path("train.jsonl"), examples)


@pytest.mark.parametrize(
    ("name", "text", "error", "message"),
    [
        ("schema.json", "{", ConstraintError, "schema.json: not JSON at column 2"),
        ("schema.json", '{"type": "number", "minLenght": 3}', ConstraintError, "schema.json: #.*minLength"),
        ("tools.json", "[]", ConstraintError, "tools.json: "),
        ("schema.json", "[" * 100_000, ConstraintError, "schema.json: nests more than 200"),
        ("grammar.txt", "root ::= x", ConstraintError, r"grammar.txt: .* \.gbnf or \.lark"),
        ("grammar.gbnf", "root ::= x", ConstraintError, "grammar.gbnf: "),
        ("schema.json", None, InputError, "schema.json: no such file"),
        ("schema.json", b"\xff", ConstraintError, "schema.json:1: not UTF-8 text at byte 0"),
        ("schema.json", b"GGUF\0\xff", ConstraintError, "schema.json: is a binary file, not text; check"),
    ],
)
def test_a_wrong_file_is_named(
    tmp_path: Path, name: str, text: str | bytes | None, error: type[Exception], message: str
) -> None:
    if text is not None:
        (tmp_path / name).write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(error, match=message):
        constraints.seal(Constraint(**{name.partition(".")[0]: name}), tmp_path)


def test_what_is_no_constraint_is_refused(model: tinsmith.Model) -> None:
    with pytest.raises(FormatError, match="does not open"):
        Checker(model, bytes(64))
