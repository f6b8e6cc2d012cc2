"""Requests in OpenAI's shape, tasks, the cache, and windows of one model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import tinsmith
from tinsmith.batch import engine, executors, run
from tinsmith.batch.cache import Cache, CachedAnswer
from tinsmith.batch.items import Item
from tinsmith.batch.settings import OutputConstraint, Settings
from tinsmith.errors import InputError, RuntimeFault
from tinsmith.runtime.generation import Completion

Run = Callable[..., int]
BAN = {str(token): -100 for token in range(3, 200)}
TOOL = {
    "type": "function",
    "function": {
        "name": "go",
        "parameters": {"type": "object", "properties": {"on": {"enum": ["a", "b"]}}, "required": ["on"]},
    },
}


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def request(name: str, **body: object) -> str:
    asked = {"model": "m", "messages": [{"role": "user", "content": "q"}], **body}
    return json.dumps({"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": asked})


def test_requests_are_answered_in_openais_shape(batch: Run, tiny_tin: Path, tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"]}
    given, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    lines = [
        request("plain", max_tokens=3),
        request(
            "json", max_tokens=20, response_format={"type": "json_schema", "json_schema": {"schema": schema}}
        ),
        request("tool", max_tokens=40, tools=[TOOL], tool_choice="required"),
        request("drawn", temperature=1.5, seed=3),
        request("banned", max_tokens=3, logit_bias=BAN),
        request("odd", best_of=3),
        request("several", n=2, temperature=1.5, seed=3, logprobs=True, top_logprobs=2, max_tokens=3),
        request("alone", n=200),
        request("image", messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]),
        request("sound", messages=[{"role": "user", "content": [{"type": "input_audio"}]}]),
        request("parts", messages=[{"role": "user", "content": [{"type": "text", "text": "q"}]}], max_tokens=3),
        request("object", response_format={"type": "json_object"}, max_tokens=20),
        request("last seed", n=2, temperature=1.5, seed=2**64 - 1, max_tokens=3),
    ]
    given.write_text("\n".join(lines))
    assert batch(given, out) == 1
    made = {row["custom_id"]: row for row in rows(out)}
    assert list(made) == [json.loads(line)["custom_id"] for line in lines]
    bodies = {name: row["response"]["body"] for name, row in made.items() if row["error"] is None}
    alone = tinsmith.load(tiny_tin, threads=1).chat([{"role": "user", "content": "q"}], max_tokens=3)
    plain = bodies["plain"]["choices"][0]
    assert (plain["message"]["content"], plain["finish_reason"]) == (alone.text, alone.finish)
    assert bodies["plain"]["usage"]["completion_tokens"] == len(alone.token_ids)
    assert bodies["parts"]["choices"] == bodies["plain"]["choices"]
    assert json.loads(bodies["json"]["choices"][0]["message"]["content"])["n"] in (1, 2)
    tool = bodies["tool"]["choices"][0]
    assert tool["finish_reason"] == "tool_calls"
    call = tool["message"]["tool_calls"][0]["function"]
    assert call["name"] == "go" and json.loads(call["arguments"])["on"] in ("a", "b")
    assert bodies["banned"]["choices"][0]["message"]["content"] != plain["message"]["content"]
    assert '"best_of" is not supported' in made["odd"]["error"]["message"]
    assert "give a whole number from 1 to 128" in made["alone"]["error"]["message"]
    several = bodies["several"]["choices"]
    assert [one["index"] for one in several] == [0, 1]
    for k, one in enumerate(several):
        drawn = {"temperature": 1.5, "seed": 3 + k, "record": True, "tops": 2, "max_tokens": 3}
        expected = tinsmith.load(tiny_tin, threads=1).chat([{"role": "user", "content": "q"}], **drawn)
        assert one["message"]["content"] == expected.text
        for token, choice in zip(one["logprobs"]["content"], expected.choices, strict=True):
            assert token["logprob"] == choice.log_probability
            assert [top["logprob"] for top in token["top_logprobs"]] == [value for _, value in choice.tops]
    assert plain["logprobs"] is None
    assert isinstance(json.loads(bodies["object"]["choices"][0]["message"]["content"]), dict)
    assert len(bodies["last seed"]["choices"]) == 2
    assert len(bodies["several"]["tinsmith"]["receipt"].split(",")) == 2
    assert "has no image input" in made["image"]["error"]["message"]
    assert "give text or image_url" in made["sound"]["error"]["message"]
    assert batch(given, out, "--check") == 0


def test_system_and_developer_messages_are_one(batch: Run, tiny_tin: Path, tmp_path: Path) -> None:
    """As the server has them, in requests and in rows of messages."""
    told = [("system", "be"), ("developer", "kind"), ("user", "q")]
    messages = [{"role": role, "content": text} for role, text in told]
    one = [{"role": "system", "content": "be\n\nkind"}, {"role": "user", "content": "q"}]
    alone = tinsmith.load(tiny_tin, threads=1).chat(one, max_tokens=3).text
    given, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    given.write_text(request("r", messages=messages, max_tokens=3))
    assert batch(given, out) == 0
    assert rows(out)[0]["response"]["body"]["choices"][0]["message"]["content"] == alone
    given.write_text(json.dumps({"messages": messages}))
    assert batch(given, tmp_path / "rows.jsonl") == 0
    assert rows(tmp_path / "rows.jsonl")[0]["text"].startswith(alone)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"tools": [TOOL], "tool_choice": {"type": "function", "function": "go"}}, "the unknown tool {"),
        ({"tools": [TOOL], "tool_choice": {"function": {"name": "other"}}}, "names 'other', which is not one"),
        ({"tools": [TOOL], "tool_choice": {"type": "allowed_tools"}}, 'allowed_tools with "mode" and "tools"'),
        ({"tools": [TOOL], "parallel_tool_calls": "no"}, '"parallel_tool_calls" must be true or false'),
        ({"tools": [{"function": "go"}]}, "#/0/function: a function must be an object"),
        ({"tool_choice": "required"}, '"tool_choice" without "tools"'),
        ({"tools": [TOOL], "response_format": {"type": "json_object"}}, '"tools" together'),
        ({"messages": [{"role": "assistant", "tool_calls": 5}]}, "tool_calls are 5; give a list"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"function": "go"}]}]}, "a tool call has a name"),
    ],
)
def test_an_invalid_request_fails_and_the_run_continues(
    batch: Run, tmp_path: Path, body: dict[str, Any], said: str
) -> None:
    given, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    given.write_text("\n".join([request("odd", **body), request("plain")]))
    assert batch(given, out) == 1
    odd, plain = rows(out)
    assert said in odd["error"]["message"] and plain["error"] is None


def test_answers_that_rows_cannot_express_are_rejected(batch: Run, tmp_path: Path) -> None:
    given, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    given.write_text("\n".join([request("two", n=2), request("shown", logprobs=True), request("plain", n=1)]))
    assert batch(given, out, "--shape", "rows") == 1
    two, shown, plain = rows(out)
    assert all("leave --shape rows out" in row["error"] for row in (two, shown))
    assert plain["text"]


def test_a_task_parses_constrained_answers(batch: Run, tmp_path: Path) -> None:
    given, out = tmp_path / "in.txt", tmp_path / "out.jsonl"
    given.write_text("x\ny\n")
    assert batch(given, out, "--task", "classify", "--choices", "yes,no") == 0
    assert all(row["value"] == row["text"] and row["text"] in ("yes", "no") for row in rows(out))


def test_the_cache_answers_unchanged_rows(
    batch: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given, cache = tmp_path / "in.txt", tmp_path / "cache"
    given.write_text("a\nb\nc\n")
    outs = [tmp_path / f"{k}.jsonl" for k in range(3)]
    batch(given, outs[0], "--cache", cache)
    given.write_text("b\nnew\nc\n")
    batch(given, outs[1], "--cache", cache)
    batch(given, outs[2])
    assert outs[1].read_bytes() == outs[2].read_bytes()
    known = [
        json.loads(one.with_name(f"{one.name}.journal").read_text().splitlines()[-1])["counts"]["known"]
        for one in outs
    ]
    assert known == [0, 2, 0]
    given.write_text("b\n")
    batch(given, tmp_path / "4.jsonl", "--cache", cache, "--seed", 1)  # other settings are other questions
    assert json.loads((tmp_path / "4.jsonl.journal").read_text().splitlines()[-1])["counts"]["known"] == 0


def test_caches_of_two_machines_merge_and_differences_are_found(tmp_path: Path) -> None:
    answer = CachedAnswer(
        Completion(text="a", token_ids=[1, 2], prompt_tokens=3, seconds=0.0, finish="stop", evaluations=0),
        "l",
        "r",
    )
    for name, keys in (("one", ("aa", "bb")), ("two", ("bb", "cc"))):
        cache = Cache(tmp_path / name)
        for key in keys:
            cache.put(key, answer)
        cache.commit()
        cache.close()
    shutil.copy(tmp_path / "two/answers.sqlite", tmp_path / "one/theirs.sqlite")
    cache = Cache(tmp_path / "one")
    assert (cache.merge(), cache.merge()) == (1, 0)
    assert cache.get({"cc": None, "dd": None}) == {"cc": answer}
    cache.close()
    other = Cache(tmp_path / "three")
    other.put(
        "aa",
        CachedAnswer(
            Completion(text="other", token_ids=[1], prompt_tokens=3, seconds=0.0, finish="stop", evaluations=0),
            "l",
            "r",
        ),
    )
    other.commit()
    other.close()
    shutil.copy(tmp_path / "three/answers.sqlite", tmp_path / "one/wrong.sqlite")
    with pytest.raises(InputError, match="1 answers differ"):
        Cache(tmp_path / "one").merge()


def test_the_command_merges_the_folders_caches(
    batch: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given, mine, theirs = tmp_path / "in.txt", tmp_path / "mine", tmp_path / "theirs"
    given.write_text("a\nb\nc\n")
    batch(given, tmp_path / "1.jsonl", "--cache", theirs, "--workers", 2)
    assert [one.name for one in theirs.iterdir()] == ["answers.sqlite"]
    mine.mkdir()
    shutil.copy(theirs / "answers.sqlite", mine / "theirs.sqlite")
    batch(given, tmp_path / "2.jsonl", "--cache", mine)
    assert f"{mine}: 3 answers of other machines" in capsys.readouterr().err
    last = (tmp_path / "2.jsonl.journal").read_text().splitlines()[-1]
    assert json.loads(last)["counts"]["known"] == 3


def window(first: int, *texts: str) -> engine.Window:
    return engine.Window(
        first, [Item(k, k, [{"role": "user", "content": one}]) for k, one in enumerate(texts, 1)]
    )


def test_longer_prompts_get_more_room_and_too_long_ones_are_refused(tiny_tin: Path) -> None:
    made = engine.Engine(tinsmith.load(tiny_tin, threads=1), Settings(max_tokens=4), slots=2)
    made.submit(window(0, "a", "b " * 100, "c", "x" * 5000))
    made.submit(window(4, "a", "d " * 90))
    done = []
    while not made.idle:
        done += made.results()
    lines = [
        [json.loads(line) for line in one.lines.splitlines()] for one in sorted(done, key=lambda one: one.first)
    ]
    model = tinsmith.load(tiny_tin, threads=1)
    for row, text in ((lines[0][1], "b " * 100), (lines[1][1], "d " * 90), (lines[1][0], "a")):
        assert row["text"] == model.chat([{"role": "user", "content": text}], max_tokens=4).text
    assert "a prompt of" in lines[0][3]["error"]
    assert sorted(one.counts.failed for one in done) == [0, 1]


def test_a_fault_of_the_core_is_tried_again(tiny_tin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step, faults = engine.Scheduler.step, [2]

    def failing(self: engine.Scheduler, budget: float | None = None) -> list[engine.Job]:
        news = step(self, budget)
        for job in news:
            if job.completion is not None and faults[0]:
                faults[0] -= 1
                job.completion, job.error = None, RuntimeFault("TIN_ERR_MEMORY", "no memory")
        return news

    monkeypatch.setattr(engine.Scheduler, "step", failing)
    for retry, failed in ((2, 0), (0, 2)):
        faults[0] = 2
        made = engine.Engine(tinsmith.load(tiny_tin, threads=1), Settings(max_tokens=2), retry=retry)
        made.submit(window(0, "a", "b", "c"))
        done: list[engine.WindowResult] = []
        while not done:
            done = made.results()
        assert done[0].counts.failed == failed


def test_settings_that_a_model_does_not_support(tiny_tin: Path) -> None:
    model = tinsmith.load(tiny_tin, threads=1)
    for settings, said in (
        (Settings(constraint=OutputConstraint("choices", ["a"]), thinking=True), "leave thinking out"),
        (Settings(adapters={"none": 1.0}), "no adapter 'none'"),
        (Settings(task="nothing"), 'task "nothing" does not exist'),
    ):
        with pytest.raises(tinsmith.errors.TinsmithError, match=said):
            engine.Engine(model, settings)


def test_a_worker_that_dies_is_replaced_and_too_many_end_the_run(tiny_tin: Path, tmp_path: Path) -> None:
    windows = [window(k, f"what is {k}?", f"and {k}?") for k in range(0, 40, 2)]

    def lines(job: executors.WorkerConfig, kills: int) -> bytes:
        def workers() -> executors.ProcessPool:
            made = executors.ProcessPool(job, 2)
            for worker in made._workers[:kills]:
                worker._process.kill()
            return made

        return b"".join(done.lines for done in run.answered(iter(windows), workers))

    job = executors.WorkerConfig(file=tiny_tin, settings=Settings(max_tokens=3), retry=1)
    assert lines(job, 1) == lines(job, 0)
    with pytest.raises(RuntimeFault, match=r"a worker died \(signal 9\)"):
        lines(job, 2)


def test_workers_keep_the_duty_cycle(
    tiny_tin: Path, batch: Run, asked: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = executors.WorkerConfig(
        file=tiny_tin, settings=Settings(max_tokens=3), loading={"duty_cycle": 30}, digest="d"
    )
    of_image = replace(job, image=tiny_tin).load(threads=1)
    assert [job.load(threads=1).duty_cycle, of_image.duty_cycle, of_image.digest] == [30, 30, "d"]
    one, two = (asked.with_name(f"{name}.jsonl") for name in ("one", "two"))
    batch(asked, one)
    batch(asked, two, "--duty-cycle", 50)
    assert one.read_bytes() == two.read_bytes()
    assert batch(asked, asked.with_name("three.jsonl"), "--duty-cycle", 0) == 2
    assert "duty_cycle is 0" in capsys.readouterr().err


def test_a_workers_error_is_reported(tiny_tin: Path, batch: Run, tmp_path: Path) -> None:
    job = executors.WorkerConfig(file=tiny_tin, settings=Settings(adapters={"none": 1.0}))
    with pytest.raises(InputError, match="no adapter 'none'"):
        list(run.answered(iter([window(0, "a")]), lambda: executors.ProcessPool(job, 1)))
