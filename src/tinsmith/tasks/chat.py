"""chat: free text."""

from __future__ import annotations

from typing import Any

from tinsmith.tasks import Task, Words


class Chat(Task):
    name = "chat"
    words = Words(
        answers="answers",
        exact="the expected text",
        valid="a text that is not empty",
    )

    def parse(self, text: str) -> Any:
        return text.strip() or None


task = Chat()
