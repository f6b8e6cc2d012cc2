"""tinsmith pack: everything that a machine without a network needs, in one folder and one tar file."""

from __future__ import annotations

import argparse
from pathlib import Path

from tinsmith.errors import InputError

HELP = "make a folder and a tar file that install and check themselves without a network"
PROMPT = "What can you do?"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path, help="a .tin")
    parser.add_argument(
        "--target",
        metavar="T",
        default="host",
        help="the device, as `tinsmith targets` lists it (default: host, a machine like this one)",
    )
    parser.add_argument(
        "--out", metavar="DIR", type=Path, required=True, help="the folder; the tar file is DIR.tar"
    )
    parser.add_argument(
        "--runtime", metavar="DIR", type=Path, help="what runs FILE there, where it is built already"
    )
    parser.add_argument("--key", metavar="SECRET", help="the secret key that signed FILE; signs the folder too")
    parser.add_argument("--unsigned", action="store_true", help="sign nothing: anybody could have made it")
    parser.add_argument(
        "--prompt", default=PROMPT, help=f"what the installed model is asked (default: {PROMPT})"
    )


def run(args: argparse.Namespace) -> int:
    from tinsmith import airgap, progress
    from tinsmith.cli.sign import secret_key

    if args.file.suffix != ".tin":
        raise InputError(f"{args.file}: give a .tin; `tinsmith build` makes one of a model")
    if not args.prompt.strip() or not args.prompt.isprintable():
        raise InputError(f"--prompt {args.prompt!r}: give one line of text")
    if (args.key is None) != args.unsigned:
        raise InputError(
            "give --key SECRET, which signs the folder (tinsmith sign --generate NAME makes one), or --unsigned"
        )
    key = None if args.unsigned else secret_key(args.key)
    made = airgap.pack(args.file, args.target, args.out, args.prompt, key, progress.display(), args.runtime)
    print(*made, sep="\n")
    return 0
