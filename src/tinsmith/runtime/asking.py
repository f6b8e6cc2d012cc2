"""Prompts in the forms that Model's questions take, and what their answers must have come to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeGuard, cast

from tinsmith.constraint.functions import is_type, value_of
from tinsmith.errors import InputError
from tinsmith.runtime.image_prompt import checked
from tinsmith.system import reading

if TYPE_CHECKING:
    from tinsmith.constraint import Constraint
    from tinsmith.runtime.adapters import Chosen
    from tinsmith.runtime.generation import Completion
    from tinsmith.runtime.loaded import Loaded
    from tinsmith.runtime.skill import Own, Skill

# A question to the model; a conversation; or token ids, taken as they are.
Prompt = str | Sequence[Mapping[str, str]] | Sequence[int]


def is_ids(prompt: Prompt) -> TypeGuard[Sequence[int]]:
    """Whether a prompt is token ids, of any type that numbers have: neither a text nor messages."""
    return not isinstance(prompt, str) and len(prompt) > 0 and not isinstance(prompt[0], str | Mapping)


def conversation(prompt: Prompt) -> list[Mapping[str, str]]:
    """The prompt as messages."""
    if isinstance(prompt, str):
        return [{"role": "user", "content": prompt}]
    return list(cast("Sequence[Mapping[str, str]]", prompt))


def tokens_of(model: Loaded, prompt: Prompt, adapter: Chosen = None) -> list[int]:
    """The prompt in tokens, as it is asked under an adapter. A text is asked as a user's message; where the
    model can't chat, it is continued. What is answered under a constraint leaves no room for thoughts: a switch
    for thinking is off."""
    skill = model.skill_of(adapter)
    if isinstance(prompt, str):
        if not skill.can_chat:
            return model.tokenize(prompt, special=True, bos=True)
    elif is_ids(prompt):
        return checked(prompt, model.core.info()["vocab"])
    return model.render(conversation(prompt), thinking=direct(skill), adapter=adapter)


def rendered(
    model: Loaded, messages: Sequence[Mapping[str, Any]], thinking: bool | None, options: Mapping[str, Any]
) -> tuple[list[int], bool]:
    """The conversation in tokens, as it is asked with options, and whether it opens an answer's thoughts."""
    adapter = options.get("adapter")
    skill = model.skill_of(adapter)
    check_room(skill, thinking, options.get("constraint", "own"))
    tokens = model.render(messages, thinking=thinking, adapter=adapter)
    return tokens, skill.templates.table(thinking).opens_thoughts


def asked(
    model: Loaded, prompt: Prompt, thinking: bool | None, options: Mapping[str, Any]
) -> tuple[str | Sequence[int], bool]:
    """As `rendered`, of a prompt in any form; what is not rendered is continued as it stands."""
    if is_ids(prompt) or (isinstance(prompt, str) and not model.skill_of(options.get("adapter")).can_chat):
        return prompt, False
    return rendered(model, conversation(prompt), thinking, options)


def direct(skill: Skill) -> bool | None:
    """The switch for thinking, off; None where the template has none."""
    return None if skill.templates.direct is None else False


def check_room(skill: Skill, thinking: bool | None, constraint: Constraint | Own | None) -> None:
    """Raises InputError for thinking under a constraint, which says what the whole answer may be."""
    if thinking and skill.constraint_for(constraint) is not None:
        raise InputError(
            "a constraint says what the whole answer may be, thoughts among it; leave thinking out"
        )


def finished(answer: Completion) -> None:
    """Raises InputError for an answer under a constraint that did not end by itself: max_tokens or the context
    cut it, or made it another one."""
    if answer.finish != "stop":
        raise InputError(
            f"the answer did not end by itself after {answer.text[-80:]!r}: max_tokens, or the context, is too "
            "small for it; give it more room"
        )


def json_answer(
    model: Loaded, prompt: Prompt, schema: Any, constraint: Constraint, options: dict[str, Any]
) -> Any:
    """Model.json."""
    tokens = tokens_of(model, prompt, options.get("adapter"))
    answer = model.generate(tokens, constraint=constraint, **options)
    finished(answer)
    value = reading.json(answer.text, f"the answer {answer.text[:80]!r}", advice="give a schema")
    return value_of(schema, value) if is_type(schema) else value
