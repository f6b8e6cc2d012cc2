from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from tinsmith.errors import InputError, UnsupportedError
from tinsmith.formats.turns import TurnTable
from tinsmith.models.chat_template import compile_turns, render, with_system

SMOLLM = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
    "<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA3 = (
    "{{ bos_token }}{% for message in messages %}\n  {{ '<|start_header_id|>' + message['role'] + "
    "'<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}\n{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ '[INST] ' + message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}"
    "{{ ' ' + message['content'] + eos_token }}{% else %}"
    "{{ raise_exception('only user and assistant roles are supported') }}{% endif %}{% endfor %}"
)
NUMBERED = "{% for m in messages %}{{ loop.index }} {{ m.role }}: {{ m.content }}\n{% endfor %}"
TOJSON = (
    "{{ messages | tojson(indent=2) }}{% for m in messages %}"
    "{% if loop.index > 1 %}{% break %}{% endif %}x{% endfor %}"
)


def conversations() -> list[list[dict[str, str]]]:
    words = random.Random(0)
    contents = ["hi", "", "  {{ a }} \n\n", "<b>&'\"", "{% if %}", "\u2028é\t", "x" * 300]
    result = []
    for system, turns in itertools.product((False, True), range(1, 6)):
        roles = ["system"] * system + [("user", "assistant")[i % 2] for i in range(turns)]
        result.append([{"role": role, "content": words.choice(contents)} for role in roles])
    return result


def by_transformers(template: str, messages: list[dict[str, str]], generate: bool) -> Any:
    from transformers.utils.chat_template_utils import render_jinja_template

    rendered, _ = render_jinja_template(
        [messages], chat_template=template, add_generation_prompt=generate, bos_token="<s>", eos_token="</s>"
    )
    return rendered[0]


@pytest.mark.parametrize("template", [SMOLLM, LLAMA3, NUMBERED, TOJSON])
@pytest.mark.parametrize("generate", [False, True])
def test_renders_what_transformers_renders(template: str, generate: bool) -> None:
    for messages in conversations():
        given = render(template, messages, generate=generate, bos="<s>", eos="</s>")
        assert given == by_transformers(template, messages, generate)


def test_a_template_cannot_reach_out_of_its_sandbox() -> None:
    with pytest.raises(InputError):
        render("{{ ''.__class__.__mro__[1].__subclasses__() }}", [], generate=False)
    with pytest.raises(InputError, match="refuses the conversation: only user and assistant"):
        render(MISTRAL, [{"role": "system", "content": "x"}], generate=False)


@pytest.mark.parametrize("template", [SMOLLM, LLAMA3])
def test_a_table_says_what_its_template_says(template: str) -> None:
    table = compile_turns(template, bos="<s>", eos="</s>")
    table = TurnTable.from_json(table.to_json())
    for messages, generate in itertools.product(conversations(), (False, True)):
        wanted = render(template, messages, generate=generate, bos="<s>", eos="</s>")
        assert table.render(messages, generate=generate) == wanted


def test_a_default_system_message_is_kept() -> None:
    text = compile_turns(SMOLLM).render([{"role": "user", "content": "Hi"}])
    assert text.startswith("<|im_start|>system\nYou are a helpful AI assistant named SmolLM")
    assert text.endswith("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")


def test_refuses_what_is_no_table() -> None:
    with pytest.raises(UnsupportedError, match="not a table of turns"):
        compile_turns(NUMBERED)
    with pytest.raises(UnsupportedError, match="leaves out a message's content"):
        compile_turns("nothing")


def test_default_system_message_gives_what_an_explicit_one_gives() -> None:
    template = "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}"
    system = 'it\'s a\n\\ "home" {{ x }}'
    user = [{"role": "user", "content": "hi"}]
    given = [{"role": "system", "content": "other"}, *user]
    changed = with_system(template, system)
    assert render(changed, user, generate=True) == render(
        template, [{"role": "system", "content": system}, *user], generate=True
    )
    assert render(changed, given, generate=True) == render(template, given, generate=True)
