from __future__ import annotations

import itertools
import random
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests.models.tiny_models import tiny_spec
from tinsmith import models
from tinsmith.chat.chat_template import (
    DIGEST,
    check,
    digest,
    render,
    settle,
    special_tokens,
    thinking_switch,
    with_date,
    with_tools,
)
from tinsmith.chat.turn_probes import compile_turns
from tinsmith.chat.turns import Turns
from tinsmith.errors import FormatError, InputError, UnsupportedError
from tinsmith.models import family

TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
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


GEMMA = (
    "{{ bos_token }}{%- set told = messages[0]['content'] + '\n\n' if messages[0]['role'] == 'system' else "
    "'' -%}"
    "{%- set turns = messages[1:] if told else messages -%}"
    "{%- for m in turns -%}{%- if (m['role'] == 'user') != (loop.index0 % 2 == 0) -%}"
    "{{ raise_exception('roles must alternate') }}{%- endif -%}"
    "{{ '<start_of_turn>' + ('model' if m['role'] == 'assistant' else m['role']) + '\n' + "
    "(told if loop.first else '') }}{{ m['content'] | trim }}{{ '<end_of_turn>\n' }}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<start_of_turn>model\n' }}{%- endif -%}"
)
LLAMA32 = (
    "{{- bos_token }}{%- if not date_string is defined %}{%- set date_string = strftime_now('%d %b %Y') "
    "%}{%- endif %}"
    "{%- if messages[0]['role'] == 'system' %}{%- set system = messages[0]['content']|trim %}"
    "{%- set messages = messages[1:] %}{%- else %}{%- set system = '' %}{%- endif %}"
    "{{- '<|start_header_id|>system<|end_header_id|>\n\nToday: ' + date_string + '\n\n' + system + "
    "'<|eot_id|>' }}"
    "{%- for m in messages %}{%- if m.role == 'tool' %}"
    "{{- '<|start_header_id|>ipython<|end_header_id|>\n\n' + m.content | tojson + '<|eot_id|>' }}{%- else %}"
    "{{- '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' + m.content | trim + '<|eot_id|>' }}"
    "{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif %}"
)
# Thoughts of earlier answers are dropped, those behind the last question written where there are some.
THINKING = (
    "{%- if tools %}{{- '<|im_start|>system\n' + (messages[0].content + '\n\n' if messages[0].role == 'system' "
    "else '') + 'Tools:' }}{%- for tool in tools %}{{- '\n' + tool | tojson }}{%- endfor %}{{- "
    "'<|im_end|>\n' }}"
    "{%- elif messages[0].role == 'system' %}"
    "{{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}{%- endif %}"
    "{%- set ns = namespace(last=messages|length - 1, found=false) %}"
    "{%- for m in messages[::-1] %}{%- if not ns.found and m.role == 'user' and "
    "not (m.content.startswith('<tool_response>') and m.content.endswith('</tool_response>')) %}"
    "{%- set ns.found = true %}{%- set ns.last = messages|length - 1 - loop.index0 %}{%- endif %}{%- endfor %}"
    "{%- for m in messages %}{%- if m.role == 'user' %}{{- '<|im_start|>user\n' + m.content + '<|im_end|>\n' }}"
    "{%- elif m.role == 'assistant' %}{%- set said = m.content %}{%- set why = '' %}"
    "{%- if '</think>' in said %}"
    "{%- set why = said.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}"
    "{%- set said = said.split('</think>')[-1].lstrip('\n') %}{%- endif %}"
    "{%- if loop.index0 > ns.last and (loop.last or why) %}"
    "{{- '<|im_start|>assistant\n<think>\n' + why.strip('\n') + '\n</think>\n\n' + said.lstrip('\n') }}"
    "{%- else %}{{- '<|im_start|>assistant\n' + said }}{%- endif %}{{- '<|im_end|>\n' }}"
    "{%- elif m.role == 'tool' %}"
    "{%- if loop.first or messages[loop.index0 - 1].role != 'tool' %}{{- '<|im_start|>user' }}{%- endif %}"
    "{{- '\n<tool_response>\n' + m.content + '\n</tool_response>' }}"
    "{%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}{{- '<|im_end|>\n' }}{%- endif %}"
    "{%- endif %}{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\n\n</think>\n\n' }}{%- "
    "endif %}"
    "{%- endif %}"
)
# The switch stands in the system message, where words turn it; only the newest answer's thoughts stay.
MODED = (
    "{%- if enable_thinking is not defined %}{%- set enable_thinking = true %}{%- endif %}"
    "{%- set told = messages[0].content if messages[0].role == 'system' else '' %}"
    "{{- '<|im_start|>system\n' + ('/think' if enable_thinking and '/no_think' not in told else '/no_think') + "
    "told.rstrip() + '<|im_end|>\n' }}{%- set ns = namespace(last=-1) %}"
    "{%- for m in messages %}{%- if m.role == 'assistant' %}{%- set ns.last = loop.index0 %}{%- endif %}{%- "
    "endfor %}"
    "{%- for m in messages %}{%- if m.role != 'system' %}{{- '<|im_start|>' + m.role + '\n' }}"
    "{%- generation %}{%- if m.role == 'assistant' and loop.index0 != ns.last and '</think>' in m.content %}"
    "{{- m.content.split('</think>')[-1] | trim }}{%- else %}{{- m.content }}{%- endif %}{%- endgeneration %}"
    "{{- '<|im_end|>\n' }}{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)
# A mark at the end where no answer is asked for, and a system message that is left out when it is empty.
FINISHED = (
    "{% if messages[0].role == 'system' and messages[0].content %}{{ '<|system|>' + messages[0].content + "
    "'<|end|>' }}"
    "{% endif %}{% for m in messages %}{% if m.role != 'system' %}{{ '<|' + m.role + '|>' + m.content + "
    "'<|end|>' }}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% else %}{{ eos_token }}{% "
    "endif %}"
)
# A default system message with the date, another where it thinks, and a switch of another name.
DEFAULTED = (
    "{%- if messages[0].role == 'system' %}{%- set told = messages[0].content %}{%- set turns = messages[1:] %}"
    "{%- else %}{%- set told = 'Today: ' + strftime_now('%B %d, %Y') + '.' %}"
    "{%- if thinking %}{%- set told = told + ' Think.' %}{%- endif %}{%- set turns = messages %}{%- endif %}"
    "{{- '<|role|>system<|said|>' + told + '<|end|>\n' }}{%- for m in turns %}"
    "{{- '<|role|>' + m.role + '<|said|>' + m.content + '<|end|>\n' }}"
    "{%- if loop.last and add_generation_prompt %}{{- '<|role|>assistant<|said|>' }}{%- endif %}{%- endfor %}"
)
# As Gemma 4's: a turn to say that it thinks, thoughts in a channel that earlier answers lose, and turns that
# go on where an answer follows an answer.
CHANNELS = (
    "{%- macro said(text) %}{%- set ns = namespace(kept='') %}{%- for part in text.split('<channel|>') %}"
    "{%- set ns.kept = ns.kept + part.split('<|channel>')[0] %}{%- endfor %}{{- ns.kept | trim }}"
    "{%- endmacro %}{{- bos_token }}{%- set turns = messages %}"
    "{%- set thinks = enable_thinking | default(false) %}"
    "{%- if thinks or messages[0].role == 'system' %}{{- '<|turn>system\n' }}"
    "{{- '<|think|>\n' if thinks else '' }}"
    "{%- if messages[0].role == 'system' %}{{- messages[0].content | trim }}{%- set turns = messages[1:] %}"
    "{%- endif %}{{- '<turn|>\n' }}{%- endif %}{%- set before = namespace(role=none) %}"
    "{%- for m in turns if m.role != 'tool' %}{%- set role = 'model' if m.role == 'assistant' else m.role %}"
    "{%- if not (role == 'model' and before.role == 'assistant') %}{{- '<|turn>' + role + '\n' }}{%- endif %}"
    "{%- set before.role = m.role %}"
    "{%- if role == 'model' %}{{- said(m.content) }}{%- else %}{{- m.content | trim }}{%- endif %}"
    "{{- '<turn|>\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|turn>model\n' }}"
    "{{- '' if thinks else '<|channel>thought\n<channel|>' }}"
    "{%- endif %}"
)
TABLES = {
    "smollm": SMOLLM,
    "llama3": LLAMA3,
    "llama32": LLAMA32,
    "gemma": GEMMA,
    "mistral": MISTRAL,
    "thinking": THINKING,
    "moded": MODED,
    "finished": FINISHED,
    "defaulted": DEFAULTED,
    "channels": CHANNELS,
}
DAY = date(2026, 11, 25)
FUNCTION = {"name": "f", "description": "it's <b>", "parameters": {"a": None}}
TOOLS = [{"type": "function", "function": FUNCTION}]
SHAPES = (
    "u", "ua", "uau", "uaua", "uauau", "uat", "uatt", "uata", "uattau", "uauatatta", "a", "au", "uu", "uaa",
)  # fmt: skip
ROLES = {"s": "system", "u": "user", "a": "assistant", "t": "tool"}


def talks(source: random.Random, count: int) -> list[list[dict[str, str]]]:
    """Random conversations of all shapes."""
    pieces = [
        *(
            "hi",
            "\n",
            " ",
            "\u2003",
            "<think>",
            "</think>",
            "<think>\nwhy\n</think>\n\n",
            "<tool_response>",
            "x",
        ),
        *("</tool_response>", "é漢🙂", '"q"\\', "\t", "/no_think", "\x01", "{{ x }}", "<|im_end|>", ""),
    ]
    conversations = []
    for _ in range(count):
        shape = source.choice(["", "s"]) + source.choice(SHAPES) if source.random() < 0.95 else "s"
        contents = ["".join(source.choices(pieces, k=source.randrange(5))) for _ in shape]
        conversations.append(
            [{"role": ROLES[r], "content": content} for r, content in zip(shape, contents, strict=True)]
        )
    return conversations


def by_transformers(template: str, messages: list[dict[str, Any]], generate: bool, **more: Any) -> Any:
    from transformers.utils.chat_template_utils import render_jinja_template

    rendered, _ = render_jinja_template(
        [messages], chat_template=template, add_generation_prompt=generate, **TOKENS, **more
    )
    return rendered[0]


@pytest.mark.parametrize("template", [SMOLLM, LLAMA3, NUMBERED, TOJSON, THINKING, MODED, FINISHED])
@pytest.mark.parametrize("generate", [False, True])
def test_renderings_equal_transformers(template: str, generate: bool) -> None:
    for messages in talks(random.Random(1), 25):
        given = render(template, messages, generate=generate, tokens=TOKENS)
        assert given == by_transformers(template, messages, generate)


def test_tools_and_the_switch_reach_the_template_as_in_transformers() -> None:
    messages = talks(random.Random(2), 1)[0]
    for thinking in (False, True):
        template = with_tools(THINKING, TOOLS)
        given = render(template, messages, generate=True, tokens=TOKENS, thinking=thinking)
        assert given == by_transformers(THINKING, messages, True, tools=TOOLS, enable_thinking=thinking)
    with pytest.raises(UnsupportedError, match="no switch for thinking"):
        render(SMOLLM, messages, generate=True, thinking=True)


@pytest.mark.parametrize(
    "template",
    [
        "{{ messages[0].reasoning_content }} {{ messages[0].thinking }} {{ messages[0].calls is defined }}",
        "{% set d = dict(a=1) %}{{ d }}{{ dict.fromkeys([1, 2]) }}",
        "{% set ns = namespace(self=1, b=2) %}{% set ns.c = 3 %}{{ ns.self + ns.b + ns.c }}",
        "{{ bos_token }}|{{ unk_token is defined }}|{{ tools }}|{{ messages | length }}",
        "{% generation %}{% set x = 1 %}{{ x }}{% endgeneration %}{{ x is defined }}",
    ],
)
def test_transformers_additions_to_jinja_exist(template: str) -> None:
    messages = [{"role": "user", "content": "x", "reasoning": "why"}]
    assert render(template, messages, generate=False, tokens=TOKENS) == by_transformers(
        template, messages, False
    )


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{% set ns = namespace(_a=1) %}{{ ns._a }}",
        "{% set ns = namespace() %}{% set ns.__init__ = 1 %}",
        "{{ dict.__subclasses__() }}",
        "{{ messages.append(1) }}",
    ],
)
def test_a_template_cannot_reach_out_of_its_sandbox(template: str) -> None:
    with pytest.raises(InputError):
        render(template, [], generate=False)


def test_a_template_may_refuse_a_conversation() -> None:
    with pytest.raises(InputError, match="refuses the conversation: only user and assistant"):
        render(MISTRAL, [{"role": "system", "content": "x"}], generate=False)


@pytest.mark.parametrize("name", TABLES)
def test_a_table_renders_as_its_template_or_refuses(name: str) -> None:
    """Against transformers, on conversations that the table was not read off nor proved on."""
    template = with_date(TABLES[name], DAY)
    turns = Turns.from_json(compile_turns(template, tokens=TOKENS).to_json())
    switches = (None, True, False) if turns.thinking else (None,)
    compared = 0
    for messages, generate, switch in itertools.product(talks(random.Random(3), 60), (False, True), switches):
        table, more = turns.table(switch), {} if switch is None else {str(thinking_switch(template)): switch}
        try:
            given = table.render(messages, generate=generate)
        except InputError:
            continue
        compared += 1
        assert given == by_transformers(template, messages, generate, **more)
    assert compared > {"gemma": 20, "mistral": 10, "channels": 40}.get(name, 65) * len(switches)


def test_facts_of_a_templates_table() -> None:
    compiled = {name: compile_turns(with_date(TABLES[name], DAY), tokens=TOKENS) for name in TABLES}
    tables = {name: turns.default for name, turns in compiled.items()}
    assert [name for name, table in tables.items() if table.strict] == ["gemma", "channels"]
    assert [name for name, turns in compiled.items() if turns.thinking] == [
        "thinking",
        "moded",
        "defaulted",
        "channels",
    ]
    assert [name for name, table in tables.items() if table.escaped] == ["llama32"]
    assert "only user and assistant" in tables["mistral"].no_system
    assert "must alternate" in tables["gemma"].no_tool
    assert tables["finished"].bare
    assert tables["finished"].finish["user"] == "</s>"
    assert tables["moded"].special == {"system": ["/no_think"]}
    assert tables["thinking"].special == {"user": ["<tool_response>"]}
    thoughts, newest = tables["thinking"].thoughts, tables["moded"].thoughts
    assert thoughts and thoughts.places == ("drop", "some", "always") and thoughts.until == "user"
    assert newest and newest.places == ("drop", "raw", "raw") and newest.until == "assistant"


def test_a_default_system_message_is_kept() -> None:
    table = compile_turns(SMOLLM).default
    text = table.render([{"role": "user", "content": "Hi"}])
    assert text.startswith("<|im_start|>system\nYou are a helpful AI assistant named SmolLM")
    assert text.endswith("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")
    assert table.default_system.endswith("trained by Hugging Face")


def test_templates_that_are_no_tables_are_rejected() -> None:
    with pytest.raises(UnsupportedError, match="not a table of turns"):
        compile_turns(NUMBERED)
    with pytest.raises(UnsupportedError, match="leaves out the user's content"):
        compile_turns("nothing")
    counted = "{% for m in messages %}{{ m.role + m.content ~ (m.content | length) }};{% endfor %}"
    with pytest.raises(UnsupportedError, match="not a table of turns"):
        compile_turns(counted)


def test_no_text_of_a_table_cuts_a_control_token() -> None:
    template = (
        "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
    )
    table = compile_turns(template, control=["<|user|>", "<|assistant|>"]).default
    assert table.opening["user"] == "<|user|>" and table.generation == "<|assistant|>"


def test_a_fixed_list_of_tools_is_a_text_of_the_table() -> None:
    turns = compile_turns(with_tools(THINKING, TOOLS))
    for messages in talks(random.Random(4), 20):
        try:
            given = turns.table(False).render(messages)
        except InputError:
            continue
        assert given == by_transformers(THINKING, messages, True, tools=TOOLS, enable_thinking=False)
    assert '"description": "it\'s <b>"' in turns.default.start


def test_a_date_must_be_stated() -> None:
    with pytest.raises(InputError, match="state the date"):
        compile_turns(LLAMA32)
    fixed = with_date(LLAMA32, DAY)
    assert "Today: 25 Nov 2026" in compile_turns(fixed).default.start
    assert by_transformers(fixed, [{"role": "user", "content": "x"}], False).count("25 Nov 2026") == 1
    assert with_date(SMOLLM, DAY) == SMOLLM
    with pytest.raises(UnsupportedError, match="computes the format"):
        with_date("{{ strftime_now(form) }}", DAY)


@pytest.mark.parametrize(
    "template", [SMOLLM, GEMMA, LLAMA3, THINKING], ids=["smollm", "gemma", "llama3", "thinking"]
)
def test_quoted_input_repeats_the_users_words(template: str) -> None:
    said = settle(template, quotes_input=True)
    talk = [
        {"role": "user", "content": " turn off  the\nglobe lamp "},
        {"role": "assistant", "content": "it's off"},
        {"role": "user", "content": "lamp"},
    ]
    contents = ('turn off  the\nglobe lamp\n"turn"off""the\nglobe"lamp"', "it's off", 'lamp\n"lamp"')
    written = [{**message, "content": content} for message, content in zip(talk, contents, strict=True)]
    assert by_transformers(said, talk, True) == by_transformers(template, written, True)
    assert compile_turns(said).default.spelled
    assert not compile_turns(template).default.spelled


@pytest.mark.parametrize("head", ["", "\n", "  ", "\n  "])
def test_template_settings_change_nothing_else(head: str) -> None:
    template = head + THINKING.replace("{%- if tools", "{% if tools", 1)
    messages = [{"role": "user", "content": "hi"}]
    talk = [{"role": "system", "content": "it's a\n\\ 'home' {{ x }}\r"}, *messages]
    ours = settle(template, system=talk[0]["content"], thinking=False, tools=TOOLS)
    assert by_transformers(ours, messages, True) == by_transformers(
        template, talk, True, tools=TOOLS, enable_thinking=False
    )
    other = [{"role": "system", "content": "other"}, *messages]
    assert by_transformers(ours, other, True, enable_thinking=True, tools=[{}]) == by_transformers(
        template, other, True, enable_thinking=True, tools=[{}]
    )
    assert settle(template) == template
    with pytest.raises(UnsupportedError, match="no switch for thinking"):
        settle(SMOLLM, thinking=True)
    with pytest.raises(UnsupportedError, match="ignores tools"):
        settle(SMOLLM, tools=TOOLS)


def test_another_template_than_in_training_is_rejected() -> None:
    spec = replace(tiny_spec(family.by_name("llama")), chat_template=SMOLLM)
    check(spec)
    trained = replace(spec, general={**spec.general, DIGEST: digest(SMOLLM)})
    check(trained)
    with pytest.raises(FormatError, match=f"template {digest(SMOLLM)[:12]} and has none"):
        check(replace(trained, chat_template=None))
    with pytest.raises(FormatError, match=r"and has another \([0-9a-f]{12}\)"):
        check(replace(trained, chat_template=SMOLLM + " "))


def test_a_saved_tokenizer_renders_alike_in_transformers(tmp_path: Path) -> None:
    """The names and texts of its special tokens, which a template may ask for, among it."""
    from transformers import AutoTokenizer

    tokens = "".join(
        f"{{{{ {name}_token }}}}{{{{ {name}_token is defined }}}}" for name in ("bos", "unk", "pad")
    )
    spec = replace(tiny_spec(family.by_name("llama")), chat_template=tokens + THINKING)
    spec = replace(spec, tokenizer=replace(spec.tokenizer, pad=None))
    models.save_hf(spec, tmp_path)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    for messages in talks(random.Random(5), 10):
        wanted = theirs.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True, tools=TOOLS, enable_thinking=False
        )
        given = render(
            with_tools(tokens + THINKING, TOOLS),
            messages,
            generate=True,
            tokens=special_tokens(spec.tokenizer),
            thinking=False,
        )
        assert given == wanted


def test_templates_survive_both_kinds_of_file_byte_for_byte(tmp_path: Path) -> None:
    odd = "\r\n{# é\u2028 #}\t{{ 'x' }}\n\n"
    spec = replace(tiny_spec(family.by_name("llama")), chat_template=odd)
    models.save_gguf(spec, tmp_path / "a.gguf")
    models.save_hf(spec, tmp_path / "a")
    for path in (tmp_path / "a.gguf", tmp_path / "a"):
        assert models.load(path).chat_template == odd
    (tmp_path / "a" / "chat_template.jinja").write_bytes(odd.encode())
    assert models.load(tmp_path / "a").chat_template == odd
    fields = pytest.importorskip("gguf").GGUFReader(tmp_path / "a.gguf").fields
    assert fields["tokenizer.chat_template"].contents() == odd
