"""Perplexity against NumPy's, window by window, and its verb."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import tinsmith
from tests.models.tiny_models import tiny_spec
from tinsmith import cli
from tinsmith.errors import InputError
from tinsmith.evaluate.perplexity import perplexity
from tinsmith.models import family, save_gguf
from tinsmith.system.progress import PlainDisplay

np = pytest.importorskip("numpy")
TEXT = "the thin tin is in the inn\n" * 40


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    save_gguf(tiny_spec(family.by_name("llama"), max_position_embeddings=128), path)
    return path


def expected(model: tinsmith.Model, tokens: list[int], context: int) -> tuple[float, int]:
    """The second half of each whole window, by logits of all its positions."""
    losses = []
    for start in range(0, len(tokens) - context + 1, context):
        window = tokens[start : start + context]
        logits = np.asarray(model.logits(window), np.float64)
        shares = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        losses += [-shares[at - 1, window[at]] for at in range(context // 2 + 1, context)]
    return float(np.exp(np.mean(losses))), len(losses)


@pytest.mark.parametrize("context", [4, 31, 128])
def test_windows_are_scored_as_numpy_does(gguf: Path, context: int) -> None:
    model = tinsmith.load(gguf, threads=1)
    tokens = model.tokenize(TEXT)
    assert len(tokens) > 300
    value, count = expected(model, tokens, context)
    measured = perplexity(model, TEXT, context, PlainDisplay())
    assert measured["perplexity"] == pytest.approx(value, rel=1e-5)
    assert (measured["tokens"], measured["windows"]) == (count, len(tokens) // context)


def test_a_text_shorter_than_a_window_is_one(gguf: Path) -> None:
    model = tinsmith.load(gguf, threads=1)
    measured = perplexity(model, "the tin", 128, PlainDisplay())
    count = len(model.tokenize("the tin"))
    assert (measured["windows"], measured["context"], measured["text_tokens"]) == (1, count, count)


def test_what_can_not_be_scored_is_said(gguf: Path) -> None:
    model = tinsmith.load(gguf, threads=1)
    with pytest.raises(InputError, match="4 to 128"):
        perplexity(model, TEXT, 129, PlainDisplay())
    with pytest.raises(InputError, match="at least 3"):
        perplexity(model, "i", 64, PlainDisplay())


def test_the_verb_prints_json(gguf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    command = ["perplexity", str(gguf), str(tmp_path / "text.txt"), "--context", "64"]
    assert cli.main([*command, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["backend"] == "native" and printed["tokens"] > 100
    assert cli.main(command) == 0
    assert capsys.readouterr().out.startswith(
        f"perplexity {printed['perplexity']:.4f} over {printed['tokens']}"
    )
    (tmp_path / "text.txt").write_bytes(b"\xff\xfe")
    assert cli.main(command) == 2
    assert "not UTF-8" in capsys.readouterr().err


def test_llama_cpp_gives_the_same(gguf: Path) -> None:
    pytest.importorskip("llama_cpp")
    ours = perplexity(tinsmith.load(gguf, threads=1), TEXT, 128, PlainDisplay())
    theirs = perplexity(tinsmith.load(gguf, threads=1, backend="llama.cpp"), TEXT, 128, PlainDisplay())
    assert theirs["perplexity"] == pytest.approx(ours["perplexity"], rel=1e-3)
    assert theirs["tokens"] == ours["tokens"]
