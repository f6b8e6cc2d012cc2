"""Signatures of the site's own OpenPGP key, which apt and rpm ask for, made by the site's gpg.

They bear SOURCE_DATE_EPOCH or, without it, the second in which the key was made: so the same bytes get the same
signature, as RSA and Ed25519 give it.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass

from tinsmith.airgap import tar
from tinsmith.errors import InputError

RSA = "1"  # of the kinds of keys that OpenPGP numbers


@dataclass(frozen=True)
class Signer:
    """fingerprint: of the primary key, in hexadecimal; owner: such as "Site <keys@site.example>"; made: when
    the latest of its keys that sign was, in seconds since 1970; is_rsa: whether that one is of RSA."""

    fingerprint: str
    owner: str
    made: int
    is_rsa: bool

    @property
    def date(self) -> int:
        """Of its signatures. Raises InputError where that is before the key."""
        date = tar.epoch() if os.environ.get("SOURCE_DATE_EPOCH") else self.made
        if date < self.made:
            raise InputError(
                f"SOURCE_DATE_EPOCH={date}: is before the key of {self.owner}, made in {self.made}"
            )
        return date

    def clear(self, text: bytes) -> bytes:
        """The text with its signature around it, as InRelease has it."""
        return self._sign("--clearsign", data=text)

    def detached(self, data: bytes, *options: str) -> bytes:
        return self._sign(*options, "--detach-sign", data=data)

    def _sign(self, *how: str, data: bytes) -> bytes:
        when = ["--faked-system-time", f"{self.date}!"]
        return _gpg("--digest-algo", "SHA512", *when, "--local-user", self.fingerprint, *how, data=data)

    def public(self) -> bytes:
        """The key as a file that apt's Signed-By takes."""
        return _gpg("--export-options", "export-minimal", "--export", self.fingerprint)

    def armored(self) -> bytes:
        """As a file that `rpm --import` takes."""
        return _gpg("--armor", "--export-options", "export-minimal", "--export", self.fingerprint)


def find(name: str) -> Signer:
    """The secret key that gpg has by that name: a fingerprint, number or part of its owner. Raises InputError
    where there is none, or more than one."""
    listed = _gpg("--with-colons", "--list-secret-keys", "--", name).decode("utf-8", "replace")
    rows = [line.split(":") for line in listed.splitlines()]
    if (count := sum(row[0] == "sec" for row in rows)) != 1:
        raise InputError(f"--gpg-key {name}: {count} secret keys have that name; give a fingerprint")
    signing = [row for row in rows if row[0] in ("sec", "ssb") and "s" in row[11] and row[1] not in "re"]
    if not signing:
        raise InputError(f"--gpg-key {name}: none of its keys may sign, or all are over; give another")
    last = max(signing, key=lambda row: int(row[5]))
    fingerprint = next(row[9] for row in rows if row[0] == "fpr")
    owner = next((row[9] for row in rows if row[0] == "uid"), fingerprint)
    return Signer(fingerprint, owner.replace("\\x3a", ":"), int(last[5]), last[3] == RSA)


def spaced(fingerprint: str) -> str:
    """As people read it out."""
    return " ".join(fingerprint[at : at + 4] for at in range(0, len(fingerprint), 4))


def _gpg(*arguments: str, data: bytes | None = None) -> bytes:
    try:
        done = subprocess.run(["gpg", "--batch", "--yes", *arguments], input=data, capture_output=True)
    except FileNotFoundError:
        raise InputError("gpg is not installed, which signs for apt and rpm; install gnupg") from None
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["it ended without a word"]
        raise InputError(f"gpg: {lines[-1].removeprefix('gpg: ')}")
    return done.stdout
