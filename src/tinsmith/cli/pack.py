"""tinsmith pack: everything that a machine without a network needs, in one folder and one tar file."""

from __future__ import annotations

from tinsmith.cli._command import Args, argument, flag, option
from tinsmith.cli._types import Device, File, Folder, Word
from tinsmith.errors import InputError

HELP = "make what a machine without a network checks and installs: a folder, packages or an image"
SECTION = "ship"
HOST = "host"
PROMPT = "What can you do?"


def forms() -> tuple[str, ...]:
    from tinsmith.airgap.forms import NAMES

    return NAMES


PARAMETERS = [
    argument(
        "file",
        "FILE",
        File(".tin", ".toml", path=True),
        help="a .tin; or a recipe, for a site that trains without a network",
    ),
    option(
        "--target",
        Device(host=True),
        default=HOST,
        metavar="T",
        help="the device, as `tinsmith targets` lists it (default: host, a machine like this one)",
    ),
    option(
        "--out",
        Folder(out=True),
        required=True,
        metavar="DIR",
        help="the folder; an archive is DIR.tar or DIR.zip",
    ),
    option(
        "--as",
        Word(forms),
        default="tar",
        dest="form",
        metavar="FORM",
        help="tar or zip: the folder and an archive of it; dir: the folder alone; deb: a repository for apt; "
        "rpm: packages; oci: an image for containers (default: tar)",
    ),
    option(
        "--runtime",
        Folder(),
        metavar="DIR",
        help="what runs FILE there, where it is built already; for a recipe, the wheels to install",
    ),
    flag("--serve", help="with what `tinsmith serve` needs, a unit of systemd and a container file"),
    option(
        "--key", File(".key"), metavar="SECRET", help="the secret key that signed FILE; signs the folder too"
    ),
    option(
        "--gpg-key",
        metavar="ID",
        help="the key of gpg that signs what --as deb or rpm makes; its signatures bear SOURCE_DATE_EPOCH, or "
        "the second in which the key was made",
    ),
    flag("--unsigned", help="sign nothing: anybody could have made it"),
    option(
        "--prompt", default=PROMPT, metavar="T", help=f"what the installed model is asked (default: {PROMPT})"
    ),
]


def run(args: Args) -> int:
    from tinsmith import airgap
    from tinsmith.airgap import openpgp
    from tinsmith.cli.sign import secret_key
    from tinsmith.system import progress

    _check(args)
    signer = openpgp.find(args.gpg_key) if args.gpg_key else None
    key = None if args.unsigned else secret_key(args.key)
    display = progress.display()
    if args.file.suffix == ".toml":
        from tinsmith.pipeline import offline

        made = offline.pack(args.file, args.out, key, display, args.runtime, args.form)
    else:
        made = airgap.pack(
            args.file,
            args.target,
            args.out,
            args.prompt,
            key,
            display,
            args.runtime,
            args.serve,
            args.form,
            signer,
        )
    print(*made, sep="\n")
    return 0


def _check(args: Args) -> None:
    from tinsmith.airgap.forms import NAMES, PACKAGED, SIGNED

    if args.file.suffix not in (".tin", ".toml"):
        raise InputError(f"{args.file}: give a .tin, which `tinsmith build` makes of a model, or a recipe")
    if args.form not in NAMES:
        raise InputError(f"--as {args.form}: no such form; there are {', '.join(NAMES)}")
    trains = args.file.suffix == ".toml"
    if trains and (args.form in PACKAGED or args.serve or args.target != HOST):
        raise InputError(
            "a recipe is packed as dir, tar or zip, for machines like this one; leave the rest out"
        )
    if args.serve and args.form in PACKAGED:
        raise InputError(f"--serve goes with dir, tar or zip; --as {args.form} has no server")
    if not args.prompt.strip() or not args.prompt.isprintable():
        raise InputError(f"--prompt {args.prompt!r}: give one line of text")
    if (args.key is None) != args.unsigned:
        raise InputError(
            "give --key SECRET, which signs the folder (tinsmith sign --generate NAME makes one), or --unsigned"
        )
    if args.gpg_key and (args.unsigned or args.form not in SIGNED):
        raise InputError("--gpg-key signs what --as deb or rpm makes, and with --key alone; leave it out")
    if args.form in SIGNED and not args.gpg_key and not args.unsigned:
        raise InputError(
            f"--as {args.form}: give --gpg-key ID, which signs for apt and rpm (gpg --list-secret-keys lists "
            "them), or --unsigned"
        )
