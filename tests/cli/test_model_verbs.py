"""run, logits and inspect on a tiny tin, as a shell sees them."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

import tinsmith
from tests.models.tiny_models import tiny_spec
from tinsmith import cli
from tinsmith.compiler import build_tin
from tinsmith.models import family

TEMPLATE = (
    "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


@pytest.fixture(scope="module")
def tin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tin") / "tiny.tin"
    spec = replace(
        tiny_spec(family.by_name("llama"), hidden_size=64, intermediate_size=96), chat_template=TEMPLATE
    )
    build_tin(spec, path)
    return path


def shell(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert cli.main(list(arguments)) == 0
    return capsys.readouterr().out


def test_run_streams_what_json_reports(tin: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--max-tokens", "12", "--temperature", "1", "--seed", "3"]
    text = shell(capsys, "run", str(tin), "hello", *options)
    printed = json.loads(shell(capsys, "run", str(tin), "hello", *options, "--json"))
    assert set(printed) >= {"text", "tokens", "token_ids", "seconds"}
    assert printed["text"] + "\n" == text
    assert printed["tokens"] == len(printed["token_ids"]) > 0
    model = tinsmith.load(tin)
    assert printed["prompt_tokens"] == len(model.render([{"role": "user", "content": "hello"}]))


def test_run_raw_applies_no_template(tin: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = json.loads(shell(capsys, "run", str(tin), "hello", "--raw", "--max-tokens", "3", "--json"))
    assert printed["prompt_tokens"] == len(tinsmith.load(tin).tokenize("hello"))


def test_run_passes_no_option_over(tin: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, said in (
        (["x", "--raw", "--system", "s"], "--raw excludes --system"),
        (["--json"], "--json needs PROMPT"),
    ):
        assert cli.main(["run", str(tin), *words]) == 2
        assert said in capsys.readouterr().err


def test_run_without_prompt_chats_line_by_line(
    tin: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("one\n\ntwo\n"))
    first, second = shell(capsys, "run", str(tin), "--max-tokens", "4").rstrip("\n").split("\n", 1)
    model = tinsmith.load(tin)
    talk = [{"role": "user", "content": "one"}]
    assert first == model.chat(talk, max_tokens=4).text
    talk += [{"role": "assistant", "content": first}, {"role": "user", "content": "two"}]
    assert second == model.chat(talk, max_tokens=4).text
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{'one ' * 60}\n" * 40))
    assert cli.main(["run", str(tin), "--max-tokens", "1"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("tinsmith: error: the conversation is too long: ") and "start a new" in error


def test_logits_digest_is_the_same_for_every_way_of_computing(
    tin: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    npy = tmp_path / "logits.npy"
    plain = shell(capsys, "logits", str(tin), "--tokens", "5,6,7,8", "--sha256", "--out", str(npy))
    for options in (["--isa", "scalar"], ["--threads", "2"], ["--chunk", "1"]):
        assert shell(capsys, "logits", str(tin), "--tokens", "5,6,7,8", *options) == plain
    numpy = pytest.importorskip("numpy")
    saved = numpy.load(npy)
    assert saved.shape == (4, 266)
    assert hashlib.sha256(saved.tobytes()).hexdigest() == plain.strip()


def test_inspect_names_every_entry_and_its_digest(tin: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = json.loads(shell(capsys, "inspect", str(tin), "--json"))
    assert printed["family"] == "llama"
    assert printed["bytes"] == tin.stat().st_size
    assert {"program.bin", "weights.bin", "tokenizer.bin", "selftest.bin", "manifest.json"} <= set(
        printed["entries"]
    )
    table = shell(capsys, "inspect", str(tin))
    for name, entry in printed["entries"].items():
        assert name in table
        assert entry.get("sha256", "") in table


def test_inspect_reads_a_gguf(base_gguf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = json.loads(shell(capsys, "inspect", str(base_gguf), "--json"))
    assert printed["parameters"] == 134_515_008
    assert printed["tensors"] == {"Q8_0": 1, "F32": 61, "Q4_1": 210}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "absent.tin", "hi"], "absent.tin: no such file"),
        (["inspect", "absent.gguf"], "absent.gguf: no such file"),
        (["logits", "{tin}", "--tokens", "1,x"], "separated by commas"),
        (["logits", "{tin}", "--tokens", "1,99999"], "99999, is not in the vocabulary of 266"),
        (["logits", "{tin}", "--text", "a", "--chunk", "0"], "at least 1"),
        (["run", "{tin}", "hi", "--isa", "z80"], "those that do: scalar"),
        (["run", "{tin}", "hi", "--top-p", "3"], "top_p is 3.0; give a number from 0 to 1"),
        (["run", "{tin}", "hi", "--max-tokens", "0"], "from 1 to"),
    ],
)
def test_bad_input_is_one_line(
    tin: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert cli.main([argument.format(tin=tin) for argument in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert message in captured.err
