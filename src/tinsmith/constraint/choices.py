"""Choices: the answer is one text of a list."""

from __future__ import annotations

from collections.abc import Sequence

from tinsmith.constraint import Constraint
from tinsmith.errors import ConstraintError

MOST_CHOICES = 10_000
MOST_BYTES = 100_000  # of all of them


def compile_choices(choices: Sequence[str]) -> Constraint:
    """Answers that are one of the choices, as they are written.

    ConstraintError for a choice that is no text, is empty or stands twice, with its place in the list, from 0;
    for no choices; for more than MOST_CHOICES or MOST_BYTES.
    """
    from tinsmith.constraint.automata.dfa import words
    from tinsmith.constraint.grammar import Grammar, Machine
    from tinsmith.constraint.machine.automaton import compile_grammar
    from tinsmith.constraint.schema.document import show

    if isinstance(choices, str):
        raise ConstraintError("choices are a list of texts, not one text; write [...] around it")
    if not isinstance(choices, Sequence):
        raise ConstraintError(f"choices are a list of texts, not {show(choices)}; give a list")
    if not choices:
        raise ConstraintError("there are no choices; give at least one text")
    if len(choices) > MOST_CHOICES:
        raise ConstraintError(f"{len(choices):,} choices; give at most {MOST_CHOICES:,}")
    places: dict[str, int] = {}
    for place, value in enumerate(choices):
        if not isinstance(value, str) or not value:
            raise ConstraintError(f"choice {place} is {show(value)}; choices are texts that are not empty")
        if value in places:
            raise ConstraintError(f"choice {place}, {show(value)}, is choice {places[value]}; leave one out")
        places[value] = place
    try:
        texts = [value.encode() for value in choices]
    except UnicodeEncodeError as error:
        raise ConstraintError(f"choice {places[error.object]} has half of a surrogate pair") from None
    size = sum(map(len, texts))
    if size > MOST_BYTES:
        raise ConstraintError(f"the choices have {size:,} bytes; give at most {MOST_BYTES:,}")
    return compile_grammar(Grammar({"start": Machine(words(texts))}), "choices")
