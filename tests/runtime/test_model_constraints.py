"""Constrained answers through the Python face: on a tiny model, whose weights say anything, and on SmolLM2."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jsonschema
import pytest

import tinsmith
from tinsmith import _core
from tinsmith.chat.tool_formats import FORMATS
from tinsmith.compiler import build_tin
from tinsmith.errors import ConstraintError, FormatError, InputError
from tinsmith.models import Spec
from tinsmith.runtime import Model
from tinsmith.runtime.choosing import CONTENT_FREE, scored

ASKED = [{"role": "user", "content": "the"}]
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "size": {"type": "integer", "minimum": 1, "maximum": 99},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 3},
    },
    "required": ["name", "size"],
    "additionalProperties": False,
}


@dataclass
class Lamp:
    color: Literal["red", "green"]
    level: int = 0


def switch(on: bool, room: Literal["hall", "loft"] = "hall") -> str:
    """Switches the lights of a room."""
    return f"{room} {on}"


def fail(code: Literal[7, 12]) -> None:
    """Fails."""
    raise ValueError(code)


@pytest.mark.parametrize("seed", range(6))
def test_json_validates_at_any_temperature(model: Model, seed: int) -> None:
    value = model.json(ASKED, SCHEMA, temperature=2.0, seed=seed, max_tokens=100)
    jsonschema.validate(value, SCHEMA)
    assert isinstance(model.json("the", Lamp, temperature=2.0, seed=seed), Lamp)
    anything = model.generate(ASKED[0]["content"], constraint=tinsmith.schema(True), temperature=2.0, seed=seed)
    json.loads(anything.text)


def test_json_takes_a_schema_in_any_form(model: Model) -> None:
    texts = {
        json.dumps(model.json(ASKED, schema, max_tokens=80))
        for schema in (SCHEMA, json.dumps(SCHEMA), dict(SCHEMA))
    }
    assert len(texts) == 1
    assert model.json([5, 70, 71], {"const": [1, "x"]}) == [1, "x"]
    with pytest.raises(ConstraintError, match="the schema: not JSON"):
        model.json(ASKED, "{")


def test_an_answer_that_can_not_end_says_so(model: Model) -> None:
    with pytest.raises(InputError, match="max_tokens or the context is too small"):
        model.json(ASKED, {"const": "a long text that takes many tokens"}, max_tokens=3)
    answer = model.generate([5, 70], constraint=tinsmith.regex("[0-9]{20}"), max_tokens=3)
    assert answer.finish == "length"


def test_an_answer_that_the_limit_made_another_one_does_not_say_stop(model: Model) -> None:
    held, finishes = tinsmith.choices(["a", "an answer of many tokens"]), set()
    for seed in range(8):
        options: dict[str, Any] = {"temperature": 2.0, "seed": seed}
        whole = model.generate([5, 70], constraint=held, **options)
        short = model.generate([5, 70], constraint=held, max_tokens=2, **options)
        assert (short.finish == "stop") == (short.text == whole.text)
        finishes.add(short.finish)
    assert finishes == {"stop", "length"}


@pytest.mark.parametrize("bound", range(1, 40, 3))
def test_a_call_is_whole_or_none(model: Model, bound: int) -> None:
    try:
        short = model.call("the", [switch], show=False, max_tokens=bound)
    except InputError as error:
        assert "did not end by itself" in str(error)
    else:
        assert short == model.call("the", [switch], show=False, max_tokens=150)


def test_generate_stream_and_many_agree_under_a_constraint(model: Model) -> None:
    constraint = tinsmith.schema(SCHEMA)
    prompts = [[5, 70 + k, 71] for k in range(5)]
    options: dict[str, Any] = {"constraint": constraint, "temperature": 1.5, "seed": 3, "max_tokens": 70}
    answers = model.generate_many(prompts, concurrency=3, **options)
    for prompt, answer in zip(prompts, answers, strict=True):
        jsonschema.validate(json.loads(answer.text), SCHEMA)
        alone = model.generate(prompt, **options)
        assert alone.token_ids == answer.token_ids
        assert "".join(model.stream(prompt, **options)) == answer.text
        assert 0 < alone.evaluations <= len(alone.token_ids) + 1


def test_forced_text_takes_no_evaluations(model: Model) -> None:
    constraint = tinsmith.choices(["a long text with nothing to choose in it, of many tokens"])
    answer = model.generate([5, 70], constraint=constraint, max_tokens=100)
    assert answer.finish == "stop"
    assert answer.evaluations <= 1 < len(answer.token_ids)


def test_a_free_generation_follows_a_constrained_one(model: Model) -> None:
    free = model.generate([5, 70, 71], max_tokens=20)
    model.generate([5, 70, 71], max_tokens=20, constraint=tinsmith.regex("[ab]{9}"))
    assert model.generate([5, 70, 71], max_tokens=20).token_ids == free.token_ids
    for _ in model.stream([5, 70, 71], max_tokens=20, constraint=tinsmith.regex("[ab]{9}")):
        break  # a stream that is left frees its session too
    assert model.generate([5, 70, 71], max_tokens=20).token_ids == free.token_ids


def test_drafts_and_constraints_exclude_each_other(model: Model) -> None:
    with pytest.raises(InputError, match="a draft is checked at temperature 0"):
        model.generate([5, 70], draft=[70], constraint=tinsmith.regex("a"))
    with pytest.raises(InputError, match="token ids can't be healed"):
        model.generate([5, 70], heal=True)


@pytest.mark.parametrize("given", ["[0-9]", {"type": "object"}, int])
def test_invalid_constraints_are_rejected(model: Model, given: Any) -> None:
    for ask in (model.generate, model.answering, lambda prompt, **more: model.generate_many([prompt], **more)):
        with pytest.raises(InputError, match="constraint is .*; make one by tinsmith.schema"):
            ask([5, 70], constraint=given)


def test_ids_of_any_type_are_questions(model: Model) -> None:
    np = pytest.importorskip("numpy")
    for ids in (np.array([5, 70]), list(np.array([5, 70])), (5, 70)):
        assert model.choose(ids, ["a", "b"]) == model.choose([5, 70], ["a", "b"])
        assert model.json(ids, bool, max_tokens=9) == model.json([5, 70], bool, max_tokens=9)
        called = [model.call(one, [{"name": "f"}], max_tokens=60) for one in (ids, [5, 70])]
        assert called[0] == called[1]
        assert list(model.states([ids])[0]) == list(model.states([[5, 70]])[0])


def test_grammars(model: Model) -> None:
    gbnf = 'root ::= ("a" | "b"){3} "."'
    lark = 'start: ("a" | "b")~3 "."'
    texts = [
        model.generate([5, 70], constraint=constraint, temperature=1.0, seed=2).text
        for constraint in (tinsmith.grammar(gbnf), tinsmith.grammar(lark, "lark"), tinsmith.regex(r"[ab]{3}\."))
    ]
    assert texts[0] == texts[1] == texts[2]
    assert len(texts[0]) == 4
    with pytest.raises(ConstraintError, match="give gbnf or lark"):
        tinsmith.grammar(gbnf, "bnf")  # type: ignore[arg-type]


def test_choose_weighs_every_option_with_its_end(model: Model) -> None:
    options = ["in", "the in", "x"]
    choice = model.choose(ASKED, options)
    assert list(choice.probabilities) == options
    assert math.isclose(sum(choice.probabilities.values()), 1)
    assert choice.option == max(options, key=lambda option: choice.probabilities[option])
    prompt = model.render(ASKED)
    weights = []
    for option in options:
        tokens = [*model.tokenize(option), model.end_token]
        rows = model.logits([*prompt, *tokens])
        weights.append(
            sum(log_share(rows, len(prompt) - 1 + k, token, model.info.vocab) for k, token in enumerate(tokens))
        )
    total = sum(map(math.exp, weights))
    for option, weight in zip(options, weights, strict=True):
        assert math.isclose(choice.probabilities[option], math.exp(weight) / total, rel_tol=1e-6)
    assert model.choose(ASKED, options) == choice  # nothing of it stays


def log_share(rows: memoryview[float], row: int, token: int, vocab: int) -> float:
    values = memoryview(rows).cast("B").cast("f")[row * vocab : (row + 1) * vocab].tolist()
    top = max(values)
    return float(values[token] - top - math.log(sum(math.exp(value - top) for value in values)))


def test_calibration_divides_by_prompts_without_content(model: Model) -> None:
    options = ["in", "x"]
    probabilities = model.choose(ASKED, options, calibrate=True).probabilities
    raw = model.choose(ASKED, options).probabilities
    prior = dict.fromkeys(options, 0.0)
    for text in CONTENT_FREE:
        part = model.choose([{"role": "user", "content": text}], options).probabilities
        prior = {option: prior[option] + part[option] / 3 for option in options}
    wanted = {option: raw[option] / prior[option] for option in options}
    for option in options:
        assert math.isclose(probabilities[option], wanted[option] / sum(wanted.values()), rel_tol=1e-6)
    assert model.choose(ASKED, options, calibrate=[ASKED]).probabilities == pytest.approx({"in": 0.5, "x": 0.5})


@pytest.mark.parametrize(
    ("options", "calibrate", "message"),
    [
        (["a"], False, "at least two"),
        ("ab", False, "at least two"),
        (["a", "a"], False, "different texts"),
        ([1, 2], False, r"options are \[1, 2\]; give at least two different texts"),
        (None, False, "give at least two different texts"),
        (["a", ""], False, "none of them empty"),
        (["a", "b"], [], r"calibrate is \[\]; give a list"),
        (["a", "b"], "N/A", "calibrate is 'N/A'; give a list"),
    ],
)
def test_choices_that_are_none_are_refused(model: Model, options: Any, calibrate: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        model.choose(ASKED, options, calibrate=calibrate)
    with pytest.raises(InputError, match="the prompt is empty"):
        scored(model, [], ["a", "b"])


@pytest.mark.parametrize("name", FORMATS)
def test_calls_in_every_format(model: Model, name: str) -> None:
    for seed in range(3):
        [call] = model.call(
            "the", [switch], format=name, show=False, temperature=2.0, seed=seed, max_tokens=150, execute=True
        )
        assert call.name == "switch"
        assert isinstance(call.arguments["on"], bool)
        assert call.result == switch(**call.arguments)
        calls = model.call(
            "the", [switch], format=name, show=False, none=True, temperature=2.0, seed=seed, max_tokens=150
        )
        assert len(calls) <= 1
    if FORMATS[name].several:
        several = model.call(
            "the", [switch], format=name, show=False, parallel=True, temperature=2.0, seed=1, max_tokens=400
        )
        assert 1 <= len(several) <= 8


def test_call_keeps_a_tools_exception(model: Model) -> None:
    [call] = model.call("the", [fail], execute=True, show=False, max_tokens=60)
    assert isinstance(call.error, ValueError)
    assert call.error.args == (call.arguments["code"],)
    assert call.result is None


def test_tools_without_function_are_not_executed(model: Model) -> None:
    tools = [switch, {"name": "other", "parameters": {"type": "object", "properties": {}}}]
    assert len(model.call("the", tools, show=False)) == 1
    with pytest.raises(InputError, match="other can't be executed"):
        model.call("the", tools, show=False, execute=True)


def test_tools_are_told_in_the_prompt(model: Model) -> None:
    from tinsmith.runtime.calls import prompt_of, toolbox

    box = toolbox(model, [switch], "qwen", False, False)
    shown = model.detokenize(prompt_of(model, "the", box), special=True)
    assert '<tools>\n{"type": "function", "function": {"name": "switch"' in shown
    assert prompt_of(model, "the", box, show=False) == model.render(ASKED)
    assert prompt_of(model, [1, 2], box) == [1, 2]
    assert toolbox(model, [switch], "qwen", False, False).constraint is box.constraint


@pytest.fixture
def sealed(spec: Spec, tmp_path: Path) -> Model:
    constraint = tinsmith.regex("[ab]{5}")
    facts = {"constraint": {"kind": "regex"}}
    build_tin(spec, tmp_path / "m.tin", entries={"grammar/answer.bin": constraint.data}, manifest=facts)
    return tinsmith.load(tmp_path / "m.tin")


def test_a_files_own_constraint_holds_unless_it_is_lifted(sealed: Model, model: Model) -> None:
    assert sealed.constraint == tinsmith.regex("[ab]{5}")
    assert model.constraint is None
    for text in (
        sealed.generate([5, 70]).text,
        sealed.chat(ASKED).text,
        "".join(sealed.stream([5, 70])),
        sealed.generate_many([[5, 70]])[0].text,
    ):
        assert len(text) == 5
        assert set(text) <= {"a", "b"}
    free = sealed.generate([5, 70], constraint=None, max_tokens=9)
    assert free.token_ids == model.generate([5, 70], max_tokens=9).token_ids
    assert sealed.generate([5, 70], constraint=tinsmith.choices(["x"])).text == "x"


def test_a_damaged_constraint_is_told(spec: Spec, tmp_path: Path) -> None:
    build_tin(spec, tmp_path / "m.tin", entries={"grammar/answer.bin": b"nothing of the kind" * 10})
    with pytest.raises(FormatError, match="not a compiled constraint"):
        tinsmith.load(tmp_path / "m.tin").generate([5, 70])


def test_loading_brings_no_compiler() -> None:
    code = (
        "import sys, tinsmith.runtime.model; "
        "print([name for name in sys.modules if name.startswith('tinsmith.compiler')])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.fixture(scope="module")
def smollm(base_gguf: Path) -> Model:
    return tinsmith.load(base_gguf)


def test_a_real_model_answers_in_json_and_calls(smollm: Model) -> None:
    value = smollm.json("Describe a lamp.", SCHEMA, max_tokens=60)
    jsonschema.validate(value, SCHEMA)
    assert smollm.tool_format == "smollm"
    [call] = smollm.call("Switch on the lights in the loft.", [switch, fail], execute=True, max_tokens=60)
    assert call.name == "switch"
    assert call.result == switch(**call.arguments)
    choice = smollm.choose("What is the capital of France?", ["Paris", "London", "Berlin"])
    assert choice.option == "Paris"


def test_healing_lets_a_word_go_on(smollm: Model) -> None:
    cut = "The address of the page is http:"
    healed = smollm.generate(cut, heal=True, max_tokens=6)
    assert healed.text.startswith("//")
    assert smollm.detokenize(healed.token_ids).endswith(healed.text)
    assert len(smollm.detokenize(healed.token_ids)) > len(healed.text)
    assert "".join(smollm.stream(cut, heal=True, max_tokens=6)) == healed.text
    digits = smollm.generate("The year was 19", heal=True, max_tokens=4, constraint=tinsmith.regex("[0-9]{2}"))
    assert len(digits.text) == 2
    assert digits.text.isdigit()


def test_core_names_its_finish() -> None:
    assert len({_core.FINISH_END, _core.FINISH_LENGTH, _core.FINISH_CONTEXT, _core.FINISH_CONSTRAINT}) == 4
