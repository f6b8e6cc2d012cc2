"""What hostile and random inputs to the front ends are held to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinsmith.constraint import Constraint
from tinsmith.errors import ConstraintError


def checked(make: Callable[[], Constraint]) -> Constraint | None:
    try:
        return make()
    except ConstraintError as error:
        assert str(error) and str(error).isprintable() and len(str(error)) <= 1_100
        return None


def tool(parameters: Any, name: Any = "f") -> list[Any]:
    return [{"type": "function", "function": {"name": name, "parameters": parameters}}]
