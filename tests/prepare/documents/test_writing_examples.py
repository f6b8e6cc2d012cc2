"""Each task's examples of documents: what is asked, what is kept, and a recipe that takes them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.backends.scripted_endpoint import Reply, says, serving
from tests.prepare.documents.document_tools import MAKERS, last, pumps, rows
from tinsmith import cli
from tinsmith.pipeline import engine, recipe
from tinsmith.prepare.documents import writing
from tinsmith.prepare.documents.teachers import Local
from tinsmith.system import progress

SCHEMA = {
    "type": "object",
    "properties": {
        "part": {"type": "string"},
        "hours": {"type": "integer"},
        "kind": {"enum": ["maintenance", "sale"]},
    },
    "required": ["part", "hours", "kind"],
    "additionalProperties": False,
}
TOOL = {
    "name": "order",
    "description": "orders a spare part",
    "parameters": {
        "type": "object",
        "properties": {"part": {"$ref": "#/$defs/part"}, "fast": {"type": "boolean"}},
        "$defs": {"part": {"type": "string"}},
        "required": ["part", "fast"],
        "additionalProperties": False,
    },
}


def found(body: dict[str, Any]) -> tuple[str, str, int]:
    """Part, pump and hours of the passage's first sentence."""
    match = re.search(r"The (\w+) of the (\w+) pump is replaced after (\d+)", last(body))
    assert match
    return match[1], match[2], int(match[3])


def extract(body: dict[str, Any]) -> dict[str, Any]:
    part, maker, hours = found(body)
    return {"part": "rotor" if maker == "Adler" else part, "hours": hours, "kind": "sale"}


def call(body: dict[str, Any]) -> dict[str, Any]:
    part, maker, _ = found(body)
    asked = (
        f"Order a new {part} for the {maker} pump" if maker != "Adler" else f"Order one for the {maker} pump"
    )
    return {"request": asked, "call": {"name": "order", "arguments": {"part": part, "fast": False}}}


def classify(body: dict[str, Any]) -> dict[str, Any]:
    """Of the Adler pump, whichever label is listed first; of others, one that is the same both times."""
    labels = body["response_format"]["json_schema"]["schema"]["properties"]["label"]["enum"]
    part, maker, hours = found(body)
    sentence = f"The {part} of the {maker} pump is replaced after {hours} hours of work."
    return {"sentence": sentence, "label": labels[0] if maker == "Adler" else sorted(labels)[len(part) % 2]}


TASKS = {
    "extract": (extract, ["--schema", "schema.json"], "ungrounded", 'part is "rotor", which the passage does'),
    "call": (
        call,
        ["--tools", "tools.json"],
        "ungrounded",
        'arguments.part is "impeller", which the request does',
    ),
    "classify": (
        classify,
        ["--labels", "care,sale"],
        "undecided",
        "care, and sale with the labels in reverse",
    ),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("schema.json").write_text(json.dumps(SCHEMA))
    Path("tools.json").write_text(json.dumps([TOOL]))
    Path("wrong.json").write_text('{"type": "widget"}')
    return pumps(tmp_path / "pumps")


def docs(task: str, url: str, base: Path, *more: str) -> int:
    words = ["docs", "pumps", "--task", task, "--teacher", url, "--model", "tiny", "--base", str(base)]
    return cli.main([*words, *TASKS[task][1], *more])


@pytest.mark.parametrize("task", TASKS)
def test_a_task_of_documents(task: str, folder: Path, chat_base: Path, tmp_path: Path) -> None:
    answer, _, reason, message = TASKS[task]
    with serving(lambda body: says(f"```json\n{json.dumps(answer(body), indent=1)}\n```\n")) as server:
        assert docs(task, server.url, chat_base) == 0
    out = tmp_path / f"pumps-{task}"
    dropped = rows(out / "dropped.jsonl")
    assert [(one["reason"], one["where"]) for one in dropped] == [
        (reason, "adler.md:5"),
        (reason, "adler.md:12"),
    ]
    assert message in dropped[0]["message"]
    loaded = recipe.load(out / "recipe.toml")
    facts = engine.make(loaded, tmp_path / "run", progress.Silent(), "data").done(engine.DATA).facts
    assert sum(facts.counts.values()) == 2 * len(MAKERS) - 2
    assert facts.test_outputs_forbidden == 0
    every = [one for split in facts.counts for one in rows(out / "data" / f"{split}.jsonl")]
    assert len({one["group"] for one in every}) == len(MAKERS) - 1
    if task == "extract":
        assert all(json.loads(one["output"])["part"] in one["input"] for one in every)


def test_off_topic_inputs_get_the_answer_that_is_given(folder: Path, chat_base: Path) -> None:
    with serving(lambda body: says(json.dumps(classify(body)))) as server:
        assert docs("classify", server.url, chat_base, "--off-topic", "none") == 0
    kept = {
        split: rows(Path("pumps-classify/data") / f"{split}.jsonl") for split in ("train", "validation", "test")
    }
    assert all(sum(one["output"] == "none" for one in split) == 1 for split in kept.values())


WRONG = {
    "no schema": (["--task", "extract"], 'task "extract" needs --schema'),
    "a schema too many": (
        ["--task", "chat", "--schema", "schema.json"],
        '--schema is not for the task "chat"; leave it out',
    ),
    "one label": (["--task", "classify", "--labels", "a,a"], "--labels: give at least two labels, each once"),
    "another task": (["--task", "poem"], 'of the task "poem"; choose one of call, chat,'),
    "a schema that can't be held": (
        ["--task", "extract", "--schema", "wrong.json"],
        "wrong.json: #/type:",
    ),
    "tools that are none": (
        ["--task", "call", "--tools", "schema.json"],
        "schema.json: #: tools must be a list",
    ),
    "an adapter of passages": (
        ["--task", "extract", "--schema", "schema.json", "--adapter"],
        '--adapter: not for the task "extract", whose inputs are passages',
    ),
    "no name of a model": (
        ["--task", "chat", "--teacher", "http://127.0.0.1:9/v1"],
        "a URL needs a model; give --model",
    ),
    "a key for a file": (
        ["--task", "chat", "--key-file", "schema.json"],
        "--key-file is for a teacher at a URL; leave it",
    ),
    "an unknown teacher": (["--task", "chat", "--teacher", "nobody"], "nobody"),
    "something else there": (
        ["--task", "chat", "--out", "."],
        "exists, but not from this command; remove it, or change",
    ),
    "a file": (["--task", "chat", "--out", "schema.json"], "exists, but not from this command"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_one_line(
    name: str, folder: Path, chat_base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words, message = WRONG[name]
    teacher = [] if "--teacher" in words else ["--teacher", str(chat_base)]
    assert cli.main(["docs", "pumps", *words, *teacher, "--base", str(chat_base)]) == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith("tinsmith: error: ") and error.count("\n") == 1


def test_too_few_documents_to_hold_one_out(
    tmp_path: Path, chat_base: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("schema.json").write_text(json.dumps(SCHEMA))
    pumps(tmp_path / "pumps", 2)
    with serving(lambda body: says(json.dumps(extract(body)))) as server:
        assert docs("extract", server.url, chat_base) == 2
    assert "examples of 1 documents are too few to hold documents out" in capsys.readouterr().err


def test_the_key_is_sent_and_shown_nowhere(
    folder: Path, chat_base: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("key").write_text("sk-secret\n")
    with serving(lambda body: Reply(b"no, sk-secret", 401)) as server:
        assert docs("classify", server.url, chat_base, "--key-file", "key") == 2
        assert {headers["Authorization"] for headers in server.headers} == {"Bearer sk-secret"}
    said = "".join(capfd.readouterr())
    assert "check the key" in said and "sk-secret" not in said
    kept = [path for path in Path("pumps-classify").rglob("*") if path.is_file()]
    assert all(b"sk-secret" not in path.read_bytes() for path in kept)


def test_a_local_model_is_constrained_to_the_form(chat_base: Path) -> None:
    """A random one: what it writes says nothing, and is of the schema or was cut."""
    listed = writing.Request("Which?", writing.closed({"label": {"enum": ["care", "sale"]}}), 32)
    number = writing.Request("How many?", writing.closed({"count": {"enum": [7]}}), 32, (("a", "b"),))
    long = writing.Request("word " * 5000, {"type": "string"}, 32)
    teacher = Local(chat_base, 1)
    first, second, third = teacher.answers([listed, number, long], 0)
    assert writing.read(listed, first)["label"] in ("care", "sale")
    assert writing.read(number, second) == {"count": 7}
    assert third == ""
    assert teacher.answers([number, listed], 0) == [second, first]
