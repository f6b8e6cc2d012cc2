"""tinsmith data check: faults in examples, with file and line, and a cleaned copy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tinsmith.cli._command import Args, argument, flag, grouped, one_of, option
from tinsmith.cli._terminal import shown
from tinsmith.cli._types import File, Labels, Whole, Word, base_names, tasks
from tinsmith.errors import InputError

if TYPE_CHECKING:
    from tinsmith.pipeline.recipe import Recipe
    from tinsmith.prepare.check import Report
    from tinsmith.prepare.check.rows import Data

HELP = "find faults in examples, with file, line, severity and advice"
SECTION = "begin"
DATA = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
PARAMETERS = [
    argument(
        "files",
        "FILE",
        File(*DATA, ".toml"),
        help="training examples; or a RECIPE.toml, whose splits are checked with its constraint",
        several=True,
    ),
    option("--validation", File(*DATA), multiple=True, help="validation examples; repeatable"),
    option("--test", File(*DATA), multiple=True, help="test examples; repeatable"),
    option("--recipe", File(".toml"), help="check the FILEs as the data of this recipe"),
    option("--task", Word(tasks), help="task of the examples (default: detected)"),
    option("--base", File(".gguf", names=base_names), metavar="MODEL", help="count tokens of this base model"),
    option("--length", Whole(8), default=512, help="tokens of an example at most"),
    option("--json", File(".json", out=True), help="also write the findings as JSON; -: print JSON alone"),
    option("--html", File(".html", out=True), help="also write an HTML page"),
    option(
        "--fix",
        File(".jsonl", path=True, out=True),
        help="write a cleaned copy and a list of the changes (a folder, for several files)",
    ),
    option("--allow", several=True, metavar="KIND", help="findings to ignore in the exit code and in --fix"),
    flag("--strict", help="exit with 1 for warnings too"),
    *one_of(
        *grouped(
            "Constraint of the answers (default: the recipe's, if any)",
            option("--schema", File(".json"), help="a JSON Schema"),
            option("--tools", File(".json"), help="tools in OpenAI's format"),
            option("--labels", Labels(), help="labels: a,b,c, or a file of labels"),
        )
    ),
]


def run(args: Args) -> int:
    from tinsmith.prepare import check
    from tinsmith.prepare.check import mending, reporting
    from tinsmith.system import files

    for kind in args.allow:
        check.by_name(kind)
    loaded = _recipe(args)
    if loaded is not None and loaded.tasks:
        return _tasks(args, loaded)
    report = check.run(_data(args, loaded))
    if args.fix:
        mending.outputs(report.data, args.fix)  # refused before anything is written
    found = reporting.as_json(report)
    if args.json == "-":
        print(json.dumps(found, ensure_ascii=False))
    else:
        print("\n".join(reporting.lines(report, shown)))
    if args.json not in (None, "-"):
        files.write_text(args.json, json.dumps(found, ensure_ascii=False, indent=1) + "\n")
    if args.html:
        files.write_text(args.html, reporting.page(report))
    if args.fix and args.json != "-":
        print("\n" + "\n".join(reporting.fixed(*mending.write(report, args.fix, args.allow))))
    elif args.fix:
        mending.write(report, args.fix, args.allow)
    return _code(args, report)


def _tasks(args: Args, loaded: Recipe) -> int:
    """Checks each task of a recipe with several."""
    from tinsmith.pipeline import checking
    from tinsmith.prepare import check
    from tinsmith.prepare.check import reporting

    for name in ("json", "html", "fix"):
        if getattr(args, name) is not None:
            raise InputError(
                f"--{name}: is of one task, and {loaded.path} has several; check a task's files alone"
            )
    codes = []
    for name, one in loaded.tasks.items():
        report = check.run(checking.of_recipe(one))
        print("\n".join([f"task {name}:", *reporting.lines(report, shown), ""]))
        codes.append(_code(args, report))
    return max(codes)


def _code(args: Args, report: Report) -> int:
    bad = ("error", "warning") if args.strict else ("error",)
    findings = [one for found in report.findings.values() for one in found]
    return int(any(one.severity in bad and one.kind not in args.allow for one in findings))


def _recipe(args: Args) -> Recipe | None:
    """The recipe that is checked, or whose data the files are."""
    from tinsmith.pipeline import recipe

    path = next((file for file in args.files if file.endswith(".toml")), args.recipe)
    if path is None:
        return None
    if path != args.recipe and (len(args.files) > 1 or args.validation or args.test or args.recipe):
        raise InputError(f"{path}: a recipe names its own data; give it alone, or files with --recipe")
    for name in ("task", "schema", "tools", "labels", "base"):
        if getattr(args, name) is not None:
            raise InputError(f"--{name}: is stated by the recipe; leave it out")
    loaded = recipe.load(path)
    if loaded.tasks and args.recipe:
        raise InputError(
            f"--recipe {path}: has several tasks, each with its own data; give one of a single task"
        )
    return loaded


def _data(args: Args, loaded: Recipe | None) -> Data:
    from tinsmith.pipeline import checking
    from tinsmith.pipeline.recipe import tables as recipe_tables

    given = {"train": args.files, "validation": args.validation, "test": args.test}
    files = [(split, Path(file)) for split, paths in given.items() for file in paths]
    if loaded is None:
        table = recipe_tables.Constraint(schema=args.schema, tools=args.tools)
        return checking.of_files(files, args.task, table, args.labels, args.base, args.length)
    return checking.of_recipe(loaded, files if args.recipe else ())
