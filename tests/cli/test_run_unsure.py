"""What `tinsmith run --log-unsure` writes: rows that training reads, private, and only where unsure."""

from __future__ import annotations

import io
import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_models import tiny_spec

from tinsmith import cli
from tinsmith.compiler import build_tin
from tinsmith.data.readers import Example, read_jsonl
from tinsmith.models import family

TEMPLATE = (
    "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


@pytest.fixture
def tin(tmp_path: Path) -> Path:
    sizes = {"hidden_size": 64, "intermediate_size": 96, "max_position_embeddings": 2048}
    spec = replace(tiny_spec(family.by_name("llama"), **sizes), chat_template=TEMPLATE)
    build_tin(spec, tmp_path / "a.tin")
    return tmp_path / "a.tin"


def shell(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    assert cli.main(["run", *map(str, words)]) == 0
    return capsys.readouterr().out.removesuffix("\n")


def test_what_was_not_sure_is_training_data(
    tin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "unsure.jsonl"
    words = ("--choices", "on,off", "--log-unsure", log, "--unsure", "1.1")
    answers = [shell(capsys, tin, "light „here“?", *words)]
    answers.append(json.loads(shell(capsys, tin, "and\nthere", "--system", "home", "--json", *words))["text"])
    rows = read_jsonl(log)
    assert rows == [Example("light „here“?", answers[0]), Example("and\nthere", answers[1])]
    assert 0 < rows[0].about["probability"] < 1
    assert "messages" not in rows[0].about
    assert rows[1].about["messages"] == [{"role": "system", "content": "home"}]
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_nothing_is_written_unasked_or_where_it_was_sure(
    tin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log, before = tmp_path / "unsure.jsonl", set(tmp_path.iterdir())
    shell(capsys, tin, "hi", "--max-tokens", "3")
    shell(capsys, tin, "hi", "--max-tokens", "3", "--log-unsure", log, "--unsure", "0")
    shell(capsys, tin, "hi", "--choices", "only", "--log-unsure", log)
    assert set(tmp_path.iterdir()) == before
    # A random model is not sure of its free answers.
    shell(capsys, tin, "hi", "--max-tokens", "3", "--log-unsure", log)
    assert len(log.read_text().splitlines()) == 1


def test_a_chat_logs_each_turn_with_those_before(
    tin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "unsure.jsonl"
    monkeypatch.setattr("sys.stdin", io.StringIO("one\ntwo\n"))
    said = shell(capsys, tin, "--choices", "on,off", "--log-unsure", log, "--unsure", "1.1").split("\n")
    first, second = read_jsonl(log)
    assert (first, second) == (Example("one", said[0]), Example("two", said[1]))
    messages = [{"role": "user", "content": "one"}, {"role": "assistant", "content": said[0]}]
    assert second.about["messages"] == messages


def test_a_log_that_cannot_be_written_is_one_line(
    tin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["run", str(tin), "hi", "--max-tokens", "2", "--log-unsure", str(tmp_path)]) == 2
    assert "is no file that a line can be added to" in capsys.readouterr().err
