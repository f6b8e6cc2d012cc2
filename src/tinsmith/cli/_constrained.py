"""What answers are held to that a verb seals into a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinsmith.cli._command import Args, Option, one_of, option
from tinsmith.cli._types import File, Whole
from tinsmith.errors import InputError

if TYPE_CHECKING:
    from tinsmith.pipeline.constraint import Sealed

SOURCES = ("schema", "tools", "grammar")


def options(whose: str) -> list[Option]:
    """whose: the answers' owner, as "its"."""
    return [
        *one_of(
            option("--schema", File(".json"), metavar="F", help=f"a JSON Schema that {whose} answers obey"),
            option(
                "--tools", File(".json"), metavar="F", help=f"a list of tools: {whose} answers are calls of one"
            ),
            option(
                "--grammar",
                File(".gbnf", ".lark"),
                metavar="F",
                help=f"a grammar (.gbnf or .lark) of {whose} answers",
            ),
        ),
        option(
            "--search",
            Whole(0),
            default=0,
            metavar="N",
            help="with one of these, how often an answer may be gone back for a likelier one (default: 0)",
        ),
    ]


def sealed(args: Args) -> Sealed | None:
    """None where nothing is said of the answers. Raises InputError for a search among all texts."""
    from pathlib import Path

    from tinsmith.pipeline import constraint
    from tinsmith.pipeline.recipe import tables as recipe_tables

    stated = {key: getattr(args, key) for key in SOURCES}
    table = recipe_tables.Constraint(**stated, max_backtracks=args.search)
    if table.source:
        return constraint.seal(table, Path())
    if args.search:
        raise InputError(f"--search {args.search}: give --schema, --tools or --grammar, within which it looks")
    return None
