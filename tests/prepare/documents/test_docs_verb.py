"""`tinsmith docs`, from a folder of documents to a recipe that runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.backends.scripted_endpoint import Reply, Script, says, serving
from tests.prepare.documents.document_tools import MAKERS, asks, last, pumps, rows
from tinsmith import cli
from tinsmith.backends.endpoint import Endpoint
from tinsmith.pipeline import engine, recipe
from tinsmith.prepare.documents import making, writing
from tinsmith.prepare.documents.teachers import Remote
from tinsmith.system import progress

SPLITS = ("train", "validation", "test")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return pumps(tmp_path / "pumps")


def run(folder: Path, base: Path, script: Script, *more: str, task: str = "chat", code: int = 0) -> int:
    """How many requests came."""
    with serving(script) as server:
        words = ["docs", str(folder), "--task", task, "--teacher", server.url, "--model", "tiny"]
        assert cli.main([*words, "--base", str(base), *more]) == code
        return len(server.asked)


def made(folder: Path, task: str = "chat") -> dict[str, list[dict[str, Any]]]:
    return {
        split: rows(folder.with_name(f"{folder.name}-{task}") / "data" / f"{split}.jsonl") for split in SPLITS
    }


def contents(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def test_questions_and_answers(folder: Path, chat_base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, chat_base, asks) == 80
    out = folder.with_name("pumps-chat")
    assert f"make the model:  tinsmith make {out / 'recipe.toml'}" in capsys.readouterr().out
    splits = made(folder)
    about = [one for kept in splits.values() for one in kept if "passage" in one]
    assert len(about) == 80
    for one in about:
        assert one["output"] in " ".join(one["passage"].split())
        assert one["input"].split()[6] in one["passage"]
        source, line = one["about"]["source"].split(":")
        lines = (folder / source).read_text("utf-8").splitlines()
        assert lines[int(line) - 1] == one["passage"].splitlines()[0]
    loaded = recipe.load(out / "recipe.toml")
    assert (loaded.data.task, loaded.train.method) == ("chat", "lora")
    facts = engine.make(loaded, out / "run", progress.Silent(), "data").done(engine.DATA).facts
    assert facts.counts == {split: len(kept) for split, kept in splits.items()}
    assert facts.test_inputs_in_train == 0


def test_what_is_held_out_is_so_by_document(folder: Path, chat_base: Path) -> None:
    run(folder, chat_base, asks)
    splits = made(folder)
    groups = {
        split: {one.get("group") for one in kept if one.get("part") != "documents learned from"} - {None}
        for split, kept in splits.items()
    }
    assert len(set().union(*groups.values())) == sum(map(len, groups.values())) == len(MAKERS)
    assert {one["part"] for one in splits["test"]} == {
        "held-out documents",
        "documents learned from",
        "off topic",
    }
    known = [one for one in splits["test"] if one["part"] == "documents learned from"]
    assert {one["passage"] for one in known} <= {one.get("passage") for one in splits["train"]}
    for kept in splits.values():
        off_topic = [one for one in kept if one["output"] == "The documents do not say."]
        assert 1 <= len(off_topic) <= 1 + 0.05 * len(kept)


BAD: dict[str, tuple[Any, str, str]] = {
    "not the schema": ({"question": 7}, "invalid", "not of the schema at character 13"),
    "no question": ({"question": "The impeller is replaced."}, "invalid", "not of the schema"),
    "about something else": (
        {"question": "Who painted the Sistine Chapel ceiling?"},
        "unrelated",
        "lacks most words",
    ),
    "gives it away": (
        {"question": "Is the impeller of the Adler pump replaced after 200 hours of work?"},
        "given away",
        "contains its answer",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_dropped_is_listed_with_its_reason(name: str, folder: Path, chat_base: Path) -> None:
    value, reason, message = BAD[name]

    def script(body: dict[str, Any]) -> Reply:
        if "The impeller of the Adler pump is replaced after 200" in last(body).split("has this answer: ")[1]:
            return says(json.dumps(value))
        return asks(body)

    run(folder, chat_base, script)
    (dropped,) = rows(folder.with_name("pumps-chat") / "dropped.jsonl")
    assert (dropped["reason"], dropped["where"]) == (reason, "adler.md:5")
    assert message in dropped["message"]
    assert sum(len([one for one in kept if "passage" in one]) for kept in made(folder).values()) == 79


def test_one_question_with_two_answers_is_dropped(folder: Path, chat_base: Path) -> None:
    def script(body: dict[str, Any]) -> Reply:
        reply = asks(body)
        text = json.loads(json.loads(reply.body)["choices"][0]["message"]["content"])["question"]
        return says(json.dumps({"question": text.replace("gasket", "impeller")}))

    run(folder, chat_base, script)
    dropped = rows(folder.with_name("pumps-chat") / "dropped.jsonl")
    assert {one["reason"] for one in dropped} == {"ambiguous"}
    assert len(dropped) == 2 * len(MAKERS)
    assert all("impeller" not in one["input"] for kept in made(folder).values() for one in kept)


def test_a_killed_run_goes_on(folder: Path, chat_base: Path, tmp_path: Path) -> None:
    """The endpoint stays away after some answers; the next run asks for the others alone, and all files are as
    if nothing had happened."""
    out = folder.with_name("pumps-chat")
    with serving(lambda body: asks(body) if len(server.asked) <= 40 else Reply(status=400)) as server:
        assert run_at(server.url, folder, chat_base) == 2
        kept = rows(out / "answers.jsonl")
        assert 4 <= len(kept) <= 10 and not (out / "recipe.toml").exists()
        with (out / "answers.jsonl").open("a") as file:
            file.write('{"key": "cut off')
        server.script = asks
        server.asked.clear()
        assert run_at(server.url, folder, chat_base) == 0
        assert len(server.asked) == 80 - sum(len(one["answers"]) for one in kept)
        server.asked.clear()
        assert run_at(server.url, folder, chat_base) == 0
        assert server.asked == []
        assert run_at(server.url, folder, chat_base, "--out", str(tmp_path / "whole")) == 0
    once, twice = contents(tmp_path / "whole"), contents(out)
    assert once.keys() == twice.keys()
    assert [name for name in once if once[name] != twice[name]] == ["answers.jsonl"]


def run_at(url: str, folder: Path, base: Path, *more: str) -> int:
    words = ["docs", str(folder), "--task", "chat", "--teacher", url, "--model", "tiny", "--base", str(base)]
    return cli.main([*words, *more])


def test_distilled_documents_are_validated_by_their_own_questions(folder: Path, chat_base: Path) -> None:
    out = folder.with_name("pumps-chat")
    with serving(asks) as server:
        terms = writing.Terms(off_topic="The documents do not say.")
        plan = making.Plan(folder, out, "chat", terms, str(chat_base), chat_base, distill=True)
        result = making.make(plan, Remote(Endpoint(server.url, "tiny")), progress.Silent())
    loaded = recipe.load(result.recipe)
    assert (loaded.train.method, loaded.train.teacher) == ("distill", "base")
    splits = made(folder)
    learned = {one.get("passage") for one in splits["train"]}
    assert {one.get("passage") for one in splits["validation"]} <= learned
    held = {one["group"] for one in splits["test"] if one["part"] == "held-out documents"}
    assert held and not held & {one.get("group") for one in splits["train"] + splits["validation"]}


@pytest.mark.slow
def test_documents_to_an_adapter(tmp_path: Path, chat_base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In one command."""
    run(pumps(tmp_path / "pumps", 5), chat_base, asks, "--adapter")
    adapter = Path(capsys.readouterr().out.splitlines()[-1])
    assert (adapter / "adapter_model.safetensors").is_file()
    assert any((adapter.parent / "teacher").iterdir())
