from __future__ import annotations

import json

import pytest

from tinsmith.errors import FormatError, InputError
from tinsmith.formats.turns import TurnTable

TABLE = TurnTable(
    start_system="<s>[",
    start="<s>",
    opening={"user": "U:", "assistant": "A:"},
    ending={"system": "]", "user": ";", "assistant": "."},
    generation="A:",
)


def say(*turns: tuple[str, str]) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in turns]


def test_renders_turns_in_order() -> None:
    dialogue = [("user", "a"), ("assistant", "b"), ("user", " c ")]
    assert TABLE.render(say(*dialogue)) == "<s>U:a;A:b.U: c ;A:"
    assert TABLE.render(say(("system", "x"), *dialogue), generate=False) == "<s>[x]U:a;A:b.U: c ;"


@pytest.mark.parametrize(
    ("messages", "what"),
    [
        (say(("tool", "x")), "message 1: role 'tool' is not one of system, user, assistant"),
        (say(("user", "x"), ("system", "y")), "message 2: a system message can only be the first"),
        ([{"role": "user"}], "message 1: content must be a text"),
    ],
)
def test_refuses_messages_it_cannot_place(messages: list[dict[str, str]], what: str) -> None:
    with pytest.raises(InputError, match=what):
        TABLE.render(messages)


def test_survives_json_and_refuses_other_json() -> None:
    assert TurnTable.from_json(TABLE.to_json()) == TABLE
    fields = json.loads(TABLE.to_json())
    for broken in ("", "[]", "{}", json.dumps({**fields, "start": 3}), json.dumps({**fields, "ending": {}})):
        with pytest.raises(FormatError):
            TurnTable.from_json(broken)
