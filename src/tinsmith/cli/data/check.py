"""tinsmith data check: faults in examples, each with file and line, and a cleaned copy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tinsmith.cli._command import Args, argument, flag, one_of, option
from tinsmith.cli._terminal import shown
from tinsmith.cli._types import File, Labels, Whole, Word, base_names, tasks
from tinsmith.errors import InputError

if TYPE_CHECKING:
    from tinsmith.prepare.check.rows import Data

HELP = "find faults in examples: each with file and line, how bad it is and what to do"
DATA = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
ANSWERS = "What an answer may be (default: of a recipe, what it says; else anything)"


PARAMETERS = [
    argument(
        "files",
        "FILE",
        File(*DATA, ".toml"),
        help="training examples; or a RECIPE.toml, whose splits are checked under its constraint",
        several=True,
    ),
    option("--validation", File(*DATA), multiple=True, metavar="FILE", help="validation examples; repeatable"),
    option("--test", File(*DATA), multiple=True, metavar="FILE", help="test examples; repeatable"),
    option("--recipe", File(".toml"), metavar="R", help="check the FILEs as the data of this recipe"),
    option("--task", Word(tasks), metavar="T", help="what kind of answers they are (default: seen from them)"),
    *one_of(
        option("--schema", File(".json"), group=ANSWERS, metavar="S", help="JSON of a schema"),
        option("--tools", File(".json"), group=ANSWERS, metavar="S", help="calls of tools in OpenAI's shape"),
        option("--labels", Labels(), group=ANSWERS, metavar="L", help="of labels: a,b,c, or a file of them"),
    ),
    option("--base", File(".gguf", names=base_names), metavar="MODEL", help="count the tokens of this base"),
    option("--length", Whole(8), default=512, metavar="N", help="of an example, at most (default: 512)"),
    option(
        "--json",
        File(".json", out=True),
        metavar="OUT",
        help="write all findings as JSON too; - prints them alone",
    ),
    option("--html", File(".html", out=True), metavar="OUT", help="write a page too"),
    option(
        "--fix",
        File(".jsonl", path=True, out=True),
        metavar="OUT",
        help="write a cleaned copy as JSON lines (a folder, for several files), and beside it what was changed",
    ),
    option(
        "--allow",
        several=True,
        metavar="KIND",
        help="kinds of findings that are no reason to exit with 1, and that --fix lets be",
    ),
    flag("--strict", help="exit with 1 for warnings too, not for errors alone"),
]


def run(args: Args) -> int:
    from tinsmith.prepare import check
    from tinsmith.prepare.check import mending, telling
    from tinsmith.system import files

    for kind in args.allow:
        check.by_name(kind)
    report = check.run(_data(args))
    if args.fix:
        mending.places(report.data, args.fix)  # refused before anything is written
    found = telling.as_json(report)
    if args.json == "-":
        print(json.dumps(found, ensure_ascii=False))
    else:
        print("\n".join(telling.lines(report, shown)))
    if args.json not in (None, "-"):
        files.write_text(args.json, json.dumps(found, ensure_ascii=False, indent=1) + "\n")
    if args.html:
        files.write_text(args.html, telling.page(report))
    if args.fix and args.json != "-":
        print("\n" + "\n".join(telling.fixed(*mending.write(report, args.fix, args.allow))))
    elif args.fix:
        mending.write(report, args.fix, args.allow)
    bad = ("error", "warning") if args.strict else ("error",)
    findings = [one for found in report.findings.values() for one in found]
    return int(any(one.severity in bad and one.kind not in args.allow for one in findings))


def _data(args: Args) -> Data:
    from tinsmith.pipeline import checking, recipe
    from tinsmith.pipeline.recipe import tables as recipe_tables

    recipes = [file for file in args.files if file.endswith(".toml")]
    files = [("train", Path(file)) for file in args.files]
    more = [(split, Path(file)) for split in ("validation", "test") for file in getattr(args, split)]
    if recipes and (len(args.files) > 1 or more or args.recipe):
        raise InputError(f"{recipes[0]}: a recipe names its own data; give it alone, or files with --recipe")
    if not recipes and not args.recipe:
        table = recipe_tables.Constraint(schema=args.schema, tools=args.tools)
        return checking.of_files([*files, *more], args.task, table, args.labels, args.base, args.length)
    for name in ("task", "schema", "tools", "labels", "base"):
        if getattr(args, name) is not None:
            raise InputError(f"--{name}: the recipe says it; leave it out")
    loaded = recipe.load(recipes[0] if recipes else args.recipe)
    return checking.of_recipe(loaded, () if recipes else [*files, *more])
