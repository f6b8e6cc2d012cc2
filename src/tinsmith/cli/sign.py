"""tinsmith sign: a signature beside a .tin, or a key pair."""

from __future__ import annotations

import getpass
import sys
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tinsmith.cli._command import Args, argument, flag, option, refuse
from tinsmith.cli._types import File, Text, Whole
from tinsmith.errors import InputError

if TYPE_CHECKING:
    from tinsmith.formats.minisign import SecretKey

HELP = "sign a .tin with a minisign key, or make a key pair"
SECTION = "ship"
PARAMETERS = [
    argument("file", "FILE", File(".tin"), required=False, help="a .tin; the signature is FILE.minisig"),
    option("--key", File(".key"), help="secret key, by --generate or minisign -G"),
    option("--comment", Text(), help="signed comment (default: the file's name)"),
    option("--version", Whole(), help="version of the file, for verify --min-version"),
    option("--not-after", metavar="DATE", help="last day on which the signature is valid, such as 2027-01-31"),
    option(
        "--generate",
        excludes="FILE --key --comment --version --not-after",
        metavar="NAME",
        help="write NAME.key (secret) and NAME.pub",
    ),
    flag("--no-password", needs="--generate", help="leave the secret key unencrypted"),
]


def run(args: Args) -> int:
    if args.generate is not None:
        return _generate(args)
    refuse(
        (not args.file or not args.key, "give FILE and --key SECRET to sign, or --generate NAME to make keys")
    )
    from tinsmith.formats import minisign
    from tinsmith.system.files import check_begins, write_text

    out = Path(f"{args.file}{minisign.SUFFIX}")
    check_begins(out, b"untrusted comment:")
    not_after = read_day("--not-after", args.not_after)
    key = secret_key(args.key)
    write_text(out, minisign.sign(args.file, key, args.comment, version=args.version, not_after=not_after))
    print(out)
    return 0


def read_day(option: str, given: str | None) -> date | None:
    try:
        return None if given is None else datetime.strptime(given, "%Y-%m-%d").date()
    except ValueError:
        raise InputError(f"{option} {given}: give a day such as 2027-01-31") from None


def secret_key(path: str) -> SecretKey:
    """Reads a key; asks for the password of an encrypted one."""
    from tinsmith.formats import minisign

    password = _ask("password: ") if minisign.is_encrypted(path) else None
    return minisign.read_secret(path, password)


def _generate(args: Args) -> int:
    from tinsmith.formats import minisign

    secret, public = Path(f"{args.generate}.key"), Path(f"{args.generate}.pub")
    password = None
    if not args.no_password:
        password = _ask("password: ")
        if not password:
            raise InputError("the password is empty; type one, or give --no-password")
        if sys.stdin.isatty() and _ask("again: ") != password:
            raise InputError("the passwords differ; no key was written")
    key = minisign.generate()
    minisign.write_keys(key, secret, public, password)
    print(secret)
    print(public)
    print(f"public key: {key.public}", file=sys.stderr)
    return 0


def _ask(prompt: str) -> str:
    """A password from the terminal, or else a line of stdin."""
    if sys.stdin.isatty():
        return getpass.getpass(prompt)
    return sys.stdin.readline().rstrip("\r\n")
