"""Which tokens of an answer a constraint forces: the runtime takes them without asking the model, so training
need not learn them, and they say nothing of its confidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tinsmith import _core
from tinsmith.errors import FormatError, RuntimeFault

if TYPE_CHECKING:
    from tinsmith.runtime.loaded import Loaded
    from tinsmith.spec import Buffer


class Forced:
    """Walks answers through a constraint. model: whose tokenizer cut them; data: the constraint, compiled."""

    def __init__(self, model: Loaded, data: Buffer) -> None:
        try:
            self._walk = _core.Constraint(model.core, data)
        except RuntimeFault as fault:
            raise FormatError(f"the constraint does not open: {fault}") from fault

    def __call__(self, prompt: Sequence[int], answer: Sequence[int]) -> tuple[int, ...]:
        """The places of the answer's tokens that must come. From where the constraint forbids the answer, which
        made ones may leave, none must."""
        walk = self._walk
        places: list[int] = []
        walk.begin()
        for place, token in enumerate(answer):
            if walk.state() == _core.CONSTRAINT_MUST_END:
                return (*places, *range(place, len(answer)))
            is_only = int.from_bytes(walk.mask(), "little").bit_count() == 1
            # The runtime cuts what must come as the tokenizer would, though shorter tokens could come too.
            run = walk.forced([*prompt, *answer[:place]])
            try:
                walk.accept(token)
            except RuntimeFault as fault:
                if fault.status != "TIN_ERR_ARGUMENT":
                    raise
                break
            if is_only or run[:1] == [token]:
                places.append(place)
        return tuple(places)
