"""Chat templates: the Jinja text that turns messages into the model's prompt.

`render` gives what transformers' `apply_chat_template` gives, so that training and every runtime see the same
text; a template runs in a process of its own, with limits (jinja_process). The `with_…` functions put what a
model was trained under into the template itself: whoever renders it then, with whatever program, asks as the
model was trained to be asked.
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

# What templates call the switch for thinking, in the order of asking.
THINKING = ("enable_thinking", "thinking")
# Where Spec.general keeps the digest of the template that a model was trained under.
DIGEST = "chat_template_sha256"
# Names that transformers knows a message's thoughts by. Templates read the first, gpt-oss's the second.
_THOUGHTS = ("reasoning_content", "thinking", "reasoning")
# What with_spelling puts before a template.
_WORDS = "content ~ '\\n\"' ~ content.split(' ') | join('\"') ~ '\"'"
_SPELLING = (
    "{%- set spelled = namespace(messages=[]) %}{%- for message in messages %}"
    "{%- if message['role'] == 'user' and message['content'] is string %}"
    "{%- set content = message['content'] | trim %}"
    f"{{%- set spelled.messages = spelled.messages + [{{'role': 'user', 'content': {_WORDS}}}] %}}"
    "{%- else %}{%- set spelled.messages = spelled.messages + [message] %}{%- endif %}{%- endfor %}"
    "{%- set messages = spelled.messages %}"
)


def render(
    template: str,
    messages: Messages,
    *,
    generate: bool,
    tokens: Mapping[str, str] | None = None,
    tools: Tools | None = None,
    thinking: bool | None = None,
    date: Date | None = None,
) -> str:
    """The conversation as text.

    generate: end with what opens the assistant's answer. tokens: the texts of special tokens by the names that
    templates use ("bos_token", …), as `special_tokens` gives them. tools: in OpenAI's shape. thinking: the
    template's switch; None leaves it as the template has it. date: what the template takes for today. Raises
    InputError when the template is not valid, refuses the conversation, or writes a date and none is given;
    UnsupportedError when it has no switch for thinking.
    """
    try:
        given = {
            "messages": [_message(message) for message in messages],
            "add_generation_prompt": generate,
            "tools": None if tools is None else _plain(list(tools)),
            "documents": None,
            **(tokens or {}),
        }
    except RecursionError:
        raise InputError("a message nests too deep for a chat template") from None
    if thinking is not None:
        given[_switch(template)] = thinking
    reply = jinja_process.render(template, None if date is None else date.isoformat(), given)
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
    """What the template calls its switch for thinking; None where it has none."""
    free = _examined(template)["free"]
    return next((name for name in THINKING if name in free), None)


def _switch(template: str) -> str:
    switch = thinking_switch(template)
    if switch is None:
        raise UnsupportedError(
            "the model's chat template has no switch for thinking; leave the thinking option out"
        )
    return switch


def digest(template: str) -> str:
    """SHA-256 of the template's text."""
    return hashlib.sha256(template.encode("utf-8", "surrogatepass")).hexdigest()


def check(spec: Spec, what: str = "the model") -> None:
    """Raises FormatError when the model was trained under another chat template than it carries."""
    trained = spec.general.get(DIGEST)
    if trained is None or (spec.chat_template is not None and digest(spec.chat_template) == trained):
        return
    has = "none" if spec.chat_template is None else f"another ({digest(spec.chat_template)[:12]})"
    raise FormatError(
        f"{what} was trained under the chat template {str(trained)[:12]} and has {has}: it would be asked as "
        "it never was in training; take the file that merge or build wrote, or put its template back"
    )


def settle(
    template: str,
    *,
    system: str = "",
    date: Date | None = None,
    thinking: bool | None = None,
    tools: Tools | None = None,
    spell: bool = False,
) -> str:
    """The template with all that a recipe fixes put into it: what a model is trained under and shipped with."""
    template = dated(template, date) or template
    if thinking is not None:
        template = with_thinking(template, thinking)
    if tools is not None:
        template = with_tools(template, tools)
    if spell:
        template = with_spelling(template)
    return with_system(template, system) if system else template


def with_spelling(template: str) -> str:
    """The template with the words of what a user says written once more, as turns.spelled does.

    An answer that copies a word quotes it, and after a quote a tokenizer cuts most words otherwise than after a
    space: a small model must know how they are spelled, or sees it.
    """
    return _before(_SPELLING, template)


def with_system(template: str, system: str) -> str:
    """The template with a default system message: what it gives for a conversation that has none of its own.

    A model trained under a short system message must see it at run time too, whoever renders the template.
    """
    first = f"[{{'role': 'system', 'content': {literal(system)}}}]"
    return _before(
        "{%- if not messages or messages[0]['role'] != 'system' %}"
        f"{{%- set messages = {first} + messages %}}"
        "{%- endif %}",
        template,
    )


def with_thinking(template: str, thinking: bool) -> str:
    """The template with its switch for thinking set, unless whoever renders it says otherwise. UnsupportedError
    where it has none."""
    name = _switch(template)
    return _before(
        f"{{%- if {name} is not defined %}}{{%- set {name} = {literal(thinking)} %}}{{%- endif %}}", template
    )


def with_tools(template: str, tools: Tools) -> str:
    """The template with a default list of tools. UnsupportedError where it lists none."""
    if "tools" not in _examined(template)["free"]:
        raise UnsupportedError("the base's chat template tells no tools; leave them out of the prompt")
    return _before(f"{{%- if not tools %}}{{%- set tools = {literal(list(tools))} %}}{{%- endif %}}", template)


def with_date(template: str, date: Date) -> str:
    """The template with the date that it takes for today; itself where it writes none.

    UnsupportedError where the form of the date is not written in the template.
    """
    forms = {}
    for form in _dates(template):
        if form is None:
            raise UnsupportedError("the chat template writes the date in a form that can't be told from it")
        forms[form] = date.strftime(form)
    if not forms:
        return template
    return _before(
        f"{{%- macro strftime_now(form) %}}{{{{- {literal(forms)}[form] }}}}{{%- endmacro %}}", template
    )


def writes_date(template: str) -> bool:
    return bool(_dates(template))


def read_date(text: str) -> Date:
    """A date written as 2026-11-25."""
    try:
        return Date.fromisoformat(text)
    except ValueError:
        raise InputError(f"{text!r} is not a date; write it as 2026-11-25") from None


def dated(template: str | None, date: str | Date | None) -> str | None:
    """The template with the date stated in it, where one is stated. InputError where it writes none."""
    if date is None:
        return template
    if template is None or not writes_date(template):
        raise InputError("the chat template writes no date; leave the date out")
    return with_date(template, date if isinstance(date, Date) else read_date(date))


def _before(statements: str, template: str) -> str:
    # trim_blocks drops the line's end, and the template begins a line of its own, as it did.
    return f"{statements}\n{template}"


def literal(value: Any) -> str:
    """A JSON value as Jinja writes it."""
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
    """As transformers hands it to a template: without what is None, thoughts by each of their names."""
    fields = {key: _plain(value) for key, value in message.items() if value is not None}
    thoughts = next((fields[key] for key in _THOUGHTS if fields.get(key) is not None), None)
    return fields if thoughts is None else {"thinking": thoughts, **fields, "reasoning_content": thoughts}


def _plain(value: Any) -> Any:
    """Only JSON reaches a template, which comes from outside."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Mapping):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    raise InputError(f"a message holds a {type(value).__name__}; give texts, numbers, lists and dicts")


@lru_cache(maxsize=32)
def _examined(template: str) -> Mapping[str, Any]:
    """What jinja.examine knows of it. InputError where it is no template."""
    facts = jinja_process.examine(template)
    for key, what in (("invalid", "is not valid Jinja"), ("failed", "can't be read")):
        if key in facts:
            raise InputError(f"the chat template {what}: {facts[key]}")
    return facts


def words(template: str) -> list[str]:
    """Texts that the template looks for in contents, or cuts them at."""
    return list(_examined(template)["words"])


def _dates(template: str) -> list[str | None]:
    """The form of each date that the template writes; None where it can't be determined."""
    return list(_examined(template)["dates"]) if "strftime_now" in template else []
