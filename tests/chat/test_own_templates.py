"""Templates by name: the text of a conversation, and the runtime's table of turns."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.models.tiny_models import tiny_tokenizer, with_controls
from tinsmith.chat.chat_template import render, special_tokens
from tinsmith.chat.own_templates import FORMATS, fitting, named
from tinsmith.chat.turn_probes import compile_turns
from tinsmith.errors import InputError

# Of a system message s, a question q, an answer a and a question r.
WRITTEN = {
    "chatml": "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\nq<|im_end|>\n"
    "<|im_start|>assistant\na<|im_end|>\n<|im_start|>user\nr<|im_end|>\n<|im_start|>assistant\n",
    "gemma": "<start_of_turn>user\ns\n\nq<end_of_turn>\n<start_of_turn>model\na<end_of_turn>\n"
    "<start_of_turn>user\nr<end_of_turn>\n<start_of_turn>model\n",
    "llama3": "<|start_header_id|>system<|end_header_id|>\n\ns<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nq<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\na<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nr<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n",
    "phi3": "<|system|>\ns<|end|>\n<|user|>\nq<|end|>\n<|assistant|>\na<|end|>\n"
    "<|user|>\nr<|end|>\n<|assistant|>\n",
    "plain": "system:\ns\n\nuser:\nq\n\nassistant:\na<|im_end|>\n\nuser:\nr\n\nassistant:\n",
}
ASKED = [
    {"role": role, "content": text}
    for role, text in (("system", "s"), ("user", "q"), ("assistant", "a"), ("user", "r"))
]


@pytest.mark.parametrize("begins", [False, True])
@pytest.mark.parametrize("name", FORMATS)
def test_a_conversation_in_each_format(name: str, begins: bool) -> None:
    tokens = [token for token in FORMATS[name].tokens if not token.startswith("<|im_")]
    tokenizer = replace(with_controls(tiny_tokenizer(320), tokens), add_bos=begins, bos=0)
    template, special = named(name, tokenizer), special_tokens(tokenizer)
    start = "<|endoftext|>" if begins else ""
    assert render(template, ASKED, generate=True, tokens=special) == start + WRITTEN[name]
    table = compile_turns(template, tokens=special).table()
    assert table.render(ASKED) == start + WRITTEN[name]
    without = render(template, ASKED[1:], generate=True, tokens=special)
    assert table.render(ASKED[1:]) == without


def test_a_format_needs_its_tokens() -> None:
    tokenizer = tiny_tokenizer(320)
    assert fitting(tokenizer) == ["chatml", "plain"]
    with pytest.raises(InputError, match=r'"gemma" needs <start_of_turn>, .* give "chatml" or "plain"'):
        named("gemma", tokenizer)
    normal = replace(tokenizer, types=["normal"] * len(tokenizer.types))
    assert fitting(normal) == ["plain"]  # text that looks like a token is none
