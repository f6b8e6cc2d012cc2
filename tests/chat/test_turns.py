from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tinsmith.chat.turns import SLOTS, Thoughts, Turns, TurnTable, split_answer
from tinsmith.errors import FormatError, InputError, UnsupportedError

TABLE = TurnTable(
    start_system="<s>[",
    start="<s>",
    first="U:",
    opening={"user": "U:", "assistant": "A:", "tool": "T("},
    ending={"system": "]", "user": ";", "assistant": ".", "tool": ")"},
    between=",",
    generation="A:",
    finish={"user": "!", "assistant": "", "tool": "?"},
)


def say(*turns: tuple[str, str]) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in turns]


DIALOGUE = [("user", "a"), ("assistant", "b"), ("user", " c ")]
CALLED = [("user", "a"), ("assistant", "b"), ("tool", "1"), ("tool", '"\n')]


def test_renders_turns_in_order() -> None:
    assert TABLE.render(say(*DIALOGUE)) == "<s>U:a;A:b.U: c ;A:"
    assert TABLE.render(say(("system", "x"), *DIALOGUE), generate=False) == "<s>[x]U:a;A:b.U: c ;!"
    assert TABLE.render(say(*CALLED), generate=False) == '<s>U:a;A:b.T(1,"\n)?'


def test_a_system_message_may_stand_in_the_first_users() -> None:
    table = replace(
        TABLE, start="<s>U:", first="", start_system="<s>U:", ending={**TABLE.ending, "system": "\n"}
    )
    assert table.render(say(("system", "x"), *DIALOGUE)) == "<s>U:x\na;A:b.U: c ;A:"
    assert table.render(say(*DIALOGUE)) == "<s>U:a;A:b.U: c ;A:"


def test_strips_by_slot_and_escapes_a_tools_content() -> None:
    strip = {**dict.fromkeys(SLOTS, ""), "user": "both", "assistant": "left lines", "first": "right"}
    table = replace(TABLE, strip=strip, escaped=True, bare=True)
    rendered = say(
        ("system", ""), ("user", " a "), ("assistant", "\n b\n"), ("tool", '"\n'), ("assistant", "x")
    )
    assert table.render([*rendered, *say(("user", " c "))]) == '<s>U: a;A: b\n.T(\\"\\n)A:x.U:c;A:'


THOUGHTS = Thoughts("{", "}", ("drop", "some", "always"), "lines", "left lines")
THINKS = "<think>\n why\n</think>\n\nso"


def test_thoughts_are_kept_behind_the_last_question() -> None:
    table = replace(TABLE, thoughts=THOUGHTS)
    asked = say(("user", "a"), ("assistant", THINKS))
    assert table.render(asked, generate=False) == "<s>U:a;A:{ why}so."
    assert table.render([*asked, *say(("user", "c"))]) == "<s>U:a;A:so.U:c;A:"
    assert table.render([*asked, *say(("tool", "c"))]) == "<s>U:a;A:{ why}so.T(c)A:"
    assert table.render(say(("user", "a"), ("assistant", "\nso"), ("tool", "c"))) == "<s>U:a;A:\nso.T(c)A:"
    assert table.render(say(("user", "a"), ("assistant", "\nso")), generate=False) == "<s>U:a;A:{}so."
    newest = replace(TABLE, thoughts=replace(THOUGHTS, until="assistant", places=("drop", "raw", "raw")))
    assert newest.render([*asked, *say(("user", "c"))]) == f"<s>U:a;A:{THINKS}.U:c;A:"


def test_an_answer_has_two_parts() -> None:
    assert split_answer("so") == (None, "so")
    assert split_answer(THINKS) == ("why", "so")
    assert split_answer("why\n</think>\n\nso", opened=True) == ("why", "so")
    assert split_answer("why", opened=True) == ("why", "")
    assert split_answer("so </think>") == (None, "so </think>")
    assert replace(TABLE, generation="A:<think>\n").opens_thoughts
    assert not replace(TABLE, generation="A:<think>\n\n</think>\n\n").opens_thoughts
    assert not TABLE.opens_thoughts


STRICT = replace(TABLE, strict=True)


@pytest.mark.parametrize(
    ("table", "messages", "what"),
    [
        (TABLE, [], "the conversation is empty"),
        (
            TABLE,
            say(("function", "x")),
            "message 1: role 'function' is not one of system, user, assistant, tool",
        ),
        (TABLE, say(("user", "x"), ("system", "y")), "message 2: a system message can only be the first"),
        (TABLE, say(("user", "x"), ("tool", "y")), "message 2: a tool's message follows the assistant's"),
        (TABLE, [{"role": "user"}], "message 1: content must be a text"),
        (
            replace(TABLE, no_system="because"),
            say(("system", "x")),
            "1: the chat template takes no system.*because",
        ),
        (
            replace(TABLE, no_tool="because"),
            say(*CALLED),
            "3: the chat template takes no tool message: because",
        ),
        (STRICT, say(("assistant", "x")), "message 1: role assistant is out of turn"),
        (STRICT, say(("user", "x"), ("user", "y")), "message 2: role user is out of turn"),
        (STRICT, say(("system", "x")), "no user's message"),
        (replace(TABLE, asked=True), say(("assistant", "x")), "no user's message"),
        (replace(TABLE, single=True), say(*DIALOGUE[:2]), "the last message is the assistant's"),
        (replace(TABLE, special={"user": ["/x"]}), say(("user", "a/x")), "message 1: its content holds '/x'"),
        (replace(TABLE, special={"user": [""]}), say(("user", "")), "message 1: its content is empty"),
    ],
)
def test_refuses_messages_it_cannot_place(table: TurnTable, messages: list[dict[str, str]], what: str) -> None:
    with pytest.raises(InputError, match=what):
        table.render(messages)


def test_tables_by_the_switch_for_thinking() -> None:
    turns = Turns(TABLE, TABLE, STRICT)
    assert turns.table() is turns.table(True) is TABLE and turns.table(False) is STRICT
    with pytest.raises(UnsupportedError, match="no switch for thinking"):
        Turns(TABLE).table(False)


def test_survives_json_and_refuses_other_json() -> None:
    full = replace(TABLE, thoughts=THOUGHTS, special={"user": ["x"]}, strict=True)
    for turns in (Turns(TABLE), Turns(TABLE, full, STRICT)):
        assert Turns.from_json(turns.to_json()) == turns
    fields = json.loads(Turns(full).to_json())["default"]
    thoughts = fields["thoughts"]
    changes = [
        {"start": 3}, {"ending": {}}, {"finish": {"user": ""}}, {"strip": {**fields["strip"], "user": "all"}},
        {"strict": 1}, {"special": {"user": "x"}}, {"special": {"x": []}}, {"more": ""}, {"no_tool": None},
        *({"thoughts": {**thoughts, **more}} for more in (
            {"places": ["raw"]}, {"places": ["raw", "raw", "some?"]}, {"rest": "all"}, {"until": "tool"},
            {"before": 1},
        )),
    ]  # fmt: skip
    for broken in (
        "",
        "[]",
        "{}",
        '{"default": 1}',
        *(json.dumps({"default": {**fields, **one}}) for one in changes),
    ):
        with pytest.raises(FormatError):
            Turns.from_json(broken)


class Role(str):
    """A role that counts how often it is looked at."""

    looks = 0

    def __eq__(self, other: object) -> bool:
        Role.looks += 1
        return str.__eq__(self, other)  # type: ignore[arg-type]

    __hash__ = str.__hash__


def test_a_long_conversation_takes_work_by_its_length() -> None:
    Role.looks = 0
    roles = [Role("user"), *(Role("assistant") for _ in range(2000))]
    places = THOUGHTS.placed(roles)
    assert places == [1] * 2000 + [2]
    assert 0 < Role.looks <= 4 * len(roles)
