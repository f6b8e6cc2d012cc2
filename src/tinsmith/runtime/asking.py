"""The forms of Model's prompts, and the check of complete answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard, cast

from tinsmith.constraint import Constraint
from tinsmith.errors import InputError
from tinsmith.runtime.adapters import Chosen
from tinsmith.runtime.generation import Completion
from tinsmith.runtime.image_prompt import checked
from tinsmith.runtime.loaded import Loaded
from tinsmith.runtime.skill import Own, Skill

# A question to the model; a conversation; or token ids, taken as they are.
Prompt = str | Sequence[Mapping[str, str]] | Sequence[int]


def is_ids(prompt: Prompt) -> TypeGuard[Sequence[int]]:
    """Whether a prompt is token ids (of any number type): neither a text nor messages."""
    return not isinstance(prompt, str) and len(prompt) > 0 and not isinstance(prompt[0], str | Mapping)


def conversation(prompt: Prompt) -> list[Mapping[str, str]]:
    """The prompt as messages."""
    if isinstance(prompt, str):
        return [{"role": "user", "content": prompt}]
    return list(cast("Sequence[Mapping[str, str]]", prompt))


def tokens_of(model: Loaded, prompt: Prompt, adapter: Chosen = None) -> list[int]:
    """The prompt in tokens, for an answer without thoughts, such as a constrained one. A text becomes a user's
    message; a model that can't chat continues it."""
    skill = model.skill_of(adapter)
    plain = unrendered(model, prompt, skill)
    if plain is not None:
        return plain
    return model.render(conversation(prompt), thinking=direct(skill), adapter=adapter)


def unrendered(model: Loaded, prompt: Prompt, skill: Skill) -> list[int] | None:
    """The tokens of a prompt that no chat template renders; None for others."""
    if is_ids(prompt):
        return checked(prompt, model.core.info()["vocab"])
    if isinstance(prompt, str) and not skill.can_chat:
        return model.tokenize(prompt, special=True, bos=True)
    return None


def rendered(
    model: Loaded, messages: Sequence[Mapping[str, Any]], thinking: bool | None, options: Mapping[str, Any]
) -> tuple[list[int], bool]:
    """The conversation in tokens, and whether it opens an answer's thoughts. options: of `generate`."""
    adapter = options.get("adapter")
    skill = model.skill_of(adapter)
    check_room(skill, thinking, options.get("constraint", "own"))
    tokens = model.render(messages, thinking=thinking, adapter=adapter)
    return tokens, skill.templates.table(thinking).opens_thoughts


def prompt_tokens(
    model: Loaded, prompt: Prompt, thinking: bool | None, options: Mapping[str, Any]
) -> tuple[str | Sequence[int], bool]:
    """As `rendered`, for a prompt in any form; the model continues token ids, and texts if it can't chat."""
    if is_ids(prompt) or (isinstance(prompt, str) and not model.skill_of(options.get("adapter")).can_chat):
        return prompt, False
    return rendered(model, conversation(prompt), thinking, options)


def direct(skill: Skill) -> bool | None:
    """The template's switch for thinking, off; None without a switch."""
    return None if skill.templates.direct is None else False


def check_room(skill: Skill, thinking: bool | None, constraint: Constraint | Own | None) -> None:
    """Raises InputError for thinking under a constraint, which allows no thoughts."""
    if thinking and skill.constraint_for(constraint) is not None:
        raise InputError("a constraint applies to the whole answer, with its thoughts; leave thinking out")


def finished(answer: Completion) -> None:
    """Raises InputError for a constrained answer that max_tokens or the context cut or changed."""
    if answer.finish != "stop":
        raise InputError(
            f"the answer did not end by itself after {answer.text[-80:]!r}: max_tokens or the context is "
            "too small; give more room"
        )
