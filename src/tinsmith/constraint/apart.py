"""Constraints of requests, from a client of the server or a row of a batch, compiled in a separate process with
limits. A constraint from an option or a recipe has none of these limits."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from tinsmith.constraint import Constraint
from tinsmith.errors import ConstraintError
from tinsmith.system.limited import Child, Ended

SCHEMA = 64 << 10  # bytes of a JSON Schema, or of all tools
AUTOMATON = 8 << 20  # bytes of the compiled constraint
SECONDS = 5.0


def check_size(what: object, most: int = SCHEMA) -> None:
    """Raises ConstraintError if a schema or tools exceed `most` bytes."""
    size = len(json.dumps(what))
    if size > most:
        raise ConstraintError(f"the schema or tools have {size:,} bytes; give at most {most:,}")


class Apart(Child):
    """schema, automaton, seconds: the limits of a request."""

    def __init__(self, schema: int = SCHEMA, automaton: int = AUTOMATON, seconds: float | None = None) -> None:
        super().__init__("tinsmith.constraint.compiler")
        self._schema, self._automaton, self._seconds = schema, automaton, seconds or SECONDS

    def compiled(self, terms: Mapping[str, Any]) -> Constraint:
        """Compiles terms in the form that compiler.py reads. Raises ConstraintError if they can't be enforced
        or exceed a limit."""
        check_size(terms, self._schema)
        try:
            reply = self.ask({"most": self._automaton, "terms": terms}, self._seconds)
        except Ended as ended:
            what = f"over {self._seconds:g} seconds" if ended.late else "too much memory"
            raise ConstraintError(f"compiling takes {what}; simplify it") from None
        if "error" in reply:
            raise ConstraintError(reply["error"])
        return Constraint.of_bytes(reply["kind"], base64.b64decode(reply["data"]))
