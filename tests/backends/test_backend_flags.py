"""--backend and --gpu-layers, as a shell sees them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tinsmith import cli
from tinsmith.models import Spec, save_gguf


@pytest.fixture
def gguf(spec: Spec, tmp_path: Path) -> str:
    save_gguf(spec, tmp_path / "tiny.gguf")
    return str(tmp_path / "tiny.gguf")


def test_what_is_unknown_or_does_not_fit_is_one_line(gguf: str, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, message in (
        (["--backend", "tensorflow"], "known: native, llama.cpp, onnxruntime"),
        (["--gpu-layers", "4"], "gpu_layers is for the back end llama.cpp; this is native"),
        (["--backend", "llama.cpp", "--isa", "scalar"], "isa, kv and most_bytes are for the native runtime"),
    ):
        assert cli.main(["run", gguf, "hello", *arguments]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1


def test_llama_cpp_answers_on_the_command_line(gguf: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("llama_cpp")
    answers = []
    for backend in ("native", "llama.cpp"):
        command = ["run", gguf, "in", "--backend", backend, "--max-tokens", "8", "--threads", "1", "--json"]
        assert cli.main([*command, "--regex", "[a-z]{3}"]) == 0
        answers.append(json.loads(capsys.readouterr().out)["token_ids"])
    assert answers[0] == answers[1]
    assert cli.main(["logits", gguf, "--text", "the tin", "--backend", "llama.cpp"]) == 0
    assert len(capsys.readouterr().out.strip()) == 64
