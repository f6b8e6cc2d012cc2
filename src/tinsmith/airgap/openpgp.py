"""OpenPGP signatures for apt and rpm, made by gpg with the site's own key.

Their date is SOURCE_DATE_EPOCH or, without it, the creation time of the key: with RSA and Ed25519, the same
bytes get the same signature.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass

from tinsmith.airgap import tar
from tinsmith.errors import InputError

RSA = "1"  # OpenPGP's number of the algorithm


@dataclass(frozen=True)
class Signer:
    """fingerprint: the primary key's, in hexadecimal. owner: such as "Site <keys@site.example>". made: creation
    time of its newest signing key, in seconds since 1970. is_rsa: whether that key is an RSA key."""

    fingerprint: str
    owner: str
    made: int
    is_rsa: bool

    @property
    def date(self) -> int:
        """The date of its signatures. Raises InputError for a date before the key's creation."""
        date = tar.epoch() if os.environ.get("SOURCE_DATE_EPOCH") else self.made
        if date < self.made:
            raise InputError(f"SOURCE_DATE_EPOCH={date}: before the key of {self.owner}, made in {self.made}")
        return date

    def sign(self, data: bytes, *options: str) -> bytes:
        """options: gpg's; "--clearsign" wraps the data in its signature, "--detach-sign" gives that alone."""
        when = ["--faked-system-time", f"{self.date}!"]
        return _gpg("--digest-algo", "SHA512", *when, "--local-user", self.fingerprint, *options, data=data)

    def public(self, *options: str) -> bytes:
        """The public key. options: gpg's, such as "--armor" for `rpm --import`."""
        return _gpg(*options, "--export-options", "export-minimal", "--export", self.fingerprint)


def find(name: str) -> Signer:
    """gpg's secret key of that name: a fingerprint, key ID or part of the owner. Raises InputError unless
    exactly one matches."""
    listed = _gpg("--with-colons", "--list-secret-keys", "--", name).decode("utf-8", "replace")
    rows = [line.split(":") for line in listed.splitlines()]
    if (count := sum(row[0] == "sec" for row in rows)) != 1:
        raise InputError(f"--gpg-key {name}: {count} secret keys have that name; give a fingerprint")
    signing = [row for row in rows if row[0] in ("sec", "ssb") and "s" in row[11] and row[1] not in "re"]
    if not signing:
        raise InputError(f"--gpg-key {name}: it has no valid signing key, or all have expired; give another")
    last = max(signing, key=lambda row: int(row[5]))
    fingerprint = next(row[9] for row in rows if row[0] == "fpr")
    owner = next((row[9] for row in rows if row[0] == "uid"), fingerprint)
    return Signer(fingerprint, owner.replace("\\x3a", ":"), int(last[5]), last[3] == RSA)


def _gpg(*arguments: str, data: bytes | None = None) -> bytes:
    try:
        done = subprocess.run(["gpg", "--batch", "--yes", *arguments], input=data, capture_output=True)
    except FileNotFoundError:
        raise InputError("gpg is not installed; apt and rpm signatures need it: install gnupg") from None
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or [f"status {done.returncode}"]
        raise InputError(f"gpg: {lines[-1].removeprefix('gpg: ')}")
    return done.stdout
