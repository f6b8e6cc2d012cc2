"""tinsmith pack: a .tin or a recipe, with all that an offline machine needs."""

from __future__ import annotations

from tinsmith.cli._command import Args, argument, flag, option
from tinsmith.cli._types import Device, File, Folder, Word
from tinsmith.errors import InputError

HELP = "pack a .tin or a recipe with all that an offline machine needs to check and install it"
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
        help="a .tin; or a recipe, to train on an offline site",
    ),
    option("--target", Device(host=True), default=HOST, help="device, or host: a machine like this one"),
    option("--out", Folder(out=True), required=True, help="the folder; an archive is DIR.tar or DIR.zip"),
    option(
        "--as",
        Word(forms),
        default="tar",
        dest="form",
        metavar="FORM",
        help="tar or zip: a folder and its archive; dir: a folder; deb: an apt repository; rpm: packages; "
        "oci: a container image",
    ),
    option("--runtime", Folder(), help="built runtime of the device; for a recipe, the wheels to install"),
    flag("--serve", help="include the server, a systemd unit and a container file"),
    option("--key", File(".key"), help="the secret key that signed FILE; signs the folder too"),
    option(
        "--gpg-key",
        metavar="ID",
        help="gpg key that signs --as deb or rpm (time: SOURCE_DATE_EPOCH, or the key's)",
    ),
    flag("--unsigned", help="do not sign"),
    option("--prompt", default=PROMPT, help="prompt that tests the installed model"),
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
        raise InputError(f"{args.file}: give a .tin (tinsmith build makes one) or a recipe")
    if args.form not in NAMES:
        raise InputError(f"--as {args.form}: unknown form; give one of {', '.join(NAMES)}")
    trains = args.file.suffix == ".toml"
    if trains and (args.form in PACKAGED or args.serve or args.target != HOST):
        raise InputError(
            "a recipe is packed as dir, tar or zip for machines like this one; leave out --target and --serve"
        )
    if args.serve and args.form in PACKAGED:
        raise InputError(f"--as {args.form} has no server; give --as dir, tar or zip, or leave out --serve")
    if not args.prompt.strip() or not args.prompt.isprintable():
        raise InputError(f"--prompt {args.prompt!r}: give one line of text")
    if (args.key is None) != args.unsigned:
        raise InputError(
            "give either --key, to sign the folder (tinsmith sign --generate NAME makes a key), or --unsigned"
        )
    if args.gpg_key and (args.unsigned or args.form not in SIGNED):
        raise InputError("--gpg-key is for --as deb and rpm, with --key; leave it out")
    if args.form in SIGNED and not args.gpg_key and not args.unsigned:
        raise InputError(
            f"--as {args.form}: give --gpg-key ID, to sign for apt and rpm (see gpg --list-secret-keys), "
            "or --unsigned"
        )
