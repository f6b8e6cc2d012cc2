"""tinsmith pack: a .tin or a recipe, with all that an offline machine needs."""

from __future__ import annotations

from tinsmith.cli._command import Args, argument, flag, one_of, option, refuse
from tinsmith.cli._types import Device, File, Folder, Word
from tinsmith.system import progress

HELP = "pack a .tin or a recipe with all that an offline machine needs to check and install it"
SECTION = "ship"
HOST = "host"
PROMPT = "What can you do?"
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
        Word("tinsmith.airgap.forms:NAMES"),
        default="tar",
        dest="form",
        metavar="FORM",
        help="tar or zip: a folder and its archive; dir: a folder; deb: an apt repository; rpm: packages; "
        "oci: a container image",
    ),
    option("--runtime", Folder(), help="built runtime of the device; for a recipe, the wheels to install"),
    flag("--serve", help="include the server, a systemd unit and a container file"),
    *one_of(
        option("--key", File(".key"), help="the secret key that signed FILE; signs the folder too"),
        flag("--unsigned", help="do not sign"),
        required=True,
    ),
    option(
        "--gpg-key",
        needs="--key",
        metavar="ID",
        help="gpg key that signs --as deb or rpm (time: SOURCE_DATE_EPOCH, or the key's)",
    ),
    option("--prompt", default=PROMPT, help="prompt that tests the installed model"),
]


def run(args: Args) -> int:
    from tinsmith import airgap
    from tinsmith.airgap import openpgp
    from tinsmith.cli.sign import secret_key

    _check(args)
    signer = openpgp.find(args.gpg_key) if args.gpg_key else None
    key = None if args.unsigned else secret_key(args.key)
    display, runtime, form = progress.display(), args.runtime, args.form
    if args.file.suffix == ".toml":
        from tinsmith.pipeline import offline

        made = offline.pack(args.file, args.out, key, display, runtime, form)
    else:
        place = args.target, args.out, args.prompt
        made = airgap.pack(args.file, *place, key, display, runtime, args.serve, form, signer)
    print(*made, sep="\n")
    return 0


def _check(args: Args) -> None:
    """Raises InputError for options that exclude or need each other."""
    from tinsmith.airgap.forms import NAMES, PACKAGED, SIGNED

    form, is_recipe = args.form, args.file.suffix == ".toml"
    refuse(
        (
            args.file.suffix not in (".tin", ".toml"),
            f"{args.file}: give a .tin (tinsmith build makes one) or a recipe",
        ),
        (form not in NAMES, f"--as {form}: unknown form; give one of {', '.join(NAMES)}"),
        (
            is_recipe and (form in PACKAGED or args.serve or args.target != HOST),
            "a recipe is packed as dir, tar or zip for machines like this one; leave out --target and --serve",
        ),
        (
            args.serve and form in PACKAGED,
            f"--as {form} has no server; give --as dir, tar or zip, or leave out --serve",
        ),
        (
            not args.prompt.strip() or not args.prompt.isprintable(),
            f"--prompt {args.prompt!r}: give one line of text",
        ),
        (args.gpg_key and form not in SIGNED, "--gpg-key is for --as deb and rpm; leave it out"),
        (
            form in SIGNED and not args.gpg_key and not args.unsigned,
            f"--as {form}: give --gpg-key ID, to sign for apt and rpm (see gpg -K), or --unsigned",
        ),
    )
