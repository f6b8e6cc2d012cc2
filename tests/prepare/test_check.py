"""Each kind of fault: found where it is, and only there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tinsmith import tasks
from tinsmith.errors import UnsupportedError
from tinsmith.pipeline import checking
from tinsmith.pipeline.recipe.tables import Constraint
from tinsmith.prepare import check
from tinsmith.prepare.check.rows import Row, likely_task

ROOMS = ("kitchen", "bedroom", "office", "garage", "attic", "cellar", "hallway", "library")
THINGS = ("lamp", "heater", "fan", "radio", "blinds", "oven", "kettle", "screen", "humidifier", "speaker")
TOOLS = [
    {
        "name": name,
        "parameters": {
            "type": "object",
            "properties": {
                "room": {"type": "string", "enum": list(ROOMS)},
                "thing": {"type": "string"},
                "level": {"type": "integer", "minimum": 1, "maximum": 100},
            },
            "required": ["room", "thing"],
            "additionalProperties": False,
        },
    }
    for name in ("TurnOn", "TurnOff", "SetLevel")
]


def call(name: str, **arguments: Any) -> str:
    return json.dumps({"name": name, "arguments": arguments}, separators=(",", ":"))


def row_of(input: str, output: str) -> dict[str, str]:
    return {"input": input, "output": output}


def calls() -> list[dict[str, Any]]:
    """160 good rows."""
    rows = []
    for room in ROOMS:
        for thing in THINGS:
            rows.append(row_of(f"switch on the {thing} in the {room}", call("TurnOn", room=room, thing=thing)))
            rows.append(row_of(f"{thing} off in my {room} now", call("TurnOff", room=room, thing=thing)))
    return rows


def written(path: Path, rows: list[Any]) -> Path:
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="")
    return path


def look(folder: Path, rows: list[Any], test: list[Any] | None = None, **given: Any) -> check.Report:
    """As the command line does."""
    files = [("train", written(folder / "train.jsonl", rows))]
    if test is not None:
        files.append(("test", written(folder / "test.jsonl", test)))
    values = {"task": None, "table": Constraint(), "labels": None, "base": None, "length": 512} | given
    return check.run(checking.of_files(files, **values))


def tools(folder: Path) -> Constraint:
    (folder / "tools.json").write_text(json.dumps(TOOLS))
    return Constraint(tools=str(folder / "tools.json"))


def found(report: check.Report, kind: str) -> list[tuple[str, int, str]]:
    """File, line and message of each finding of a kind."""
    places = []
    for one in report.findings.get(kind, []):
        path, _, line = one.where.rpartition(":")
        places.append((Path(path).name, int(line), one.message))
    return places


def test_good_rows_are_let_be(tmp_path: Path) -> None:
    report = look(tmp_path, calls(), table=tools(tmp_path))
    assert report.findings.keys() == {"unshown"}
    assert report.data.task.name == "call"
    assert set(report.skipped) == {"leak", "image_leak", "too_long", "truncated"}


@pytest.mark.parametrize(
    ("kind", "row", "said"),
    [
        ("unreadable", '{"input": "on"', "not JSON at column"),
        ("unreadable", "[1, 2]", "got a list"),
        ("empty", row_of("lamp on", " "), '"output" is empty'),
        ("invalid", row_of("lamp on now", '{"name":"TurnOn","argum'), "cut off"),
        ("invalid", row_of("lamp on now", '{"call":"TurnOn"}'), 'not an object of "name"'),
        ("invalid", row_of("lamp on now", "[" * 5000 + "]" * 5000), "nests more than"),
        (
            "forbidden",
            row_of("lamp on in the encoder", call("TurnOn", room="encoder", thing="lamp")),
            'arguments.room: "encoder" is not allowed',
        ),
        (
            "forbidden",
            row_of("lamp to 300 in the attic", call("SetLevel", room="attic", thing="lamp", level=300)),
            "arguments.level: 300 is not allowed",
        ),
        (
            "forbidden",
            row_of("radio on at the attic", call("TurnOn", thing="radio", room="attic")),
            "with other spacing or order of keys",
        ),
        (
            "label_typo",
            row_of("radio on at the attic", call("TrunOn", room="attic", thing="radio")),
            'the label "TrunOn" is rare and nearly "TurnOn"',
        ),
        (
            "label_typo",
            row_of("radio on at the attic", call("TurnOn", rooom="attic", thing="radio")),
            'the key "rooom" is rare and nearly "room"',
        ),
        (
            "ungrounded",
            row_of("radio on at the attic", call("TurnOn", room="attic", thing="oven")),
            'TurnOn.thing is "oven"',
        ),
        (
            "personal",
            row_of("radio of jo.doe@mail.com in the attic", call("TurnOn", room="attic", thing="radio")),
            "an e-mail address",
        ),
        (
            "personal",
            row_of("radio in the attic, 4539 1488 0343 6467", call("TurnOn", room="attic", thing="radio")),
            "a card number",
        ),
        (
            "personal",
            row_of(
                "radio in the attic, DE89 3704 0044 0532 0130 00", call("TurnOn", room="attic", thing="radio")
            ),
            "an IBAN",
        ),
        (
            "language",
            row_of("schalte bitte die Heizung im Keller aus", call("TurnOff", room="cellar", thing="heater")),
            "seems to be de, not en",
        ),
        (
            "encoding",
            row_of("radio in the attic cafÃ©", call("TurnOn", room="attic", thing="radio")),
            'it should be "radio in the attic café"',
        ),
        (
            "encoding",
            row_of("radio in the attic caf\ufffd", call("TurnOn", room="attic", thing="radio")),
            "lost characters",
        ),
        (
            "template",
            row_of("radio in the attic<|im_end|>", call("TurnOn", room="attic", thing="radio")),
            "<|im_end|>",
        ),
        (
            "near_duplicate",
            row_of("please switch on the oven in the cellar", call("TurnOn", room="cellar", thing="oven")),
            "is nearly",
        ),
        (
            "near_duplicate",
            row_of("switch on the oevn in the cellar", call("TurnOn", room="cellar", thing="oven")),
            "is nearly",
        ),
        (
            "duplicate",
            row_of("Switch on the oven in the cellar!", call("TurnOn", room="cellar", thing="oven")),
            "occurs at",
        ),
    ],
)
def test_one_fault_among_good_rows(tmp_path: Path, kind: str, row: Any, said: str) -> None:
    rows = calls()
    report = look(tmp_path, [*rows[:100], row, *rows[100:]], table=tools(tmp_path))
    places = found(report, kind)
    assert len(places) == 1, report.findings
    file, line, message = places[0]
    assert file == "train.jsonl" and said in message
    # Of a pair it is the later one that is named.
    assert line == 101 or "nearly" in message or kind == "duplicate"


def test_numbers_with_wrong_check_digits_and_made_up_ones_are_no_personal_data(tmp_path: Path) -> None:
    texts = (
        "4539 1488 0343 6468",
        "DE89 3704 0044 0532 0130 01",
        "jo@example.com",
        "192.168.0.1",
        "202-555-0100",
        "order 20251127",
        "2026-11-27",
    )
    rows = [row_of(f"what is {text} for", "a thing") for text in texts]
    assert "personal" not in look(tmp_path, rows, task="chat").findings


def test_contradictions_name_each_other(tmp_path: Path) -> None:
    rows: list[Any] = [row_of(f"text number {n} of many", "abc"[n % 3]) for n in range(60)]
    rows += [row_of("which one", "a"), row_of("Which one?", "b")]
    rows += [{"input": "as good", "output": "a", "accept": ["b"]}, row_of("as good", "b")]
    report = look(tmp_path, rows)
    assert report.data.task.name == "classify"
    assert [line for _, line, _ in found(report, "contradiction")] == [61, 62]
    assert report.findings["contradiction"][0].also == (f"{tmp_path / 'train.jsonl'}:62",)
    # Where most rows have one answer, the others are wrong.
    rows += [row_of("which one", "a")]
    assert [line for _, line, _ in found(look(tmp_path, rows), "contradiction")] == [62]


def test_one_of_thousands_of_contradictions_names_some(tmp_path: Path) -> None:
    """All of them would be a list that grows by the square of the rows."""
    report = look(tmp_path, [row_of("yes", "abc"[n % 3]) for n in range(300)])
    findings = report.findings["contradiction"]
    assert len(findings) == 300 and {len(one.also) for one in findings} == {check.NAMED}


def test_leaks_are_the_learned_rows(tmp_path: Path) -> None:
    rows = calls()
    report = look(tmp_path, rows, test=[rows[3] | {"input": rows[3]["input"].upper()}], table=tools(tmp_path))
    assert [(file, line) for file, line, _ in found(report, "leak")] == [("train.jsonl", 4)]
    assert report.count("error") == 1
    nearly = rows[3] | {"input": rows[3]["input"].replace("now", "naow")}
    report = look(tmp_path, rows, test=[nearly], table=tools(tmp_path))
    assert report.count("error") == 0
    assert "is nearly the test example" in found(report, "leak")[0][2]


def test_what_recurs_throughout_is_no_near_duplicate(tmp_path: Path) -> None:
    rows = [
        row_of(f"set the {thing} in {room} for five minute{s}", call("TurnOn", room=room, thing=thing))
        for room in ROOMS
        for thing in THINGS[:5]
        for s in ("", "s")
    ]
    assert "near_duplicate" not in look(tmp_path, rows, table=tools(tmp_path)).findings


def test_labels(tmp_path: Path) -> None:
    rows = [row_of(f"text number {n} of many others", ("billing", "shipping")[n % 2]) for n in range(100)]
    rows += [
        row_of("one more that is new", "Billing"),
        row_of("another that is new", "refunds"),
    ]
    report = look(tmp_path, rows, labels=["billing", "shipping"])
    assert [(line, said) for _, line, said in found(report, "label_typo")] == [
        (101, 'the label "Billing" is rare and nearly "billing"')
    ]
    assert [line for _, line, _ in found(report, "forbidden")] == [102]
    # A label that is one is no typo, however rare it is.
    assert found(look(tmp_path, rows, labels=["billing", "shipping", "Billing", "refunds"]), "label_typo") == []


def test_rare_labels_and_labels_that_are_never_learned(tmp_path: Path) -> None:
    rows = [row_of(f"text number {n} of many others", ("yes", "no")[n % 2]) for n in range(60)]
    rows += [row_of("what else is there", "maybe not")]
    report = look(tmp_path, rows, test=[row_of("a new one", "unsure")], task="classify")
    rare, unlearned = report.findings["imbalance"]
    assert rare.severity == "note" and "1 of 3 labels are rare: maybe not (1)" in rare.message
    assert unlearned.severity == "warning" and unlearned.where.endswith("test.jsonl:1")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {},
            [
                "no example has 1 of the 3 functions: SetLevel",
                "no example has some arguments of the others: TurnOn.level, TurnOff.level",
            ],
        ),
        ({"labels": ["b", "a", "c"], "table": Constraint()}, ["no example has 1 of the 3 labels: c"]),
    ],
)
def test_what_may_be_answered_and_no_example_shows(
    tmp_path: Path, given: dict[str, Any], said: list[str]
) -> None:
    rows = [row_of(f"text number {n}", "ab"[n % 2]) for n in range(9)] if given else calls()
    several = row_of(
        "all of it", json.dumps([json.loads(call("SetLevel", level=5)), json.loads(call("TurnOff"))])
    )
    test = [row_of("a new one", "c"), several]
    report = look(tmp_path, rows, test=test, **{"table": tools(tmp_path), **given})
    assert [one.message for one in report.findings["unshown"]] == said
    whole = [*rows, several, row_of("the last", call("TurnOn", level=1))]
    assert given or [
        one.message for one in look(tmp_path, whole, table=tools(tmp_path)).findings["unshown"]
    ] == ["no example has some arguments of the others: TurnOff.level, SetLevel.room, SetLevel.thing"]


def test_fields_that_no_example_fills(tmp_path: Path) -> None:
    schema = {"properties": {"name": {"type": "string"}, "age": {"type": "integer"}}, "required": ["name"]}
    (tmp_path / "schema.json").write_text(json.dumps({"type": "object", **schema}))
    rows = [row_of(f"I am person {n}", json.dumps({"name": f"person {n}"})) for n in range(30)]
    report = look(tmp_path, rows, table=Constraint(schema=str(tmp_path / "schema.json"), spacing="spaced"))
    assert [one.message for one in report.findings["unshown"]] == ["no example has some fields: age"]


def test_texts(tmp_path: Path) -> None:
    rows = [
        row_of(f"question {n}?", f"The answer to this question is number {n}, as they say.") for n in range(30)
    ]
    rows += [
        row_of("a cut one", "The answer to this question is that one must always"),
        row_of("a refused one", "I'm sorry, but as an AI language model I can't help with that."),
        row_of("sorry", "I am sorry for what I said about the answer to your question."),
    ]
    report = look(tmp_path, rows, task="chat")
    assert [line for _, line, _ in found(report, "truncated")] == [31]
    assert [line for _, line, _ in found(report, "refusal")] == [32]


def test_texts_that_are_nearly_the_same(tmp_path: Path) -> None:
    said = "It stands on the second shelf of the cellar, behind the jars."
    rows = [row_of(f"question {n} of many?", f"The answer is number {n}, as they say.") for n in range(9)]
    rows += [row_of("where is the old lantern kept", said)]
    rows += [row_of("where is the old lanttern kept", said.replace("jars", "jar"))]
    rows += [row_of("where is the old lanterrn kept", "I have no idea at all, sorry.")]
    report = look(tmp_path, rows, task="chat")
    assert [line for _, line, _ in found(report, "near_duplicate")] == [11]


def test_tokens_are_the_bases(tmp_path: Path) -> None:
    from tests.models.tiny_models import tiny_spec
    from tinsmith import models

    models.save_hf(tiny_spec("llama"), tmp_path / "base")
    rows = [
        *calls()[:20],
        row_of("radio on in the attic " * 20, call("TurnOn", room="attic", thing="radio")),
    ]
    report = look(tmp_path, rows, base=str(tmp_path / "base"), length=300)
    assert [line for _, line, _ in found(report, "too_long")] == [21]
    assert "too_long" not in report.skipped


def test_keys_are_put_in_the_order_of_the_schema(tmp_path: Path) -> None:
    schema = {
        "$defs": {
            "person": {
                "type": "object",
                "properties": {"first": {"type": "string"}, "last": {"type": "string"}},
            }
        },
        "type": "object",
        "properties": {
            "who": {"type": "array", "items": {"$ref": "#/$defs/person"}},
            "when": {"type": "string"},
        },
        "required": ["who", "when"],
        "additionalProperties": False,
    }
    schema["$defs"]["person"] |= {"required": ["first", "last"], "additionalProperties": False}
    (tmp_path / "schema.json").write_text(json.dumps(schema))
    wrong = '{"when": "noon", "who": [{"last": "Doe", "first": "Jo"}]}'
    report = look(
        tmp_path,
        [row_of("Jo Doe at noon", wrong)],
        table=Constraint(schema=str(tmp_path / "schema.json")),
    )
    [one] = report.findings["forbidden"]
    assert one.mend is not None and report.data.task.name == "extract"
    mended = one.mend.apply(report.data.rows[0].example)
    assert mended is not None and mended.output == '{"who":[{"first":"Jo","last":"Doe"}],"when":"noon"}'


def test_marks_that_the_constraint_asks_for_are_let_be(tmp_path: Path) -> None:
    rows = [row_of(f"text number {n} of many", "<|yes|>") for n in range(20)]
    assert len(found(look(tmp_path, rows, task="chat"), "template")) == 20
    asked = Constraint(regex=r"<\|[a-z]+\|>")
    assert found(look(tmp_path, rows, task="chat", table=asked), "template") == []


def test_other_shapes_are_checked_where_they_stand(tmp_path: Path) -> None:
    lines = [
        "text,label",
        *(f"text number {n} of some,{'yes' if n % 2 else 'no'}" for n in range(50)),
        '"broken cafÃ©",yes',
    ]
    path = tmp_path / "data.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    report = check.run(checking.of_files([("train", path)], None, Constraint(), None, None, 512))
    assert report.data.task.name == "classify"
    assert [one.where for one in report.findings["encoding"]] == [f"{path}:52"]


def test_the_task_is_seen_from_the_outputs() -> None:
    from tinsmith.data.readers import Example

    def of(*outputs: str) -> str:
        return likely_task([Row("train", Path("a"), Example("in", output)) for output in outputs]).name

    assert of(call("TurnOn"), call("TurnOff")) == "call"
    assert of('{"a": 1}', '{"b": 2}') == "extract"
    assert of(*["yes", "no"] * 10) == "classify"
    assert of("Once upon a time.", "The end of it.") == "chat"


def test_every_check_says_what_it_is() -> None:
    names = [one.name for one in check.checks()]
    assert len(set(names)) == len(names)
    status = (Path(__file__).parents[2] / "docs" / "status.md").read_text("utf-8")
    assert f"{len(names)} kinds of faults" in " ".join(status.split())
    for one in check.checks():
        assert one.title and one.advice and set(one.explained_by) <= set(names)
        assert check.by_name(one.name) is one
    with pytest.raises(UnsupportedError, match="there are contradiction"):
        check.by_name("nothing")
    assert {task.name for task in tasks.tasks()} >= {"call", "chat", "classify", "extract"}
