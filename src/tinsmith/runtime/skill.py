"""A skill: the chat template and the constraint of a file or of an adapter."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Literal

from tinsmith.chat.turns import Turns
from tinsmith.constraint import Constraint
from tinsmith.constraint.makers import of_entry
from tinsmith.errors import FormatError, InputError, UnsupportedError
from tinsmith.formats.tin import CONSTRAINT, DRAFT, TEMPLATE, TURNS, Tin
from tinsmith.spec import Buffer

Own = Literal["own"]  # the constraint that a skill brings
_REFUSED = "template_refused"


class Skill:
    """An adapter without a chat template or a constraint takes that of `base`, the file's skill."""

    def __init__(
        self, entries: Mapping[str, Buffer], facts: Mapping[str, Any], base: Skill | None = None
    ) -> None:
        """entries, facts: the skill's, from the tin and its manifest."""
        self._entries, self._facts, self._base = entries, facts, base
        brings_template = base is None or TURNS in entries or _REFUSED in facts
        self._template_owner: Skill = self if base is None or brings_template else base

    @classmethod
    def of_tin(cls, tin: Tin, facts: Mapping[str, Any], folder: str = "", base: Skill | None = None) -> Skill:
        """folder: prefix of the skill's entries in the tin; the file's have none."""
        known = {name: f"{folder}{name}" for name in (TURNS, TEMPLATE, CONSTRAINT, DRAFT)}
        return cls({name: tin.entry(at) for name, at in known.items() if at in tin.names}, facts, base)

    @property
    def can_chat(self) -> bool:
        """Whether there is a chat template."""
        return TURNS in self._template_owner._entries

    @property
    def turns(self) -> Buffer | None:
        """The chat template as the core takes it; None for the file's own."""
        return None if self._template_owner._base is None else self._template_owner._entries[TURNS]

    @cached_property
    def digest(self) -> str | None:
        """SHA-256 of the chat template, as the core takes it; None where there is none."""
        import hashlib

        return hashlib.sha256(self._template_owner._entries[TURNS]).hexdigest() if self.can_chat else None

    @cached_property
    def templates(self) -> Turns:
        """The chat template as texts. Raises UnsupportedError with the reason when it could not be compiled."""
        if self._template_owner is not self:
            return self._template_owner.templates
        if not self.can_chat:
            reason = self._facts.get(_REFUSED, "the file has no chat template")
            raise UnsupportedError(f"this model can't chat: {reason}; use raw prompts")
        if TEMPLATE not in self._entries:
            raise FormatError(f"the file has no {TEMPLATE} beside its {TURNS}; it is damaged")
        return Turns.from_json(memoryview(self._entries[TEMPLATE]))

    @cached_property
    def constraint(self) -> Constraint | None:
        """The constraint of answers; None: unconstrained."""
        if CONSTRAINT in self._entries:
            return of_entry(self._entries[CONSTRAINT], self._facts)
        return None if self._base is None else self._base.constraint

    @property
    def draft(self) -> Buffer | None:
        """The skill's own draft table, if any."""
        return self._entries.get(DRAFT)

    @property
    def tool_format(self) -> str:
        """The name of the format in which the model was trained to call tools."""
        if self._base is not None and CONSTRAINT not in self._entries and self._template_owner is not self:
            return self._base.tool_format
        return str(self._facts.get("constraint", {}).get("format") or self._facts.get("tools", "json"))

    def constraint_for(self, given: Constraint | Own | None, search: int | None = None) -> Constraint | None:
        """The constraint to apply. search: replaces its number of backtracks (Constraint.with_search); it then
        takes the coverage of the skill's own constraint, if that has the same kind. Raises InputError for a
        search without a constraint."""
        chosen = self.constraint if given == "own" else given
        if not isinstance(chosen, Constraint | None):
            raise InputError(
                f"constraint is {given!r:.60}; make one by tinsmith.schema, tools, grammar, regex or choices"
            )
        if search is None:
            return chosen
        if chosen is None:
            raise InputError(
                "a search looks within what a constraint allows, and these answers are unconstrained"
            )
        chosen, own = chosen.with_search(search), self.constraint
        weighs = chosen.coverage or chosen.copies
        if chosen.search and not weighs and own is not None and own.kind == chosen.kind:
            return chosen.with_coverage_of(own)
        return chosen

    def least(self, given: Constraint | Own | None) -> float | None:
        """The abstention threshold, a log probability, of unconstrained answers or of those under the skill's
        own constraint; None without one."""
        thresholds = self._facts.get("abstention", {})
        own = given == "own" and self.constraint is not None
        kind = "constrained" if own else "unconstrained" if given in (None, "own") else None
        if kind not in thresholds:
            return None
        return math.inf if thresholds[kind] is None else float(thresholds[kind])
