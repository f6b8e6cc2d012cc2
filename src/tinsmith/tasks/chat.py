"""chat: free text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinsmith.tasks import Task, Words


class Chat(Task):
    name = "chat"
    words = Words(
        answers="answers",
        exact="the expected text",
        valid="a text that is not empty",
    )

    is_free = True

    def likely(self, outputs: Sequence[str]) -> float:
        return 0.1

    def parse(self, text: str) -> Any:
        return text.strip() or None


task = Chat()
