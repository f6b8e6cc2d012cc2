"""`tinsmith compare RECIPE`: prompting, retrieval and tuning on the same test set; the verdict on stdout."""

from __future__ import annotations

from tinsmith.cli._command import Args, argument, flag, option
from tinsmith.cli._types import File, Folder
from tinsmith.system import progress

HELP = "compare prompting, retrieval and tuning on a recipe's test set"
SECTION = "measure"
PARAMETERS = [
    argument("recipe", "RECIPE", File(".toml"), help="a recipe, a TOML file"),
    option("--out", Folder(out=True), help="folder of the comparison (default: runs/<name>-compare)"),
    flag("--small", help="fewer test items and examples: a first result, in minutes"),
    flag("--json", help="print compare.json"),
]


def run(args: Args) -> int:
    import json

    from tinsmith.cli._terminal import shown
    from tinsmith.pipeline import recipe as recipes
    from tinsmith.pipeline.compare import document
    from tinsmith.pipeline.compare.make import compare

    recipe = recipes.load(args.recipe)
    path, found = compare(recipe, args.out, progress.display(), small=args.small)
    if args.json:
        print(json.dumps(found, ensure_ascii=False))
        return 0
    for line in document.lines(found):
        print(shown(line))
    print(path)
    return 0
