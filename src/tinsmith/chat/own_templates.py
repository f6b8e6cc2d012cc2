"""Chat templates for a base that has none, by the name of their format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from tinsmith.errors import InputError
from tinsmith.spec import Tokenizer

_BOS = "{{- bos_token }}\n"


class Format(NamedTuple):
    """template: Jinja; tokens: control tokens that it writes."""

    template: str
    tokens: tuple[str, ...]


# As models of these formats were trained: Qwen, SmolLM and LFM2; Gemma 2 and 3; Llama 3; Phi-3. "plain" needs
# nothing but an end token.
FORMATS: Mapping[str, Format] = {
    "chatml": Format(
        """\
{%- for message in messages %}
    {{- '<|im_start|>' ~ message['role'] ~ '\\n' ~ message['content'] ~ '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}""",
        ("<|im_start|>", "<|im_end|>"),
    ),
    "gemma": Format(
        """\
{%- set system = '' %}
{%- if messages and messages[0]['role'] == 'system' %}
    {%- set system = messages[0]['content'] ~ '\\n\\n' %}
    {%- set messages = messages[1:] %}
{%- endif %}
{%- for message in messages %}
    {{- '<start_of_turn>' ~ ('model' if message['role'] == 'assistant' else 'user') ~ '\\n' }}
    {{- (system if loop.first else '') ~ message['content'] ~ '<end_of_turn>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<start_of_turn>model\\n' }}{%- endif %}""",
        ("<start_of_turn>", "<end_of_turn>"),
    ),
    "llama3": Format(
        """\
{%- for message in messages %}
    {{- '<|start_header_id|>' ~ message['role'] ~ '<|end_header_id|>\\n\\n' }}
    {{- message['content'] ~ '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}""",
        ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    ),
    "phi3": Format(
        """\
{%- for message in messages %}
    {{- '<|' ~ message['role'] ~ '|>\\n' ~ message['content'] ~ '<|end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|assistant|>\\n' }}{%- endif %}""",
        ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>"),
    ),
    "plain": Format(
        """\
{%- for message in messages %}
    {{- message['role'] ~ ':\\n' ~ message['content'] }}
    {{- eos_token if message['role'] == 'assistant' else '' }}
    {{- '\\n\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- 'assistant:\\n' }}{%- endif %}""",
        (),
    ),
}


def named(name: str, tokenizer: Tokenizer) -> str:
    """The template of a format. Raises InputError for a vocabulary that lacks a token of it."""
    template, tokens = FORMATS[name]
    if missing := _missing(tokens, tokenizer):
        fits = " or ".join(f'"{fit}"' for fit in fitting(tokenizer))
        raise InputError(f'"{name}" needs {missing}, which the base does not have; give {fits}')
    return _BOS + template if tokenizer.add_bos else template


def fitting(tokenizer: Tokenizer) -> list[str]:
    """Names of the formats whose tokens the vocabulary has; never empty, since "plain" needs none."""
    return [name for name, (_, tokens) in FORMATS.items() if not _missing(tokens, tokenizer)]


def _missing(tokens: tuple[str, ...], tokenizer: Tokenizer) -> str | None:
    known = {text for text, kind in zip(tokenizer.tokens, tokenizer.types, strict=True) if kind != "normal"}
    return next((token for token in tokens if token not in known), None)
