"""How tools are described to models and how models call them: one module for each kind of format, one entry for
each format.

A format writes the tools into a conversation, writes calls as an answer, and reads an answer's calls. What a
format's answers may be is constraint/calls/tools.py's. `detect` finds the format that a model was trained
with.
"""

from __future__ import annotations

from collections.abc import Container

from tinsmith.chat.tool_formats.functiongemma import FUNCTIONGEMMA, GEMMA4, GemmaFormat
from tinsmith.chat.tool_formats.json_calls import GEMMA3, JSON, LLAMA3, QWEN, SMOLLM, JsonFormat
from tinsmith.chat.tool_formats.qwen35 import QWEN35
from tinsmith.chat.tool_formats.tool import Begun, Call, Tool, ToolFormat, held_back, read_tools
from tinsmith.errors import UnsupportedError

__all__ = [
    "FORMATS",
    "Begun",
    "Call",
    "GemmaFormat",
    "JsonFormat",
    "Tool",
    "ToolFormat",
    "by_name",
    "detect",
    "held_back",
    "read_tools",
]

FORMATS: dict[str, ToolFormat] = {
    known.name: known for known in (JSON, QWEN, QWEN35, FUNCTIONGEMMA, GEMMA3, GEMMA4, LLAMA3, SMOLLM)
}

# What a chat template that knows of tools writes, in the order of asking.
_TEMPLATES = (
    (FUNCTIONGEMMA.opening, FUNCTIONGEMMA.name),
    (GEMMA4.opening, GEMMA4.name),
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
    """The name of the format that a model was trained with: by its chat template, by the tokens of its
    vocabulary, then by the model's name. "json" where none of them shows it."""
    for text, format_name in _TEMPLATES:
        if template and text in template:
            return format_name
    for known in (FUNCTIONGEMMA, GEMMA4):
        if known.opening in tokens:
            return known.name
    if "<tool_call>" in tokens:
        return QWEN.name
    return SMOLLM.name if name.lower().startswith("smollm2") else JSON.name
