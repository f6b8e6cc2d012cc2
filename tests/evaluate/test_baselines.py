from __future__ import annotations

import pytest

from tinsmith.data.readers import Example
from tinsmith.evaluate.baselines import Prompts, Retriever, spread, stratified
from tinsmith.tasks import by_name
from tinsmith.tasks.call import signatures


def call(name: str, arguments: str = "{}") -> str:
    return f'{{"name": "{name}", "arguments": {arguments}}}'


TRAIN = [
    Example("turn on the kitchen light", call("TurnOn", '{"area": "kitchen"}')),
    Example("turn off the kitchen light", call("TurnOff", '{"area": "kitchen"}')),
    Example("set the attic fan to 40", call("FanSet", '{"area": "attic", "speed": 40}')),
    Example("what time is it", call("GetTime")),
    Example("turn on the attic light", call("TurnOn", '{"area": "attic", "now": true}')),
]


def test_the_retriever_finds_what_shares_rare_words() -> None:
    retriever = Retriever(TRAIN)
    assert retriever.nearest("what's the time", 1) == [TRAIN[3]]
    assert retriever.nearest("FAN in the ATTIC", 2) == [TRAIN[2], TRAIN[4]]


def test_the_retriever_answers_words_it_never_saw_with_the_first_examples() -> None:
    assert Retriever(TRAIN).nearest("zyzzyva", 2) == TRAIN[:2]
    assert Retriever(TRAIN).nearest("?!", 9) == TRAIN


def test_signatures_list_every_function_and_argument_seen() -> None:
    assert signatures(TRAIN) == [
        "FanSet(area: string, speed: number)",
        "GetTime()",
        "TurnOff(area: string)",
        "TurnOn(area: string, now: boolean)",
    ]


def test_fixed_examples_are_spread_over_the_functions() -> None:
    chosen = spread(by_name("call"), TRAIN, 4, seed=0)
    assert len({e.output.split('"')[3] for e in chosen}) == 4
    assert chosen == spread(by_name("call"), TRAIN, 4, seed=0)
    assert sorted(e.input for e in spread(by_name("call"), TRAIN, 99, seed=1)) == sorted(e.input for e in TRAIN)


def test_stratified_takes_the_parts_evenly() -> None:
    examples = [Example(str(i), "x", part="ab"[i % 10 == 0]) for i in range(100)]
    chosen = stratified(examples, 20, seed=3)
    places = [int(one.input) for one in chosen]
    assert places == sorted(set(places))
    assert [one.part for one in chosen].count("b") == 10
    assert stratified(examples, 0, 3) == stratified(examples, 100, 3) == examples
    assert len(stratified(examples, 50, 3)) == 50


def test_prompts_share_everything_but_the_end() -> None:
    prompts = Prompts(by_name("call"), "home", TRAIN, None, shots=2)
    zero, few, near = (
        prompts.zero_shot(Example("hello", "")),
        prompts.few_shot(Example("hello", "")),
        prompts.retrieval(Example("what time", "")),
    )
    assert zero[0] == few[0]
    assert near[0] == prompts.retrieval(Example("other", ""))[0]
    assert "FanSet" not in near[0]["content"]
    assert zero[0]["content"].startswith("home\n")
    assert "FanSet(area: string, speed: number)" in zero[0]["content"]
    assert [m["role"] for m in few] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert few[:-1] == prompts.few_shot(Example("other", ""))[:-1]
    assert near[-3:] == [
        {"role": "user", "content": TRAIN[3].input},
        {"role": "assistant", "content": TRAIN[3].output},
        {"role": "user", "content": "what time"},
    ]


def test_given_tools_are_listed_instead() -> None:
    prompts = Prompts(by_name("call"), "", TRAIN, [{"name": "Only", "parameters": {}}], shots=1)
    text = prompts.zero_shot(Example("x", ""))[0]["content"]
    assert '{"name":"Only","parameters":{}}' in text
    assert "FanSet" not in text


@pytest.mark.parametrize(
    ("task", "output", "explained"),
    [("extract", '{"city": "Rome"}', "city"), ("classify", "spam", "labels and nothing else: spam")],
)
def test_other_tasks_are_explained(task: str, output: str, explained: str) -> None:
    prompts = Prompts(by_name(task), "", [Example("a", output)], None, shots=1)
    assert explained in prompts.zero_shot(Example("x", ""))[0]["content"]


def test_a_chat_needs_no_instruction() -> None:
    assert Prompts(by_name("chat"), "", [Example("a", "b")], None, 1).zero_shot(Example("x", "")) == [
        {"role": "user", "content": "x"}
    ]
