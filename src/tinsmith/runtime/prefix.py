"""What two prompts share."""

from __future__ import annotations

from collections.abc import Sequence


def shared(ours: Sequence[int], theirs: Sequence[int]) -> int:
    """How many tokens both begin with."""
    count = min(len(ours), len(theirs))
    if not count or ours[0] != theirs[0]:
        return 0
    if ours[:count] == theirs[:count]:  # fast, and never true of a tuple and a list
        return count
    return next((k for k in range(count) if ours[k] != theirs[k]), count)
