"""The constraint that a verb seals into a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tinsmith.cli._command import Args, Option, one_of, option, values
from tinsmith.cli._types import File, Whole
from tinsmith.errors import InputError

if TYPE_CHECKING:
    from tinsmith.pipeline.constraint import Sealed

SOURCES = ("schema", "tools", "grammar")


def options(whose: str) -> list[Option]:
    """whose: the answers' owner, as "its"."""
    return [
        *one_of(
            option("--schema", File(".json"), help=f"constrain {whose} answers to a JSON Schema"),
            option("--tools", File(".json"), help=f"constrain {whose} answers to calls of these tools"),
            option("--grammar", File(".gbnf", ".lark"), help=f"constrain {whose} answers to a grammar"),
        ),
        option("--search", Whole(0), default=0, help="with a constraint: backtracks of the search at most"),
    ]


def sealed(args: Args) -> Sealed | None:
    """None without a constraint. Raises InputError for a search without one."""
    from tinsmith.pipeline import constraint
    from tinsmith.pipeline.recipe import tables as recipe_tables

    table = recipe_tables.Constraint(**values(args, *SOURCES), max_backtracks=args.search)
    if table.source:
        return constraint.seal(table, Path())
    if args.search:
        raise InputError(f"--search {args.search} needs a constraint; give --schema, --tools or --grammar")
    return None
