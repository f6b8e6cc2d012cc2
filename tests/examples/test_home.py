"""The home example's data is what its README says."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
import tomllib
from importlib.metadata import version
from itertools import combinations
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.models.kept import digest, kept
from tinsmith.data.readers import Example, read_jsonl
from tinsmith.data.splits import normalize, shared_inputs
from tinsmith.pipeline import recipe

pytest.importorskip("hassil")
pytest.importorskip("home_assistant_intents")
HOME = Path(__file__).parents[2] / "examples" / "home"
PARTS = ("seen", "unseen_template", "unseen_value", "unseen_both", "unseen_combination")


@pytest.fixture(scope="module")
def sampler() -> ModuleType:
    spec = importlib.util.spec_from_file_location("home_sample", HOME / "sample.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["home_sample"] = module  # dataclasses look their module up
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(HOME))  # its other modules lie beside it
        spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def data(sampler: ModuleType) -> dict[str, list[Example]]:
    def make(path: Path) -> None:
        assert sampler.main(["--out", str(path)]) == 0

    # The same sources and packages give the same bytes: test_the_seed_decides.
    inputs = [digest(*sorted(HOME.glob("*.py")), HOME / "home.toml"), *map(version, sampler.PACKAGES)]
    folder = kept("home", inputs, make)
    licenses = (folder / "LICENSES.txt").read_text()
    assert "home-assistant-intents" in licenses
    assert licenses.count("Apache-2.0") >= 2
    read = {path.stem: read_jsonl(path) for path in folder.glob("*.jsonl")}
    held = {word for one in read["test"] for word in words(one)} - {
        word for one in read["train-1000"] for word in words(one)
    }
    assert (folder / "held-out.txt").read_text().split() == sorted(held)
    return read


@pytest.fixture(scope="module")
def tools(sampler: ModuleType, data: dict[str, list[Example]]) -> list[dict[str, Any]]:
    _, drawn = sampler.sample(1, train=340, subset=330, validation=5, part=3)
    made: list[dict[str, Any]] = sampler.tools(drawn, sampler.read_templates(drawn.intents))
    return made


def template(example: Example) -> str:
    return str(example.about["template"])


def values(example: Example) -> list[tuple[str, str]]:
    return [(kind, text) for kind, text in example.about["values"]]


def words(example: Example) -> list[str]:
    return re.findall(r"[^\W_]+", example.input.lower())


def pairs(examples: list[Example]) -> set[frozenset[Any]]:
    return {frozenset(pair) for example in examples for pair in combinations(values(example), 2)}


def texts_passed_on(example: Example) -> set[str]:
    call = json.loads(example.output)
    return {value for value in call["arguments"].values() if isinstance(value, str)}


def part(data: dict[str, list[Example]], name: str) -> list[Example]:
    return [example for example in data["test"] if example.part == name]


@pytest.mark.slow
def test_sizes(data: dict[str, list[Example]]) -> None:
    sizes = {name: len(examples) for name, examples in data.items()}
    assert sizes == {"train": 3000, "train-1000": 1000, "validation": 200, "test": 500}
    assert data["train"][:1000] == data["train-1000"]
    assert {name: len(part(data, name)) for name in PARTS} == dict.fromkeys(PARTS, 100)


def test_no_utterance_is_in_two_splits_or_twice_in_one(data: dict[str, list[Example]]) -> None:
    assert shared_inputs(data["train"], data["test"]) == []
    assert shared_inputs(data["train"], data["validation"]) == []
    assert shared_inputs(data["validation"], data["test"]) == []
    for examples in data.values():
        assert len({normalize(example.input) for example in examples}) == len(examples)


def test_what_a_part_calls_seen_is_in_the_first_thousand(data: dict[str, list[Example]]) -> None:
    first = data["train-1000"]
    templates = {template(example) for example in first}
    known = {value for example in first for value in values(example)}
    for name in ("seen", "unseen_value", "unseen_combination"):
        assert templates.issuperset(template(example) for example in part(data, name))
    for name in ("seen", "unseen_template", "unseen_combination"):
        assert all(known.issuperset(values(example)) for example in part(data, name))


def test_what_a_part_calls_unseen_is_in_no_training_example(data: dict[str, list[Example]]) -> None:
    templates = {template(example) for example in data["train"]}
    known = {value for example in data["train"] for value in values(example)}
    together = pairs(data["train"])
    families = {name.rpartition("/")[0] for name in templates}
    for name in ("unseen_template", "unseen_both"):
        assert templates.isdisjoint(template(example) for example in part(data, name))
        assert families.issuperset(template(example).rpartition("/")[0] for example in part(data, name))
    for name in ("unseen_value", "unseen_both"):
        for example in part(data, name):
            assert any(value not in known for value in values(example))
    assert all(not pairs([example]) <= together for example in part(data, "unseen_combination"))
    assert all(
        pairs([example]).isdisjoint(pairs(part(data, "unseen_combination")) - together)
        for example in data["train"]
    )


def test_an_unseen_name_stands_in_no_training_answer(data: dict[str, list[Example]]) -> None:
    passed_on = set().union(*(texts_passed_on(example) for example in data["train"]))
    for name in ("unseen_value", "unseen_both"):
        for example in part(data, name):
            named = {text for kind, text in values(example) if kind in ("area", "name", "timer_name")}
            assert passed_on.isdisjoint(named & texts_passed_on(example))


def test_calls_are_compact_stripped_and_ordered(sampler: ModuleType, data: dict[str, list[Example]]) -> None:
    argument_order = sys.modules["drawing"].ARGUMENT_ORDER
    for example in (*data["train"], *data["test"]):
        call = json.loads(example.output)
        assert list(call) == ["name", "arguments"]
        assert example.output == json.dumps(call, separators=(",", ":"), ensure_ascii=False)
        order = [argument_order.index(name) for name in call["arguments"]]
        assert order == sorted(order)
        assert all(text == text.strip() != "" for text in texts_passed_on(example))


@pytest.mark.slow
def test_the_functions_take_every_call_and_know_every_word(
    sampler: ModuleType, data: dict[str, list[Example]], tools: list[dict[str, Any]]
) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    parameters = {tool["function"]["name"]: tool["function"]["parameters"] for tool in tools}
    for examples in data.values():
        for example in examples:
            for output in {example.output, *example.accept}:
                call = json.loads(output)
                taken = parameters[call["name"]]
                jsonschema.validate(call["arguments"], taken, jsonschema.Draft202012Validator)
                named = [name for name in taken["properties"] if name in call["arguments"]]
                assert list(call["arguments"]) == named
    home = tomllib.loads((HOME / "home.toml").read_text())
    assert parameters["HassTurnOn"]["properties"]["area"]["enum"] == home["areas"]
    assert parameters["HassVacuumReturnToBase"]["properties"]["name"]["enum"] == home["devices"]["vacuum"]
    assert parameters["HassVacuumReturnToBase"]["required"] == ["name"]


def test_accept_lists_every_reading(data: dict[str, list[Example]]) -> None:
    assert all(example.accept[0] == example.output for example in data["test"])
    several = sum(len(example.accept) > 1 for example in data["test"])
    assert 0.1 < several / len(data["test"]) < 0.4


def test_no_function_dominates_and_the_thousand_hold_all(data: dict[str, list[Example]]) -> None:
    functions = [json.loads(example.output)["name"] for example in data["train-1000"]]
    assert set(functions) == {json.loads(example.output)["name"] for example in data["train"]}
    assert len(set(functions)) > 40
    assert max(functions.count(name) for name in set(functions)) < 200


@pytest.mark.slow
def test_the_seed_decides(sampler: ModuleType) -> None:
    def draw(seed: int) -> list[str]:
        splits, _ = sampler.sample(seed, train=340, subset=330, validation=5, part=3)
        return [command.text for commands in (splits.train, *splits.test.values()) for command in commands]

    assert draw(5) == draw(5)
    assert draw(5) != draw(6)


def test_the_closed_set_has_every_word_and_none_of_the_other_commands(sampler: ModuleType) -> None:
    sizes = {"train": 340, "subset": 330, "validation": 5, "part": 3}
    splits, drawn = sampler.sample(1, **sizes, closed=200)
    before, _ = sampler.sample(1, **sizes)
    assert [command.text for command in splits.train] == [command.text for command in before.train]
    assert len(splits.closed) == 200
    others = [*splits.train, *splits.validation, *(c for part in splits.test.values() for c in part)]
    words = [sampler.plain_words(command.text) for command in (*splits.closed, *others)]
    assert len(set(words)) == len(words)
    unseen = [any(value in drawn.home.unseen for value in command.values) for command in splits.closed]
    assert 0.1 < sum(unseen) / 200 < 0.3
    held = {template.name for template in sampler.read_templates(drawn.intents)}
    held -= {command.template.name for command in (*splits.train, *splits.validation)}
    assert any(command.template.name in held for command in splits.closed)


def test_others_have_words_that_no_other_file_has(sampler: ModuleType) -> None:
    home, others = (tomllib.loads((HOME / name).read_text()) for name in ("home.toml", "others.toml"))
    lists = [
        (home[table][name] if table else home[name], words)
        for table in ("devices", "words", None)
        for name, words in (others[table] if table else others).items()
        if isinstance(words, list)
    ]
    assert len(lists) == len(home["devices"]) + len(home["words"]) + 2
    assert all(set(own).isdisjoint(words) for own, words in lists)
    sizes = {"train": 340, "subset": 330, "validation": 5, "part": 3}
    splits, _ = sampler.sample(1, **sizes, others=50)
    before, _ = sampler.sample(1, **sizes)
    assert [command.text for command in splits.train] == [command.text for command in before.train]
    known = {command.template.name for command in splits.train[:330]}
    taken = {tuple(value) for command in splits.train for value in command.values}
    assert len({row["input"] for row in splits.others}) == 50
    for row in splits.others:
        assert row["about"]["template"] in known
        assert row["accept"][0] == row["output"]
        assert any(tuple(value) not in taken for value in row["about"]["values"])


@pytest.mark.parametrize("name", ["recipe.toml", "recipe-full.toml", "recipe-auto.toml"])
def test_recipes_are_valid_and_make_their_own_data(name: str) -> None:
    loaded = recipe.load(HOME / name)
    assert loaded.constraint.tools == "data/tools.json"
    assert loaded.data.augment_exclude == "data/held-out.txt"
    assert loaded.data.command == ("python", "sample.py", "--out", "data")
    assert {
        Path(path).parent.name for path in (loaded.data.train, loaded.data.validation, loaded.data.test)
    } == {"data"}


def test_the_tiny_recipe_makes_the_closed_set() -> None:
    loaded = recipe.load(HOME.parent / "home-tiny" / "recipe.toml")
    assert loaded.scratch is not None
    assert loaded.data.command == ("python", "../home/sample.py", "--out", "data", "--closed", "20000")
    assert loaded.resolve(loaded.data.train).name == "train-closed.jsonl"
    assert loaded.constraint.tools == "data/tools.json"


@pytest.mark.parametrize("language", ["de", "es", "fr", "nl"])
def test_each_language_has_calls_that_its_schema_allows(sampler: ModuleType, language: str) -> None:
    splits, drawn = sampler.sample(1, language=language, train=400, subset=390, validation=5, part=3)
    schemas = {
        tool["function"]["name"]: Draft202012Validator(tool["function"]["parameters"])
        for tool in sampler.tools(drawn, sampler.read_templates(drawn.intents))
    }
    for command in splits.train:
        assert command.call in drawn.recognize(command.text)
        call = json.loads(command.call)
        schemas[call["name"]].validate(call["arguments"])


def test_further_words_are_english(
    sampler: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        sampler.main(["--out", str(tmp_path), "--language", "de", "--others", "5"])
    assert "--others: its words, of others.toml, are English" in capsys.readouterr().err
