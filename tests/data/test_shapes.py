"""What rows are taken for, and the examples made of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tinsmith import tasks
from tinsmith.data import shapes
from tinsmith.data.readers import Example, Turn, Where, read_jsonl
from tinsmith.data.shapes import Named, open_examples
from tinsmith.errors import DataError
from tinsmith.pipeline.examples import write_examples

USER, SAYS = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}


def jsonl(folder: Path, *rows: Any) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path


def read(folder: Path, *rows: Any, task: str | None = None, named: Named | None = None) -> list[Example]:
    wanted = None if task is None else tasks.by_name(task)
    return list(open_examples(jsonl(folder, *rows), named=named, task=wanted))


def fault(folder: Path, *rows: Any, task: str | None = None, named: Named | None = None) -> str:
    with pytest.raises(DataError) as caught:
        read(folder, *rows, task=task, named=named)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(str(folder / "rows.jsonl"), "FILE")


@pytest.mark.parametrize(
    ("row", "shape", "example"),
    [
        ({"input": " a ", "output": "b", "part": "p", "id": 3}, "input-output", Example("a", "b", part="p")),
        ({"input": "a", "output": "b", "passage": "c"}, "input-output", Example("a", "b", passage="c")),
        ({"text": "a", "label": "b"}, "text-label", Example("a", "b")),
        ({"sentence": "a", "intent": 3}, "text-label", Example("a", "3")),
        ({"question": "a", "answer": "b"}, "question-answer", Example("a", "b")),
        ({"answer": "b", "question": "a", "context": "c"}, "question-answer", Example("c\n\na", "b")),
        ({"system_prompt": "s", "question": "a", "response": "b"}, "question-answer",
         Example("a", "b", turns=(Turn("system", "s"),))),
        ({"prompt": "a", "completion": " b"}, "prompt-completion", Example("a", "b")),
        ({"prompt": [USER], "completion": [SAYS]}, "prompt-completion", Example("hi", "hello")),
        ({"instruction": "a", "input": "", "output": "b"}, "alpaca", Example("a", "b")),
        ({"instruction": "a", "input": "c", "output": "b"}, "alpaca", Example("a\n\nc", "b")),
        ({"instruction": "a", "context": "c", "response": "b", "kind": "qa"}, "alpaca", Example("a\n\nc", "b")),
        ({"instruction": "a", "input": "", "output": "b", "system": "s", "history": [["x", "y"]]}, "alpaca",
         Example("a", "b", turns=(Turn("system", "s"), Turn("user", "x"), Turn("assistant", "y")))),
        ({"messages": [USER, SAYS]}, "messages", Example("hi", "hello")),
        ({"messages": [{"role": "developer", "content": "s"}, USER, SAYS]}, "messages",
         Example("hi", "hello", turns=(Turn("system", "s"),))),
        ({"messages": [USER, SAYS, USER, {**SAYS, "weight": 0}]}, "messages", Example("hi", "hello")),
        ({"messages": [USER, SAYS, USER]}, "messages", Example("hi", "hello")),
        ({"messages": [{**USER, "content": [{"type": "text", "text": "hi"}]}, SAYS]}, "messages",
         Example("hi", "hello")),
        ({"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}, "sharegpt",
         Example("a", "b")),
        ({"conversations": [USER, SAYS], "system": "s"}, "messages",
         Example("hi", "hello", turns=(Turn("system", "s"),))),
    ],
)  # fmt: skip
def test_each_shape_is_found(row: dict[str, Any], shape: str, example: Example, tmp_path: Path) -> None:
    opened = open_examples(jsonl(tmp_path, row, row))
    assert opened.reading.shape.name == shape
    assert list(opened) == [example, example]
    assert [str(one.where) for one in opened] == [f"{opened.path}:1", f"{opened.path}:2"]


def test_a_chat_of_several_turns_is_for_the_task_chat(tmp_path: Path) -> None:
    row = {"messages": [USER, SAYS, {**USER, "content": "and?"}, {**SAYS, "content": "so"}]}
    wanted = Example("and?", "so", turns=(Turn("user", "hi"), Turn("assistant", "hello")))
    assert read(tmp_path, row, task="chat") == [wanted]
    assert wanted.prompt == "hi\nhello\nand?"
    assert "FILE:1: has 2 turns before its last message, and the task classify answers" in fault(
        tmp_path, row, task="classify"
    )


def test_a_tool_call_is_an_answer_of_the_task_call(tmp_path: Path) -> None:
    function = {"name": "light", "arguments": '{"on": true, "room": "büro"}'}
    answer = {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": function}]}
    row = {"messages": [USER, answer], "tools": [{"type": "function"}], "parallel_tool_calls": False}
    wanted = '{"name":"light","arguments":{"on":true,"room":"büro"}}'
    assert [one.output for one in read(tmp_path, row, task="call")] == [wanted]
    given = {"name": "light", "arguments": {"on": True, "room": "büro"}}
    older = {"messages": [USER, {"role": "assistant", "function_call": given}]}
    turns = [{"from": "human", "value": "hi"}, {"from": "function_call", "value": json.dumps(given)}]
    for same in (older, {"conversations": turns}):
        assert [one.output for one in read(tmp_path, same, task="call")] == [wanted]
    assert "the answer calls a tool; that is of the task call, this one is chat" in fault(
        tmp_path, row, task="chat"
    )
    answer["tool_calls"] *= 2  # type: ignore[operator]
    assert [one.output for one in read(tmp_path, row, task="call")] == [f"[{wanted},{wanted}]"]
    answer["tool_calls"][1] = {"id": 3}  # type: ignore[index]
    assert "FILE:1: messages[1]: a tool call is" in fault(tmp_path, row, task="call")


CALLS = {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}
RESULT = {"role": "tool", "tool_call_id": "1", "content": "42"}


def test_calls_and_results_of_tools_stand_before_an_answer(tmp_path: Path) -> None:
    called = Turn("assistant", '{"name":"f","arguments":{}}')
    wanted = Example("42", "hello", turns=(Turn("user", "hi"), called), role="tool")
    row = {"messages": [USER, CALLS, RESULT, SAYS]}
    (found,) = read(tmp_path, row, task="chat")
    assert found == wanted
    assert tasks.by_name("chat").messages(found, "s")[1:] == [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": called.content},
        {"role": "tool", "content": "42"},
    ]
    write_examples(tmp_path / "kept.jsonl", [found, Example("a", "b")])
    assert read_jsonl(tmp_path / "kept.jsonl") == [wanted, Example("a", "b")]
    assert "role" not in json.loads((tmp_path / "kept.jsonl").read_text().splitlines()[1])
    turns = [
        {"from": "human", "value": "hi"},
        {"from": "function_call", "value": {"name": "f", "arguments": {}}},
        {"from": "observation", "value": "42"},
        {"from": "gpt", "value": "hello"},
    ]
    assert read(tmp_path, {"conversations": turns}, task="chat") == [wanted]
    more = {"messages": [USER, CALLS, RESULT, RESULT, CALLS]}
    (found,) = read(tmp_path, more, task="call")
    assert (found.output, found.role, len(found.turns)) == (called.content, "tool", 3)


def test_labels_may_be_a_list(tmp_path: Path) -> None:
    row = {"text": "a", "labels": ["x y", "z"]}
    assert [one.output for one in read(tmp_path, row, task="classify")] == ['["x y","z"]']
    assert "must be a text, got a list; an answer of the task chat is a text" in fault(
        tmp_path, row, task="chat"
    )
    row = {"text": "a", "label": {"x": 1}}
    assert "must be a text, got an object" in fault(tmp_path, row, task="classify")


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ({"messages": [SAYS]}, 'messages[0] answers no message of the role "user"'),
        ({"messages": [USER]}, '"messages" has no answer, a message of the role "assistant"'),
        ({"messages": [USER, USER, SAYS]}, "two messages of the role user follow each other"),
        ({"messages": [USER, {"role": "system", "content": "s"}, USER, SAYS]}, "role system comes out of turn"),
        ({"messages": [USER, {"role": "tool", "content": "x"}, SAYS]}, "the role tool comes out of turn"),
        ({"messages": [SAYS, USER, SAYS]}, "the role assistant comes out of turn"),
        (
            {"messages": [{"role": "ape", "content": "x"}, SAYS]},
            'messages[0]: the role is "ape"; it may be system',
        ),
        (
            {"messages": [USER, {"role": "assistant", "content": " "}]},
            'messages[1]: "content" must be a text that',
        ),
        ({"messages": [{**USER, "content": [{"type": "image_url"}]}, SAYS]}, "[0]: has parts that are no text"),
        ({"messages": [USER, "x", SAYS]}, 'messages[1] must be an object with "role"'),
        (
            {"conversations": [{"from": "ape", "value": "a"}]},
            'conversations[0]: "from" is "ape"; it may be human',
        ),
        ({"messages": [{"role": ["user"], "content": "x"}, SAYS]}, '[0]: the role is ["user"]; it may be'),
        ({"conversations": [{"from": {}, "value": "a"}]}, '[0]: "from" is {}; it may be human'),
        (
            {"instruction": "a", "output": "b", "history": [["c", " "]]},
            '"history" has an empty text; write one',
        ),
        ({"text": "a", "label": None}, '"label" is missing'),
        ({"text": " ", "label": "b"}, '"text" is empty'),
        ({"text": {"a": 1}, "label": "b"}, '"text" must be a text, got an object'),
        ({"input": "a", "output": "b", "acept": []}, 'unknown key "acept"; did you mean "accept"'),
        (
            {"input": "a", "output": "b", "turns": [{"role": "ape", "content": "b"}]},
            '"turns" must be a list of',
        ),
    ],
)
def test_a_row_that_is_no_example_says_why(row: dict[str, Any], what: str, tmp_path: Path) -> None:
    said = fault(tmp_path, row)
    assert said.startswith("FILE:1: ") and what in said


def test_a_cell_that_is_empty_says_nothing(tmp_path: Path) -> None:
    """Of a table, where the columns of our rows that may be missing are there all the same."""
    path = tmp_path / "rows.csv"
    path.write_text("input,output,accept,part,turns,role,group,about\na,b,,,,,,\nc,d,,seen,,,g,\n")
    first, second = open_examples(path)
    assert (first, first.group) == (Example("a", "b"), None)
    assert (second, second.group) == (Example("c", "d", part="seen"), "g")


def test_an_output_in_json_is_written_compactly_for_tasks_with_such_answers(tmp_path: Path) -> None:
    row = {"text": "a", "output": {"total": 1.5, "items": ["ä"]}}
    assert [one.output for one in read(tmp_path, row, task="extract")] == ['{"total":1.5,"items":["ä"]}']
    said = fault(tmp_path, row, task="chat")
    assert '"output" must be a text, got an object; an answer of the task chat is a text' in said


def test_rows_that_could_be_read_in_two_ways_are_refused(tmp_path: Path) -> None:
    row = {"text": "a", "label": "b", "category": "c"}
    assert fault(tmp_path, row) == (
        'FILE: could be text-label (input = "text", output = "label") or text-label (input = "text", output = '
        '"category"); choose one in [data] by shape, input or output'
    )
    assert read(tmp_path, row, named=Named(output="category")) == [Example("a", "c")]
    both = {"messages": [USER, SAYS], "prompt": "a", "completion": "b"}
    assert 'could be messages (input = "messages") or prompt-completion' in fault(tmp_path, both)
    assert read(tmp_path, both, named=Named(shape="messages")) == [Example("hi", "hello")]


def test_columns_of_other_names_are_named(tmp_path: Path) -> None:
    row = {"titel": "a", "rumpf": "b", "art": "c", "akte": 7}
    assert (
        "with the columns titel, rumpf, art, akte it is of no shape that is known; name them in [data], as in "
        in (fault(tmp_path, row))
    )
    named = Named(input=("titel", "rumpf"), output="art", group="akte")
    assert read(tmp_path, row, named=named) == [Example("a\n\nb", "c")]
    assert [one.group for one in read(tmp_path, row, named=named)] == ["7"]
    assert fault(tmp_path, row, named=Named(input=("title",))) == (
        'FILE: has no column "title", which [data] names; its columns are titel, rumpf, art, akte'
    )
    assert "is not of the shape messages" in fault(tmp_path, row, named=Named(shape="messages"))
    chat = {"talk": [USER, SAYS]}
    assert read(tmp_path, chat, named=Named(shape="messages", input=("talk",))) == [Example("hi", "hello")]


def test_what_was_found_is_said_with_three_rows(tmp_path: Path) -> None:
    rows = [{"id": n, "text": f"number\n{n}", "label": "x" * 70} for n in range(5)]
    rows[1]["label"] = ""
    opened = open_examples(jsonl(tmp_path, *rows))
    assert opened.summary() == [
        f'{opened.path}: JSON, read as text-label (input = "text", output = "label"); not used: id',
        f"  line 1: number 0 → {'x' * 60}…",
        f'  {opened.path}:2: "label" is empty; write a text, or leave the row out',
        f"  line 3: number 2 → {'x' * 60}…",
    ]


def test_a_faulty_row_stands_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"text": "a", "label": "b"}\n{"text"\n\xff\n{"text": "c", "label": "d"}\n')
    kinds = [type(one).__name__ for one in open_examples(path).each()]
    assert kinds == ["Example", "DataError", "DataError", "Example"]


def test_the_runs_own_copy_reads_back_the_same(tmp_path: Path) -> None:
    examples = read(
        tmp_path, {"messages": [{"role": "system", "content": "s"}, USER, SAYS, USER, SAYS]}, task="chat"
    )
    write_examples(tmp_path / "copy.jsonl", examples)
    assert read_jsonl(tmp_path / "copy.jsonl") == examples
    assert examples[0].where == Where(str(tmp_path / "rows.jsonl"), 1)
    row = {"instruction": "a", "output": "b", "history": [[" c ", "d\n"]]}
    examples = read(tmp_path, row, task="chat")
    write_examples(tmp_path / "copy.jsonl", examples)
    assert read_jsonl(tmp_path / "copy.jsonl") == examples


def test_a_shape_has_one_name() -> None:
    assert len(set(shapes.names())) == len(shapes.names()) >= 8
