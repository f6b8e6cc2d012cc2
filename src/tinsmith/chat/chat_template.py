"""Chat templates: the Jinja text that turns messages into the model's prompt.

`render` gives the text of transformers' `apply_chat_template`, so that training and every runtime agree. A
template runs in a child process with limits (jinja_process). The `with_…` functions write training settings
into the template itself: every program that renders it then gives the prompts of the training.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import date as Date
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from tinsmith.chat import jinja_process
from tinsmith.errors import FormatError, InputError, UnsupportedError

if TYPE_CHECKING:
    from tinsmith.spec import Spec, Tokenizer

Messages = Sequence[Mapping[str, Any]]
Tools = Sequence[Mapping[str, Any]]

THINKING = ("enable_thinking", "thinking")  # names of the switch for thinking, by precedence
DIGEST = "chat_template_sha256"  # in Spec.general: of the template in training
# transformers' names of a message's thoughts. Templates read the first, gpt-oss's the second.
_THOUGHTS = ("reasoning_content", "thinking", "reasoning")
_QUOTED = "content ~ '\\n\"' ~ content.split(' ') | join('\"') ~ '\"'"
_QUOTE_INPUT = (
    "{%- set spelled = namespace(messages=[]) %}{%- for message in messages %}"
    "{%- if message['role'] == 'user' and message['content'] is string %}"
    "{%- set content = message['content'] | trim %}"
    f"{{%- set spelled.messages = spelled.messages + [{{'role': 'user', 'content': {_QUOTED}}}] %}}"
    "{%- else %}{%- set spelled.messages = spelled.messages + [message] %}{%- endif %}{%- endfor %}"
    "{%- set messages = spelled.messages %}"
)


def render(
    template: str,
    messages: Messages,
    *,
    generate: bool,
    tokens: Mapping[str, str] | None = None,
    thinking: bool | None = None,
) -> str:
    """The conversation as text.

    generate: end with the opening of the assistant's answer. tokens: texts of special tokens by the names that
    templates use ("bos_token", …), as from `special_tokens`. thinking: the template's switch; None: its
    default. Raises InputError for an invalid template, one that writes today's date, or a conversation that it
    refuses; UnsupportedError for a template without a switch for thinking.
    """
    try:
        given = {
            "messages": [_message(message) for message in messages],
            "add_generation_prompt": generate,
            "tools": None,
            "documents": None,
            **(tokens or {}),
        }
    except RecursionError:
        raise InputError("a message is nested too deep for a chat template") from None
    if thinking is not None:
        given[_switch(template)] = thinking
    reply = jinja_process.render(template, given)
    if "text" in reply:
        return str(reply["text"])
    if "undated" in reply:
        raise InputError("the chat template writes today's date, and none is given; state the date")
    if "refused" in reply:
        raise InputError(f"the chat template refuses the conversation: {reply['refused']}")
    raise InputError(f"the chat template fails: {reply.get('failed')}; check the model's template")


def special_tokens(tokenizer: Tokenizer) -> dict[str, str]:
    """The texts of the tokenizer's special tokens, by the names that templates use."""
    named = {name: getattr(tokenizer, name) for name in ("bos", "eos", "unk", "pad")}
    return {f"{name}_token": tokenizer.tokens[token] for name, token in named.items() if token is not None}


def thinking_switch(template: str) -> str | None:
    """The template's name of its switch for thinking, if it has one."""
    free = _examined(template)["free"]
    return next((name for name in THINKING if name in free), None)


def _switch(template: str) -> str:
    switch = thinking_switch(template)
    if switch is None:
        raise UnsupportedError("the model's chat template has no switch for thinking; leave the option out")
    return switch


def digest(template: str) -> str:
    """SHA-256 of the template's text."""
    return hashlib.sha256(template.encode("utf-8", "surrogatepass")).hexdigest()


def check(spec: Spec, what: str = "the model") -> None:
    """Raises FormatError where the model's chat template is not the one of its training."""
    trained = spec.general.get(DIGEST)
    if trained is None or (spec.chat_template is not None and digest(spec.chat_template) == trained):
        return
    has = "none" if spec.chat_template is None else f"another ({digest(spec.chat_template)[:12]})"
    raise FormatError(
        f"{what} was trained under the chat template {str(trained)[:12]} and has {has}: prompts would differ "
        "from those in training; use the file that merge or build wrote, or restore its template"
    )


def settle(
    template: str,
    *,
    system: str = "",
    date: str | Date | None = None,
    thinking: bool | None = None,
    tools: Tools | None = None,
    quotes_input: bool = False,
) -> str:
    """The template with a recipe's settings: for training, and in the model's file."""
    template = dated(template, date) or template
    if thinking is not None:
        template = with_thinking(template, thinking)
    if tools is not None:
        template = with_tools(template, tools)
    if quotes_input:
        template = with_quoted_input(template)
    return with_system(template, system) if system else template


def with_quoted_input(template: str) -> str:
    """The template with quoted-input repetition: it repeats a user's words, each after a quote.

    An answer quotes the words that it copies, and a tokenizer splits most words differently after a quote than
    after a space. The repetition shows a small model the tokens to copy.
    """
    return _before(_QUOTE_INPUT, template)


def with_system(template: str, system: str) -> str:
    """The template with a default system message, for conversations without one."""
    first = f"[{{'role': 'system', 'content': {literal(system)}}}]"
    return _before(
        "{%- if not messages or messages[0]['role'] != 'system' %}"
        f"{{%- set messages = {first} + messages %}}"
        "{%- endif %}",
        template,
    )


def with_thinking(template: str, thinking: bool) -> str:
    """The template with a default for its switch for thinking. Raises UnsupportedError where it has none."""
    name = _switch(template)
    return _before(
        f"{{%- if {name} is not defined %}}{{%- set {name} = {literal(thinking)} %}}{{%- endif %}}", template
    )


def with_tools(template: str, tools: Tools) -> str:
    """The template with a default list of tools. Raises UnsupportedError where it ignores tools."""
    if "tools" not in _examined(template)["free"]:
        raise UnsupportedError("the base's chat template ignores tools; leave them out of the prompt")
    return _before(f"{{%- if not tools %}}{{%- set tools = {literal(list(tools))} %}}{{%- endif %}}", template)


def with_date(template: str, date: Date) -> str:
    """The template with a fixed date for today; unchanged where it writes none.

    Raises UnsupportedError where the date's format is not a literal in the template.
    """
    forms = {}
    for form in _dates(template):
        if form is None:
            raise UnsupportedError("the chat template computes the format of its date")
        forms[form] = date.strftime(form)
    if not forms:
        return template
    return _before(
        f"{{%- macro strftime_now(form) %}}{{{{- {literal(forms)}[form] }}}}{{%- endmacro %}}", template
    )


def writes_date(template: str) -> bool:
    return bool(_dates(template))


def read_date(text: str) -> Date:
    """Reads a date such as 2026-11-25."""
    try:
        return Date.fromisoformat(text)
    except ValueError:
        raise InputError(f"{text!r} is not a date; write it as 2026-11-25") from None


def dated(template: str | None, date: str | Date | None) -> str | None:
    """The template with a date, if one is given. Raises InputError where it writes none."""
    if date is None:
        return template
    if template is None or not writes_date(template):
        raise InputError("the chat template writes no date; leave the date out")
    return with_date(template, date if isinstance(date, Date) else read_date(date))


def _before(statements: str, template: str) -> str:
    # trim_blocks drops the line break, and the template still begins on a new line.
    return f"{statements}\n{template}"


def literal(value: Any) -> str:
    """A JSON value as a Jinja literal."""
    if isinstance(value, str):
        text = value.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\r", "\\r")
        return f"'{text}'"
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{literal(str(key))}: {literal(value[key])}" for key in value) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(literal, value)) + "]"
    return repr(value)


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    """As transformers passes it to a template: without None, and with thoughts under both of their names."""
    fields = {key: _plain(value) for key, value in message.items() if value is not None}
    thoughts = next((fields[key] for key in _THOUGHTS if fields.get(key) is not None), None)
    return fields if thoughts is None else {"thinking": thoughts, **fields, "reasoning_content": thoughts}


def _plain(value: Any) -> Any:
    """Only JSON reaches a template, which is untrusted."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Mapping):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    raise InputError(f"a message contains a {type(value).__name__}; give texts, numbers, lists and dicts")


@lru_cache(maxsize=32)
def _examined(template: str) -> Mapping[str, Any]:
    """The reply of jinja.examine. Raises InputError for an invalid template."""
    reply = jinja_process.examine(template)
    for key, problem in (("invalid", "is not valid Jinja"), ("failed", "can't be read")):
        if key in reply:
            raise InputError(f"the chat template {problem}: {reply[key]}")
    return reply


def words(template: str) -> list[str]:
    """Texts that the template searches contents for, or splits them at."""
    return list(_examined(template)["words"])


def _dates(template: str) -> list[str | None]:
    """The format of each date that the template writes; None where it is no literal."""
    return list(_examined(template)["dates"]) if "strftime_now" in template else []
