"""The prompts of rows, in every layout."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tinsmith.batch.items import Item, open_items
from tinsmith.batch.settings import OutputConstraint, Settings
from tinsmith.errors import DataError, InputError
from tinsmith.runtime.images import ImageLimits


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def system(text: str) -> dict[str, str]:
    return {"role": "system", "content": text}


def items(path: Path, **settings: object) -> list[Item]:
    return list(open_items(path, Settings(**settings)))  # type: ignore[arg-type]


def lines(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_text_a_line(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("one\r\n\n  two\nthree", encoding="utf-8")
    found = items(path, system="be short")
    assert [item.prompt for item in found] == [
        [system("be short"), user(one)] for one in ("one", "two", "three")
    ]
    assert [item.name for item in found] == [1, 2, 3]
    assert [item.prompt for item in items(path, raw=True)] == ["one", "two", "three"]


def test_our_own_examples_with_and_without_an_output(tmp_path: Path) -> None:
    turns = [system("own"), user("a"), {"role": "assistant", "content": "b"}]
    path = lines(
        tmp_path / "a.jsonl", {"input": "x", "output": "y"}, {"input": "c", "turns": turns}, {"input": " "}
    )
    found = items(path, system="common")
    assert found[0].prompt == [system("common"), user("x")]
    assert found[1].prompt == [*turns, user("c")]
    assert found[2].error is not None and f'{path}:3: "input" is empty' in found[2].error
    plain, turned, _ = items(path, raw=True)
    assert plain.prompt == "x" and turned.error is not None and "which --raw leaves out" in turned.error


def test_conversations_and_requests(tmp_path: Path) -> None:
    chats = lines(tmp_path / "a.jsonl", {"messages": [user("a")]}, {"messages": []})
    found = items(chats)
    assert found[0].prompt == [user("a")]
    assert found[1].error is not None
    own = {"messages": [user("a")], "system": "own"}
    told = lines(tmp_path / "c.jsonl", {"messages": [user("a")]}, {"messages": [system("s"), user("a")]}, own)
    assert [item.prompt[0] for item in items(told, system="common")] == [
        system("common"),
        system("s"),
        system("own"),
    ]
    body = {"model": "m", "messages": [user("q")], "max_tokens": 3}
    requests = lines(tmp_path / "b.jsonl", {"custom_id": "r-1", "method": "POST", "url": "/v1", "body": body})
    (request,) = items(requests)
    assert (request.name, request.prompt, request.body) == ("r-1", [user("q")], body)
    assert items(requests, system="common")[0].prompt == [system("common"), user("q")]
    assert open_items(requests, Settings()).settings.shape == "openai"
    with pytest.raises(InputError, match="leave --raw out"):
        items(chats, raw=True)


def test_columns_by_their_names_or_as_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,question,context\n1,why?,it rained\n2,when?,\n", encoding="utf-8")
    assert [item.prompt for item in items(path)] == [[user("it rained\n\nwhy?")], [user("when?")]]
    assert items(path, input=("id", "question"))[0].prompt == [user("1\n\nwhy?")]
    with pytest.raises(DataError, match='no column "prompt"; its columns are id, question, context'):
        items(path, input=("prompt",))
    table = tmp_path / "b.parquet"
    pq.write_table(pa.table({"lyrics": ["la"], "n": [1]}), table)
    with pytest.raises(DataError, match="none is a known one.; name it: --input lyrics"):
        items(table)
    assert items(table, input=("lyrics", "n"))[0].prompt == [user("la\n\n1")]


def test_two_ways_to_ask_are_not_guessed_between(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", {"prompt": "a", "question": "b"})
    with pytest.raises(DataError, match="unclear .prompt or question"):
        items(path)


def test_rows_are_drawn_evenly(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", *({"input": str(k)} for k in range(12)))
    counts = [0] * 12
    for seed in range(600):
        for item in items(path, sample=4, seed=seed):
            counts[item.number - 1] += 1
    assert sum(counts) == 2400
    assert all(150 <= count <= 250 for count in counts), counts  # 200 expected, deviation 11.5


def test_settings_go_through_a_journal(tmp_path: Path) -> None:
    settings = Settings(
        input=("a",),
        stop=("x", "y"),
        constraint=OutputConstraint("choices", ["a", "b"]),
        options={"top_k": 3},
        adapters={"n": 0.5},
        images=ImageLimits(images=3),
    )
    assert Settings.of_json(json.loads(json.dumps(settings.as_json())), tmp_path) == settings
    with pytest.raises(InputError, match=r"another version \(new\)"):
        Settings.of_json({**settings.as_json(), "new": 1}, tmp_path)
