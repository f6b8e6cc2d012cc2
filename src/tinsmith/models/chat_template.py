"""Chat templates: the Jinja text that turns messages into the model's prompt, and its compilation to a table.

`render` follows what transformers' `apply_chat_template` does, so that training and every runtime see the same
text. `compile_turns` finds a TurnTable that needs no Jinja, and proves it on probe conversations.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from typing import Any

from tinsmith.errors import InputError, MissingExtraError, UnsupportedError
from tinsmith.formats.turns import TurnTable

Messages = Sequence[Mapping[str, Any]]

# Conversations that a table must reproduce: first messages of each kind, several turns, and contents that a
# template might strip, split or escape.
_CONTENTS = (
    "Hi",
    " two  spaces ",
    "a\nb\n",
    "{{ x }} {% y %}",
    "\ttab",
    '"quotes" & <tags>',
    "naïve 漢字 🙂",
    "",
)


def render(template: str, messages: Messages, *, generate: bool, bos: str = "", eos: str = "") -> str:
    """The conversation as text.

    generate: end with what opens the assistant's answer. bos, eos: the tokens' texts, for templates that use
    them. Raises InputError when the template is not valid or refuses the conversation.
    """
    from jinja2.exceptions import TemplateError

    try:
        return _compile(template)(
            messages=[dict(message) for message in messages],
            add_generation_prompt=generate,
            bos_token=bos,
            eos_token=eos,
            tools=None,
            documents=None,
        )
    except TemplateError as error:
        raise InputError(f"the chat template refuses the conversation: {error}") from error
    except (TypeError, ValueError, LookupError, RecursionError) as error:
        raise InputError(f"the chat template fails: {error}; check the model's template") from error


def with_system(template: str, system: str) -> str:
    """The template with a default system message: what it gives for a conversation that has none of its own.

    A model trained under a short system message must see it at run time too, whoever renders the template.
    """
    text = system.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return (
        "{%- if not messages or messages[0]['role'] != 'system' %}"
        f"{{%- set messages = [{{'role': 'system', 'content': '{text}'}}] + messages %}}"
        "{%- endif %}" + template
    )


@lru_cache(maxsize=16)
def _compile(template: str) -> Callable[..., str]:
    try:
        from jinja2.ext import loopcontrols
        from jinja2.sandbox import ImmutableSandboxedEnvironment
    except ImportError:
        raise MissingExtraError("jinja2", "gguf") from None
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    return environment.from_string(template).render


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    # Jinja's own filter escapes HTML, which templates written for transformers do not expect.
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _raise_exception(message: str) -> None:
    from jinja2.exceptions import TemplateError

    raise TemplateError(message)


def _strftime_now(form: str) -> str:
    return datetime.now().strftime(form)


def compile_turns(template: str, *, bos: str = "", eos: str = "") -> TurnTable:
    """The table that gives the template's very text for conversations of system, user and assistant messages.

    A template has one when it writes each message between a fixed opening and a fixed ending, and perhaps a
    fixed text first when no system message is given. Raises UnsupportedError, with a conversation where table
    and template part, when it has none.
    """

    def show(messages: Messages, generate: bool = False) -> str:
        return render(template, messages, generate=generate, bos=bos, eos=eos)

    table = _probe(show)
    difference = _difference(table, show)
    if difference:
        stripping = replace(table, strip=True)
        if _difference(stripping, show):
            raise UnsupportedError(f"the chat template is not a table of turns: {difference}")
        return stripping
    return table


def _probe(show: Callable[..., str]) -> TurnTable:
    """Reads the table off renderings of a few short conversations."""
    system: Messages = [{"role": "system", "content": "\x01"}]
    user: Messages = [{"role": "user", "content": "\x02"}]
    answer: Messages = [{"role": "assistant", "content": "\x03"}]
    start_system, rest = _split(show([*system, *user]), "\x01")
    after_system, user_ending = _split(rest, "\x02")
    dialogue = _split(show([*user, *answer, *user]), "\x02")
    before_user = dialogue[0]
    before_answer, rest = _split(dialogue[1], "\x03")
    answer_ending = _split(show([*user, *answer]), "\x03")[1]
    user_opening = _split(rest, "\x02")[0].removeprefix(answer_ending)
    return TurnTable(
        start_system=start_system,
        start=before_user.removesuffix(user_opening),
        opening={"user": user_opening, "assistant": before_answer.removeprefix(user_ending)},
        ending={
            "system": after_system.removesuffix(user_opening),
            "user": user_ending,
            "assistant": answer_ending,
        },
        generation=show(user, True).removeprefix(show(user)),
    )


def _split(text: str, mark: str) -> tuple[str, str]:
    before, found, after = text.partition(mark)
    if not found:
        raise UnsupportedError("the chat template is not a table of turns: it leaves out a message's content")
    return before, after


def _difference(table: TurnTable, show: Callable[..., str]) -> str | None:
    """Where table and template part, in words; None where they agree on every probe conversation."""
    for messages in _conversations():
        for generate in (False, True):
            wanted, given = show(messages, generate), table.render(messages, generate=generate)
            if given != wanted:
                said = json.dumps(messages, ensure_ascii=False)
                return f"for {said} it gives {wanted!r} where a table gives {given!r}"
    return None


def _conversations() -> Iterator[Messages]:
    for content in _CONTENTS:
        user = {"role": "user", "content": content}
        answer = {"role": "assistant", "content": content}
        for first in (
            [],
            [{"role": "system", "content": "Be brief."}],
            [{"role": "system", "content": content}],
        ):
            for turns in ([user], [user, answer], [user, answer, user], [user, answer, user, answer, user]):
                yield [*first, *turns]
