"""How models declare and call tools: one module per kind of format, one entry of FORMATS per format.

A format writes tools into a conversation, and writes and reads calls. constraint/calls/tools.py constrains
answers to it. `detect` finds the format that a model was trained with.
"""

from __future__ import annotations

from collections.abc import Container

from tinsmith.chat.tool_formats.functiongemma import FUNCTIONGEMMA, GEMMA4, GemmaFormat
from tinsmith.chat.tool_formats.json_calls import GEMMA3, JSON, LLAMA3, QWEN, SMOLLM, JsonFormat
from tinsmith.chat.tool_formats.qwen35 import QWEN35
from tinsmith.chat.tool_formats.tool import Call, PartialCall, Tool, ToolFormat, partial_mark, read_tools
from tinsmith.errors import UnsupportedError

__all__ = [
    "FORMATS",
    "Call",
    "GemmaFormat",
    "JsonFormat",
    "PartialCall",
    "Tool",
    "ToolFormat",
    "by_name",
    "detect",
    "partial_mark",
    "read_tools",
]

FORMATS: dict[str, ToolFormat] = {
    format.name: format for format in (JSON, QWEN, QWEN35, FUNCTIONGEMMA, GEMMA3, GEMMA4, LLAMA3, SMOLLM)
}

# Texts in the chat templates of formats, by precedence.
_TEMPLATES = (
    (FUNCTIONGEMMA.mark, FUNCTIONGEMMA.name),
    (GEMMA4.mark, GEMMA4.name),
    ("<parameter=", QWEN35.name),
    ("<tool_call>", QWEN.name),
    ('"parameters": dictionary of argument name', LLAMA3.name),
    ("named SmolLM", SMOLLM.name),
    ("<|start_header_id|>", LLAMA3.name),
    ("<start_of_turn>", GEMMA3.name),
)


def by_name(name: str) -> ToolFormat:
    if name not in FORMATS:
        raise UnsupportedError(f"tool format {name!r} does not exist; the formats are {', '.join(FORMATS)}")
    return FORMATS[name]


def detect(template: str | None, tokens: Container[str] = (), name: str = "") -> str:
    """The name of the format that a model was trained with, found by its chat template, else by its vocabulary,
    else by its name; "json" otherwise."""
    for text, format_name in _TEMPLATES:
        if template and text in template:
            return format_name
    for format in (FUNCTIONGEMMA, GEMMA4):
        if format.mark in tokens:
            return format.name
    if "<tool_call>" in tokens:
        return QWEN.name
    return SMOLLM.name if name.lower().startswith("smollm2") else JSON.name
