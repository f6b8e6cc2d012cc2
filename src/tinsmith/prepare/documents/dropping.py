"""Documents, passages and answers that are left out, and why."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

# In the order of a run.
REASONS = {
    "kind": "files of another kind",
    "unreadable": "documents that can't be read",
    "empty": "documents without text",
    "short": "passages with too little text",
    "repeated": "passages that repeat an earlier one",
    "unasked": "passages without a sentence to ask about",
    "invalid": "answers of the teacher that do not match the schema",
    "ungrounded": "values or answers that the passage lacks",
    "unrelated": "questions or requests that are not about the passage",
    "looping": "questions or requests that repeat a word over and over",
    "given away": "questions that contain their answer",
    "undecided": "labels that depend on the order of the choices",
    "ambiguous": "questions with several different answers",
    "checked": "rows in which `tinsmith data check` finds a fault",
}


@dataclass(frozen=True)
class Dropped:
    """reason: of REASONS. where: the document, with line or page. row: the example as far as it was made."""

    reason: str
    where: str
    message: str
    row: dict[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self).items() if value is not None}
