"""A text while a parser reads it."""

from __future__ import annotations

import re

# How often signs of repetition repeat what is before them.
OPERATORS: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}


class Cursor:
    """at: index of the next character."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def peek(self) -> str:
        """The next character; "" at the end."""
        return self.text[self.at : self.at + 1]

    def take(self, expected: str) -> bool:
        """Skips the expected text, if it is next."""
        if not self.text.startswith(expected, self.at):
            return False
        self.at += len(expected)
        return True

    def match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Skips a match of the pattern, if there is one here."""
        match = pattern.match(self.text, self.at)
        if match is not None:
            self.at = match.end()
        return match
