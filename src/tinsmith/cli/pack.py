"""tinsmith pack: everything that a machine without a network needs, in one folder and one tar file."""

from __future__ import annotations

from tinsmith.cli._command import Args, argument, flag, option
from tinsmith.cli._types import Device, File, Folder
from tinsmith.errors import InputError

HELP = "make a folder and a tar file that install and check themselves without a network"
SECTION = "ship"
PROMPT = "What can you do?"
PARAMETERS = [
    argument("file", "FILE", File(".tin", path=True), help="a .tin"),
    option(
        "--target",
        Device(host=True),
        default="host",
        metavar="T",
        help="the device, as `tinsmith targets` lists it (default: host, a machine like this one)",
    ),
    option("--out", Folder(), required=True, metavar="DIR", help="the folder; the tar file is DIR.tar"),
    option("--runtime", Folder(), metavar="DIR", help="what runs FILE there, where it is built already"),
    flag("--serve", help="with what `tinsmith serve` needs, a unit of systemd and a container file"),
    option(
        "--key", File(".key"), metavar="SECRET", help="the secret key that signed FILE; signs the folder too"
    ),
    flag("--unsigned", help="sign nothing: anybody could have made it"),
    option(
        "--prompt", default=PROMPT, metavar="T", help=f"what the installed model is asked (default: {PROMPT})"
    ),
]


def run(args: Args) -> int:
    from tinsmith import airgap
    from tinsmith.cli.sign import secret_key
    from tinsmith.system import progress

    if args.file.suffix != ".tin":
        raise InputError(f"{args.file}: give a .tin; `tinsmith build` makes one of a model")
    if not args.prompt.strip() or not args.prompt.isprintable():
        raise InputError(f"--prompt {args.prompt!r}: give one line of text")
    if (args.key is None) != args.unsigned:
        raise InputError(
            "give --key SECRET, which signs the folder (tinsmith sign --generate NAME makes one), or --unsigned"
        )
    key = None if args.unsigned else secret_key(args.key)
    made = airgap.pack(
        args.file, args.target, args.out, args.prompt, key, progress.display(), args.runtime, args.serve
    )
    print(*made, sep="\n")
    return 0
