"""What `tinsmith run --log-unsure` writes: rows that training reads, private, and only where unsure."""

from __future__ import annotations

import io
import json
import stat
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import tinsmith
from tests.models.tiny_models import tiny_spec
from tinsmith import cli
from tinsmith.compiler import build_tin
from tinsmith.data.readers import Example, Turn, read_jsonl
from tinsmith.errors import DataError
from tinsmith.models import family
from tinsmith.pipeline.examples import read_examples
from tinsmith.runtime import Model
from tinsmith.runtime.messages import Message
from tinsmith.spec import Spec
from tinsmith.train.batches.sequences import Tokenization

TEMPLATE = (
    "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


def small_spec() -> Spec:
    sizes = {"hidden_size": 64, "intermediate_size": 96, "max_position_embeddings": 2048}
    return replace(tiny_spec(family.by_name("llama"), **sizes), chat_template=TEMPLATE)


@pytest.fixture
def tin(tmp_path: Path) -> Path:
    build_tin(small_spec(), tmp_path / "a.tin")
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
    system = (Turn("system", "home"),)
    assert rows == [Example("light „here“?", answers[0]), Example("and\nthere", answers[1], turns=system)]
    assert 0 < rows[0].about["probability"] < 1
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


def test_a_chat_is_learned_as_it_was_asked(
    tin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log, asked = tmp_path / "unsure.jsonl", []
    render = Model.render

    def rendered(model: Model, messages: Sequence[Message], **options: Any) -> list[int]:
        asked.append(render(model, messages, **options))
        return asked[-1]

    monkeypatch.setattr(Model, "render", rendered)
    monkeypatch.setattr("sys.stdin", io.StringIO("one\ntwo\n"))
    words = ("--system", "home", "--choices", "on,off", "--log-unsure", log, "--unsure", "1.1")
    said = shell(capsys, tin, *words).split("\n")
    rows = read_examples(log, "chat")
    system, user, assistant = Turn("system", "home"), Turn("user", "one"), Turn("assistant", said[0])
    assert rows == [
        Example("one", said[0], turns=(system,)),
        Example("two", said[1], turns=(system, user, assistant)),
    ]
    encode = partial(tinsmith.load(tin).tokenize, special=True)
    tokenization = Tokenization(small_spec(), encode, "chat", "of the recipe", 2048)
    assert [list(tokenization.prompt(row)) for row in rows] == asked
    with pytest.raises(DataError, match=r"unsure.jsonl:2: has 2 turns before its last message"):
        read_examples(log, "classify")


def test_an_empty_answer_is_to_be_written(tin: Path, tmp_path: Path) -> None:
    log = tmp_path / "unsure.jsonl"
    assert cli.main(["run", str(tin), "hi", "--regex", "()", "--log-unsure", str(log), "--unsure", "1.1"]) == 0
    with pytest.raises(DataError, match=r'unsure.jsonl:1: "output" is empty; write a text, or leave the row'):
        read_examples(log, "chat")


def test_a_prompt_without_the_template_is_not_logged(
    tin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "unsure.jsonl"
    assert cli.main(["run", str(tin), "hi", "--raw", "--log-unsure", str(log)]) == 2
    assert "--log-unsure excludes --raw" in capsys.readouterr().err
    (tmp_path / "tools.json").write_text('[{"name": "Set", "parameters": {"type": "object"}}]')
    words = ["run", str(tin), "hi", "--tools", str(tmp_path / "tools.json"), "--log-unsure", str(log)]
    assert cli.main(words) == 2
    assert "--log-unsure excludes --tools" in capsys.readouterr().err
    assert cli.main(["run", str(tin), "hi", "--unsure", "0.9"]) == 2
    assert "--unsure needs --log-unsure" in capsys.readouterr().err
    assert not log.exists()


def test_a_log_that_cannot_be_written_is_one_line(
    tin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder := tmp_path / "folder").mkdir()
    assert cli.main(["run", str(tin), "hi", "--max-tokens", "2", "--log-unsure", str(folder)]) == 2
    assert "is no regular file to append to" in capsys.readouterr().err
