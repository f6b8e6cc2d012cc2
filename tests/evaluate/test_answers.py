from __future__ import annotations

import dataclasses
import gc
import subprocess
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import tinsmith
from tinsmith.errors import TinsmithError
from tinsmith.evaluate import systems, worker
from tinsmith.evaluate.answers import Answer, AnswerFile, Item, Job, read_answers


def job(*questions: str, draft: list[int] | None = None) -> Job:
    items = [Item([{"role": "user", "content": q}], draft) for q in questions]
    return Job("model.tin", "00", threads=1, max_tokens=8, items=items)


class Parrot:
    """A model that repeats its question, and remembers how often it was asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def chat(
        self,
        messages: Any,
        max_tokens: int,
        draft: Any,
        confidence: bool,
        constraint: Any = "the file's",
        thinking: Any = None,
    ) -> Any:
        self.asked.append(draft)
        self.constraint, self.thinking = constraint, thinking
        text = messages[-1]["content"]
        return SimpleNamespace(
            text=text,
            token_ids=[1, 2],
            prompt_tokens=3,
            seconds=0.5,
            finish="stop",
            evaluations=2,
            log_probability=-0.5 if confidence else None,
        )


@pytest.fixture
def parrot(monkeypatch: pytest.MonkeyPatch) -> Parrot:
    bird = Parrot()
    monkeypatch.setitem(vars(tinsmith), "load", lambda path, **options: bird)
    return bird


def test_a_job_survives_its_file(tmp_path: Path) -> None:
    asked = job("a", "b", draft=[1, 2])
    asked.save(tmp_path / "job.json")
    assert Job.load(tmp_path / "job.json") == asked


def test_the_digest_is_of_what_decides_the_answers() -> None:
    assert job("a").digest == job("a", draft=[1]).digest
    assert job("a").digest != job("b").digest
    assert job("a").digest != dataclasses.replace(job("a"), model_sha256="01").digest
    assert job("a").digest != dataclasses.replace(job("a"), constrained=True).digest
    assert job("a").digest != dataclasses.replace(job("a"), thinking=False).digest
    assert job("a").digest != dataclasses.replace(job("a"), date="2026-11-25").digest
    assert job("a").digest != dataclasses.replace(job("a"), confidence=True).digest


def test_what_a_recipe_says_of_thinking_reaches_the_base(tmp_path: Path, parrot: Parrot) -> None:
    worker.work(dataclasses.replace(job("a"), thinking=False), tmp_path / "a.jsonl")
    assert parrot.thinking is False


def test_a_file_is_freed_from_its_constraint_unless_the_job_is_under_it(tmp_path: Path, parrot: Parrot) -> None:
    worker.work(job("a"), tmp_path / "a.jsonl")
    assert parrot.constraint is None
    worker.work(dataclasses.replace(job("a"), constrained=True), tmp_path / "b.jsonl")
    assert parrot.constraint == "the file's"
    worker.work(dataclasses.replace(job("a"), confidence=True), tmp_path / "c.jsonl")
    (sure,), (plain,) = read_answers(tmp_path / "c.jsonl"), read_answers(tmp_path / "a.jsonl")
    assert (sure.log_probability, plain.log_probability) == (-0.5, None)
    costs = systems.costs(systems.Outcome(read_answers(tmp_path / "b.jsonl"), 5))
    assert costs["evaluations"] == 2


def test_every_item_is_answered_once(tmp_path: Path, parrot: Parrot) -> None:
    asked = job("a", "b\u2028c", "d")
    assert worker.work(asked, tmp_path / "a.jsonl") > 1_000_000
    assert [a.text for a in read_answers(tmp_path / "a.jsonl")] == ["a", "b\u2028c", "d"]
    worker.work(asked, tmp_path / "a.jsonl")
    assert len(parrot.asked) == 3


@pytest.mark.parametrize("cut", [1, 10, 60])
def test_a_half_written_answer_is_asked_again(tmp_path: Path, parrot: Parrot, cut: int) -> None:
    path = tmp_path / "a.jsonl"
    worker.work(job("a", "b", "c"), path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    worker.work(job("a", "b", "c"), path)
    assert path.read_bytes() == whole
    assert len(parrot.asked) == 4


def test_answers_of_another_job_are_dropped(tmp_path: Path, parrot: Parrot) -> None:
    worker.work(job("a", "b"), tmp_path / "a.jsonl")
    worker.work(job("c"), tmp_path / "a.jsonl")
    assert [a.text for a in read_answers(tmp_path / "a.jsonl")] == ["c"]


def test_the_first_items_get_no_draft_and_alone_are_timed(tmp_path: Path, parrot: Parrot) -> None:
    asked = job(*map(str, range(worker.UNDRAFTED + 2)), draft=[7])
    worker.work(asked, tmp_path / "a.jsonl")
    assert parrot.asked == [None] * worker.UNDRAFTED + [[7], [7]]
    costs = systems.costs(systems.Outcome(read_answers(tmp_path / "a.jsonl"), 5))
    assert (costs["timed_items"], costs["ms_per_item"]) == (worker.UNDRAFTED, 500.0)


def test_a_finished_job_runs_no_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []

    def run(name: str, job_file: Path, answers: Path, on_done: Any) -> int:
        started.append(name)
        asked = Job.load(job_file)
        file = AnswerFile(answers, asked.digest)
        for i in range(len(asked.items)):
            file.add(Answer(i, "x", [1], 1, 0.1, "stop"))
        file.close()
        return 7

    monkeypatch.setattr(systems, "_run", run)
    first = systems.ask("q8", job("a", "b"), tmp_path, lambda done: None)
    again = systems.ask("q8", job("a", "b"), tmp_path, lambda done: None)
    assert first == again
    assert (len(first.answers), first.peak_memory, started) == (2, 7, ["q8"])


def test_a_worker_that_dies_is_an_error_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = (
        "import sys, os; print('{\"done\": 1}', flush=True); print('bad luck', file=sys.stderr); os.abort()"
    )
    start = subprocess.Popen

    def popen(command: list[str], **options: Any) -> Any:
        return start([command[0], "-c", script], **options)

    monkeypatch.setattr(subprocess, "Popen", popen)
    seen: list[int] = []
    with pytest.raises(TinsmithError, match="q8: its evaluation ended with signal 6: bad luck"):
        systems.ask("q8", job("a"), tmp_path, seen.append)
    assert seen == [0, 1]


def test_a_model_that_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", ResourceWarning)
        with pytest.raises(TinsmithError, match=r"q8: .*model\.tin: no such file"):
            systems.ask("q8", job("a"), tmp_path, lambda done: None)
        gc.collect()
    assert [str(one.message) for one in said] == []  # no pipe stays open


def test_peak_memory_counts_what_was_given_back() -> None:
    before = worker.peak_memory()
    block = bytearray(before + 64_000_000)
    del block
    assert worker.peak_memory() >= before + 64_000_000
