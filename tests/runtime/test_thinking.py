"""Model.chat's switch for thinking, an answer's two parts, and messages with calls and thoughts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import tinsmith
from tests.chat.test_chat_template import DAY, LLAMA32, SMOLLM, THINKING
from tinsmith import _core, cli, models
from tinsmith.chat.chat_template import DIGEST, digest, with_thinking
from tinsmith.compiler import build_image, build_tin
from tinsmith.errors import InputError, UnsupportedError
from tinsmith.models import Spec
from tinsmith.runtime import Model

ASKED = [{"role": "user", "content": "in the"}]
# As Qwen3.5's, the answer begins within its thoughts.
OPENED = THINKING.removesuffix("{%- endif %}{%- endif %}") + (
    "{%- else %}{{- '<think>\n' }}{%- endif %}{%- endif %}"
)


def loaded(spec: Spec, template: str) -> Model:
    image = build_image(replace(spec, chat_template=template))
    return Model(_core.Model(image), image, threads=1)


@pytest.fixture(scope="module")
def thinker(spec: Spec) -> Model:
    return loaded(spec, OPENED + "{# <tool_call> tells the format of calls #}")


def text(model: Model, **options: bool | None) -> str:
    return model.detokenize(model.render(ASKED, **options), special=True)


def test_the_switch_opens_the_answer(thinker: Model) -> None:
    assert text(thinker).endswith("<|im_start|>assistant\n<think>\n")
    assert text(thinker, thinking=True) == text(thinker)
    assert text(thinker, thinking=False).endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")


def test_an_answer_has_thoughts_and_content(thinker: Model) -> None:
    answer = thinker.chat(ASKED, thinking=True, max_tokens=3)
    assert (answer.thinking, answer.content) == (answer.text.strip(), "")
    direct = thinker.chat(ASKED, thinking=False, max_tokens=3)
    assert (direct.thinking, direct.content) == (None, direct.text)
    ended = replace(answer, text="why\n</think>\n\nso")
    assert (ended.thinking, ended.content) == ("why", "so")


def test_a_constraint_leaves_no_room_for_thoughts(thinker: Model, spec: Spec) -> None:
    with pytest.raises(InputError, match="leave thinking out"):
        thinker.chat(ASKED, thinking=True, constraint=tinsmith.regex("a+"))
    direct = thinker.render(ASKED, thinking=False)
    assert thinker.choose(ASKED, ["in", "the"]) == thinker.choose(direct, ["in", "the"])
    assert thinker.json("in the", bool, max_tokens=9) == thinker.json(direct, bool, max_tokens=9)


def test_a_template_without_a_switch(spec: Spec) -> None:
    model = loaded(spec, SMOLLM)
    for thinking in (True, False):
        with pytest.raises(UnsupportedError, match="no switch for thinking; leave the option out"):
            model.chat(ASKED, thinking=thinking)
    assert model.choose(ASKED, ["in", "the"]).option in ("in", "the")


def test_a_default_stated_in_the_template(spec: Spec) -> None:
    model = loaded(spec, with_thinking(OPENED, False))
    assert text(model) == text(model, thinking=False)
    assert text(model, thinking=True).endswith("<think>\n")


def test_calls_and_thoughts_are_written_as_the_model_writes_them(thinker: Model) -> None:
    call = {"type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    messages = [
        *ASKED,
        {"role": "assistant", "content": None, "reasoning_content": "why", "tool_calls": [call]},
        {"role": "tool", "content": "2", "tool_call_id": "x"},
    ]
    shown = thinker.detokenize(thinker.render(messages), special=True)
    assert (
        '\n<think>\nwhy\n</think>\n\n<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>' in shown
    )
    assert "user\n<tool_response>\n2\n</tool_response>" in shown
    said, parts = ({**messages[1], "content": one} for one in ("so", [{"type": "text", "text": "so"}]))
    assert thinker.render([*ASKED, parts]) == thinker.render([*ASKED, said])
    later = thinker.detokenize(thinker.render([*messages, *ASKED]), special=True)
    assert "why" not in later and "<tool_call>" in later
    for wrong, what in (
        ({"role": "user", "content": "x", "tool_calls": [call]}, "only the assistant's has tool_calls"),
        (
            {"role": "assistant", "tool_calls": [{"name": "f", "arguments": "{"}]},
            "of f: not JSON",
        ),
        ({"role": "assistant", "tool_calls": [{"arguments": {}}]}, "a tool call has a name"),
        ({"role": "assistant", "tool_calls": [{"function": "f"}]}, "a tool call has a name"),
        ({"role": "assistant", "tool_calls": 5}, "give a list"),
        ({"role": "assistant", "content": 5, "tool_calls": [call]}, "content must be a text"),
        (
            {"role": "assistant", "content": [{"type": "image", "path": "a.png"}], "tool_calls": [call]},
            "only a user's message has images",
        ),
        ({"role": "assistant", "reasoning_content": ["why"]}, "reasoning_content is"),
    ):
        with pytest.raises(InputError, match=f"message 2: .*{what}"):
            thinker.render([*ASKED, wrong])


def test_run_takes_the_switch(spec: Spec, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build_tin(replace(spec, chat_template=OPENED), tmp_path / "m.tin")
    run = ["run", str(tmp_path / "m.tin"), "in the", "--json", "--max-tokens", "2"]

    def answer(*options: str) -> dict[str, object]:
        assert cli.main([*run, *options]) == 0
        printed: dict[str, object] = json.loads(capsys.readouterr().out)
        return printed

    assert answer("--think")["content"] == ""
    assert "thinking" not in answer("--no-think")
    assert answer("--choices", "in,the")["prompt_tokens"] == answer("--no-think")["prompt_tokens"]
    for wrong, what in ((["--raw", "--think"], "--raw"), (["--think", "--regex", "a"], "leave thinking out")):
        assert cli.main([*run, *wrong]) == 2
        assert what in capsys.readouterr().err


def test_a_date_is_stated_when_a_file_is_opened(spec: Spec, tmp_path: Path) -> None:
    file = tmp_path / "m.gguf"
    models.save_gguf(replace(spec, chat_template=LLAMA32), file)
    with pytest.raises(
        UnsupportedError, match="can't chat: the chat template writes today's date.*state the date"
    ):
        tinsmith.load(file).render(ASKED)
    model = tinsmith.load(file, date=DAY.isoformat())
    assert "Today: 25 Nov 2026" in model.skill.templates.default.start
    with pytest.raises(InputError, match=r"'25\.11\.' is not a date"):
        tinsmith.load(file, date="25.11.")
    models.save_gguf(replace(spec, chat_template=SMOLLM), file)
    with pytest.raises(InputError, match="writes no date"):
        tinsmith.load(file, date="2026-11-25")


def test_a_file_that_lost_its_template_is_refused(spec: Spec, tmp_path: Path) -> None:
    """Whichever way it comes: the digest that training left goes along."""
    trained = replace(spec, chat_template=SMOLLM, general={**spec.general, DIGEST: digest(SMOLLM)})
    models.save_gguf(trained, tmp_path / "good.gguf")
    assert tinsmith.load(tmp_path / "good.gguf").can_chat
    models.save_gguf(replace(trained, chat_template=None), tmp_path / "lost.gguf")
    models.save_hf(replace(trained, chat_template=SMOLLM + " "), tmp_path / "other")
    for name, has in (("lost.gguf", "has none"), ("other", "has another")):
        message = f"trained under the chat template {digest(SMOLLM)[:12]} and {has}"
        with pytest.raises(InputError, match=message):
            tinsmith.load(tmp_path / name)
    assert cli.main(["build", str(tmp_path / "lost.gguf"), "--format", "f16", "--out", str(tmp_path)]) == 2


def test_building_takes_a_date(spec: Spec, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models.save_gguf(replace(spec, chat_template=LLAMA32), tmp_path / "base.gguf")
    build = ["build", str(tmp_path / "base.gguf"), "--format", "f16", "--out", str(tmp_path), "--name", "m"]
    assert cli.main(build) == 0
    assert "the tins can't chat" in capsys.readouterr().err
    assert cli.main([*build, "--date", "2026-11-25"]) == 0
    for file in ("m-f16.tin", "m-f16.gguf"):
        assert "Today: 25 Nov 2026" in tinsmith.load(tmp_path / file).skill.templates.default.start
