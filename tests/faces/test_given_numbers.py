"""Every number that the Python face takes: what is none, or does not fit, is an error of one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinsmith
from tests.models.tiny_models import tiny_spec
from tinsmith import cli, compiler
from tinsmith.batch.settings import Settings
from tinsmith.errors import InputError, TinsmithError
from tinsmith.evaluate.perplexity import perplexity
from tinsmith.runtime import Model
from tinsmith.runtime.images import ImageLimits
from tinsmith.runtime.scheduler import Scheduler
from tinsmith.system.progress import display

PROMPT = [1, 2, 3]
COUNTS = (0, -1, 2**31, 2**32, 2**32 + 1, 2**64, 2**64 + 1, 10**5000, 1.5, float("nan"), "1", None, True, [1])
TOKENS = (-1, 10**6, 2**31, 2**32, 2**32 + 5, 2**64, 10**5000, 1.0, "a", None)
REALS = (-1.0, -1e-9, float("nan"), float("inf"), 1e39, 10**400, "1", None, [1])
SHARES = (*REALS, 1.01, 2)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("numbers") / "model.tin"
    compiler.build_tin(tiny_spec("llama"), made)
    return made


@pytest.fixture(scope="module")
def model(path: Path) -> Model:
    return tinsmith.load(path, threads=1)


# By name: what takes the number, and numbers that are wrong there.
FACES: dict[str, tuple[Callable[[Model, Any], Any], tuple[Any, ...]]] = {
    "max_tokens": (lambda m, n: m.generate(PROMPT, max_tokens=n), COUNTS),
    "stream": (lambda m, n: list(m.stream(PROMPT, max_tokens=n)), COUNTS),
    "many": (lambda m, n: m.generate_many([PROMPT], max_tokens=n), COUNTS),
    "begin": (lambda m, n: m.begin(PROMPT, max_tokens=n), COUNTS),
    "step_for": (lambda m, n: m.begin(PROMPT, max_tokens=1).step_for(n), (float("nan"), "1", None, [1])),
    "scheduler": (lambda m, n: Scheduler(m, slots=1).step(n), (float("nan"), "1", [1])),
    "concurrency": (lambda m, n: m.generate_many([PROMPT], concurrency=n, max_tokens=1), COUNTS),
    "top_k": (lambda m, n: m.generate(PROMPT, max_tokens=1, top_k=n), COUNTS[1:]),
    "lookup": (lambda m, n: m.generate(PROMPT, max_tokens=1, lookup=n), COUNTS[1:]),
    "seed": (lambda m, n: m.generate(PROMPT, max_tokens=1, seed=n), (-1, *COUNTS[5:])),
    "temperature": (lambda m, n: m.generate(PROMPT, max_tokens=1, temperature=n), REALS),
    "repetition_penalty": (lambda m, n: m.generate(PROMPT, max_tokens=1, repetition_penalty=n), (0, *REALS)),
    "top_p": (lambda m, n: m.generate(PROMPT, max_tokens=1, top_p=n), SHARES),
    "min_p": (lambda m, n: m.generate(PROMPT, max_tokens=1, min_p=n), SHARES),
    "prompt": (lambda m, n: m.generate([1, n], max_tokens=1), TOKENS),
    "draft": (lambda m, n: m.generate(PROMPT, max_tokens=3, draft=[n]), TOKENS),
    "choose": (lambda m, n: m.choose([1, n], ["a", "b"]), TOKENS),
    "logits": (lambda m, n: m.logits([1, n]), TOKENS),
    "chunk": (lambda m, n: m.logits(PROMPT, chunk=n), tuple(n for n in COUNTS if n is not None)),
    "detokenize": (lambda m, n: m.detokenize([n]), TOKENS),
    "token_bytes": (lambda m, n: m.token_bytes(n), TOKENS),
    "batch": (lambda m, n: Settings(max_tokens=n), COUNTS),
    "sample": (lambda m, n: Settings(sample=n), COUNTS[1:]),
    "images": (lambda m, n: ImageLimits(n, n, n), COUNTS[1:]),
    "context": (lambda m, n: perplexity(m, "the thing " * 20, n, display()), COUNTS),
}
OPTIONS: dict[str, tuple[Any, ...]] = {
    "threads": tuple(n for n in (*COUNTS, 65) if n is not None),
    "conversations": COUNTS,
    "most_bytes": (-1, *COUNTS[5:]),
    "gpu_layers": (-2, *(n for n in COUNTS[2:] if n != 0)),
}


@pytest.mark.parametrize(
    ("face", "given"),
    [(face, n) for face in FACES for n in FACES[face][1]],
    ids=lambda n: str(n)[:9] if not isinstance(n, int) else f"{n.bit_length()} bits",
)
def test_a_number_that_does_not_fit_is_one_line(face: str, given: Any, model: Model) -> None:
    with pytest.raises(InputError) as raised:
        FACES[face][0](model, given)
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 300


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_of_load_that_does_not_fit_is_one_line(option: str, path: Path) -> None:
    for given in OPTIONS[option]:
        with pytest.raises(InputError, match=f"{option} is .*; give a whole number from"):
            tinsmith.load(path, **{option: given})


def test_numbers_of_other_types_are_numbers(model: Model) -> None:
    plain = model.generate(PROMPT, max_tokens=3, temperature=1, seed=2**64 - 1)
    tokens, three = np.array(PROMPT), np.int64(3)
    assert (
        model.generate(tokens, max_tokens=three, temperature=np.float32(1), seed=np.uint64(2**64 - 1)).text
        == plain.text
    )  # type: ignore[arg-type]
    assert bytes(model.logits(tokens)) == bytes(model.logits(PROMPT))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "arguments",
    [
        ["logits", "{path}", "--tokens", "4294967296"],
        ["logits", "{path}", "--tokens", "9" * 5000],
        ["logits", "{path}", "--tokens", "-1"],
        ["logits", "{path}", "--text", "a", "--chunk", "99999999999"],
        ["run", "{path}", "a", "--max-tokens", "4294967296"],
        ["run", "{path}", "a", "--max-tokens", "9" * 5000],
        ["run", "{path}", "a", "--seed", "-1"],
        ["run", "{path}", "a", "--seed", "18446744073709551616"],
        ["run", "{path}", "a", "--top-k", "4294967296"],
        ["run", "{path}", "a", "--temperature", "nan"],
        ["run", "{path}", "a", "--threads", "4294967297"],
        ["perplexity", "{path}", "{path}.txt", "--context", "99999999999"],
        ["export", "{path}", "--gguf", "."],
        ["bench", "{path}", "--prompt", "99999999999"],
        ["bench", "{path}", "--generate", "99999999999"],
        ["bench", "{path}", "--depth", "99999999999"],
        ["bench", "{path}", "--threads", "99999999999"],
        ["plan", "{path}", "--target", "rpi5", "--context", "99999999999"],
        ["plan", "{path}", "--target", "rpi5", "--chunk", "99999999999"],
        ["plan", "{path}", "--target", "rpi5", "--depth", "99999999999"],
        ["serve", "{path}", "--port", "99999"],
        ["serve", "{path}", "--port", "-1"],
    ],
    ids=lambda words: " ".join(words)[:60],
)
def test_the_command_line_says_it_in_one_line(
    arguments: list[str], path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    Path(f"{path}.txt").write_text("the thing " * 20)
    try:
        code = cli.main([word.format(path=path) for word in arguments])
    except SystemExit as end:  # argparse's own
        code = end.code
    printed = capfd.readouterr()
    assert code == 2 and printed.out == ""
    assert "Traceback" not in printed.err and "error" in printed.err.splitlines()[-1]


def test_what_is_no_prompt_is_one_line(model: Model) -> None:
    for prompt in (None, 5, {"a": 1}, [[1]], b"text", ["a"]):
        with pytest.raises(TinsmithError):
            model.generate(prompt, max_tokens=1)  # type: ignore[arg-type]
