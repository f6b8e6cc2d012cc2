"""Constraints of requests from outside, compiled in a separate process within `limits`."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from tinsmith.constraint import Constraint, limits
from tinsmith.errors import ConstraintError
from tinsmith.system.limited import Child, Ended


def check_size(what: object, most: int = limits.SCHEMA) -> None:
    """Raises ConstraintError if a schema or tools exceed `most` bytes."""
    size = len(json.dumps(what))
    if size > most:
        raise ConstraintError(f"the schema or tools have {size:,} bytes; give at most {most:,}")


class Apart(Child):
    """schema, automaton, seconds: the limits of a request, as in `limits`."""

    def __init__(
        self, schema: int = limits.SCHEMA, automaton: int = limits.AUTOMATON, seconds: float | None = None
    ) -> None:
        super().__init__("tinsmith.constraint.compiler")
        self._schema, self._automaton, self._seconds = schema, automaton, seconds or limits.SECONDS

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
