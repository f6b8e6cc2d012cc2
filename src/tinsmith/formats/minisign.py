"""minisign's keys and signatures (jedisct1.github.io/minisign): Ed25519 over a file's BLAKE2b digest.

A tin's signature is over its manifest, and stands beside it as `<tin>.minisig`. Anyone checks it with minisign:

    unzip -p home.tin manifest.json > manifest.json
    minisign -Vm manifest.json -x home.tin.minisig -p home.pub

The manifest has a digest of everything else in the file. A trusted comment
`tinsmith version=7 not-after=2027-01-31 …` states the version and the last valid day. The C core verifies, here
as on a device, and signs in constant time. hashlib is imported where it is used.
"""

from __future__ import annotations

import os
import struct
from base64 import b64decode, b64encode
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from tinsmith import _core
from tinsmith.errors import InputError, RuntimeFault, SignatureError
from tinsmith.formats.tin import MANIFEST, Tin
from tinsmith.spec import Buffer
from tinsmith.system.files import atomic_write, map_file

SUFFIX = ".minisig"
# The cost of minisign -G, libsodium's "sensitive": 2^20 blocks of 8 * 128 bytes, a gigabyte, for some seconds.
OPERATIONS, MEMORY = 1 << 25, 1 << 30

_UNTRUSTED, _TRUSTED = "untrusted comment: ", "trusted comment: "
# Algorithms of signature, key derivation and checksum; salt; scrypt's limits; number, key and checksum.
_SECRET = struct.Struct("<2s2s2s32sQQ104s")
_OPENED = struct.Struct("<8s32s32s32s")
_PUBLIC = struct.Struct("<2s8s32s")
_SIGNED = struct.Struct("<2s8s64s")


@dataclass(frozen=True)
class SecretKey:
    """number: 8 bytes that identify the key. seed: the 32 secret bytes."""

    number: bytes
    seed: bytes

    def __repr__(self) -> str:
        return f"SecretKey({identity(self.number)})"

    @property
    def public(self) -> str:
        """The public key as minisign writes it."""
        return _base64(_PUBLIC.pack(b"Ed", self.number, _core.ed25519_public(self.seed)))

    def sign(self, message: Buffer, trusted: str, *, untrusted: str = "signature by tinsmith") -> str:
        """The text of a .minisig file, which signs the message's BLAKE2b digest and the trusted comment."""
        import hashlib

        for comment in (trusted, untrusted):
            if not comment.replace("\t", " ").isprintable():
                raise InputError(f"the comment {comment!r} is not one line of text; leave out its breaks")
        signature = _core.ed25519_sign(self.seed, hashlib.blake2b(message).digest())
        whole = _core.ed25519_sign(self.seed, signature + trusted.encode())
        signed = _base64(_SIGNED.pack(b"ED", self.number, signature))
        return f"{_UNTRUSTED}{untrusted}\n{signed}\n{_TRUSTED}{trusted}\n{_base64(whole)}\n"


def identity(number: bytes) -> str:
    """A key's number as minisign prints it."""
    return number[::-1].hex().upper()


def generate() -> SecretKey:
    return SecretKey(os.urandom(8), os.urandom(32))


def write_keys(
    key: SecretKey, secret: Path, public: Path, password: str | None, cost: int = OPERATIONS
) -> None:
    """Writes both files in minisign's format; only the owner can read the secret one.

    password: encrypts the secret key; None leaves it plain. cost: of trying a password: scrypt's operations
    limit, with 32 bytes of memory for each. Raises InputError for an existing file.
    """
    for path in (secret, public):
        if os.path.lexists(path):
            raise InputError(f"{path}: is there already; a key that is lost signs nothing more: move it first")
    name = identity(key.number)
    kind = "encrypted" if password else "unencrypted"
    text = f"{_UNTRUSTED}minisign {kind} secret key {name}\n{_encode_secret(key, password, cost)}\n"
    try:
        with atomic_write(secret, private=True) as file:
            file.write(text.encode())
        with atomic_write(public) as file:
            file.write(f"{_UNTRUSTED}minisign public key {name}\n{key.public}\n".encode())
    except BaseException:  # half a pair is useless, and blocks the next one
        for path in (secret, public):
            path.unlink(missing_ok=True)
        raise


def _encode_secret(key: SecretKey, password: str | None, cost: int) -> str:
    plain = key.number + key.seed + _core.ed25519_public(key.seed)
    plain += _checksum(plain)
    if password is None:
        return _base64(_SECRET.pack(b"Ed", b"\0\0", b"B2", bytes(32), 0, 0, plain))
    salt = os.urandom(32)
    hidden = _mask(plain, password, salt, cost, 32 * cost)
    return _base64(_SECRET.pack(b"Ed", b"Sc", b"B2", salt, cost, 32 * cost, hidden))


def is_encrypted(path: str | Path) -> bool:
    return _read_secret(Path(path))[1] == b"Sc"


def read_secret(path: str | Path, password: str | None = None) -> SecretKey:
    """A secret key of `write_keys` or `minisign -G`. Raises InputError for another file or password."""
    path = Path(path)
    kind, derivation, check, salt, operations, memory, body = _read_secret(path)
    if kind != b"Ed" or check != b"B2" or derivation not in (b"Sc", b"\0\0"):
        raise InputError(f"{path}: is no key of a kind that minisign makes; make one: tinsmith sign --generate")
    if derivation == b"Sc":
        if password is None:
            raise InputError(f"{path}: is encrypted; its password is needed")
        if memory > 2 * MEMORY or operations > 4 * OPERATIONS:
            raise InputError(f"{path}: asks for {memory:,} bytes of memory; minisign makes no such key")
        body = _mask(body, password, salt, operations, memory)
    number, seed, point, checksum = _OPENED.unpack(body)
    # minisign leaves the checksum of a plain key zero.
    sound = checksum == _checksum(body[:-32]) or (derivation != b"Sc" and not any(checksum))
    if not sound or point != _core.ed25519_public(seed):
        advice = "the password is wrong" if derivation == b"Sc" else "the file is damaged"
        raise InputError(f"{path}: is no key as it stands: {advice}")
    return SecretKey(number, seed)


def _read_secret(path: Path) -> tuple[bytes, bytes, bytes, bytes, int, int, bytes]:
    lines = str(map_file(path), "latin-1").splitlines()
    with suppress(ValueError, struct.error):
        if len(lines) == 2 and lines[0].startswith("untrusted comment:"):
            fields: tuple[bytes, bytes, bytes, bytes, int, int, bytes]
            fields = _SECRET.unpack(b64decode(lines[1], validate=True))
            return fields
    raise InputError(f"{path}: is no secret key of minisign; make one with: tinsmith sign --generate NAME")


def _checksum(plain: bytes) -> bytes:
    """The checksum of the signature algorithm, the number and the key."""
    import hashlib

    return hashlib.blake2b(b"Ed" + plain, digest_size=32).digest()


def _mask(body: bytes, password: str, salt: bytes, operations: int, memory: int) -> bytes:
    """body xor scrypt's stream, with libsodium's parameters for these limits."""
    import hashlib

    operations = max(operations, 32768)
    if operations < memory // 32:
        n, p = _power_of_two(operations // 32), 1
    else:
        n = _power_of_two(memory // 1024)
        p = min(operations // 4 // n, 0x3FFFFFFF) // 8
    try:
        stream = hashlib.scrypt(
            password.encode(),
            salt=salt,
            n=n,
            r=8,
            p=max(p, 1),
            maxmem=min(1024 * n + (64 << 20), (1 << 31) - 1),
            dklen=104,
        )
    except (MemoryError, ValueError) as error:
        raise InputError(f"the password needs {1024 * n:,} bytes of memory to be tried: {error}") from None
    return bytes(a ^ b for a, b in zip(body, stream, strict=True))


def _power_of_two(most: int) -> int:
    """The largest power of two up to `most`, at least 2."""
    return 1 << max(1, most.bit_length() - 1)


def _base64(data: bytes) -> str:
    return b64encode(data).decode("ascii")


def read_public(key: str | Path) -> str:
    """The text of a public key. key: the line RW… or a file. Raises InputError for neither."""
    if isinstance(key, str) and key.startswith("RW") and len(key) == 56:
        return key
    if isinstance(key, str) and not Path(key).is_file():
        raise InputError(f"{key}: neither a public key of minisign (RW and 54 characters) nor a file of one")
    return str(map_file(key), "latin-1")


def freshness(min_version: int | None, now: date | None) -> tuple[int, int]:
    """As tin_freshness: a signature's least version, and the last second (UTC) of the day on which its
    not-after must not be over; `now` defaults to today. Without arguments zeros, which require nothing."""
    if min_version is None and now is None:
        return 0, 0
    least, day = min_version or 0, now or datetime.now(UTC).date()
    check_version(least, least=0)
    return least, (day.toordinal() - date(1970, 1, 1).toordinal() + 1) * 86400 - 1


def check_version(version: int, least: int = 1) -> None:
    if not least <= version < 1 << 32:
        raise InputError(f"version {version}: give a number from {least} to 4294967295")


def require(
    path: str | Path,
    tin: Tin | None,
    key: str | Path,
    signature: str | Path | None = None,
    required: tuple[int, int] = (0, 0),
) -> str:
    """Verifies that the owner of `key` signed the file at `path`; returns the signature's trusted comment.

    tin: the open tin, whose manifest is signed; None for any other file, which is signed as a whole. signature:
    its file; by default the one beside `path`. required: from `freshness`. Raises SignatureError for a missing,
    wrong or stale signature, FormatError for a tin whose bytes do not match the signed manifest.
    """
    beside = Path(signature) if signature is not None else Path(f"{path}{SUFFIX}")
    public = read_public(key)
    if not beside.is_file():
        raise SignatureError(f"{path}: is not signed: there is no {beside}; sign it, or give no key")
    text = bytes(map_file(beside))
    message = map_file(path) if tin is None else tin.entry(MANIFEST)
    try:
        _core.minisign_verify(message, text, public.encode("latin-1"), *required)
    except RuntimeFault as fault:
        if fault.status == "TIN_ERR_ARGUMENT":
            raise InputError(f"{key}: {fault}") from None
        raise SignatureError(f"{path}: {beside.name}: {fault}") from None
    if tin is not None:
        tin.verify()
    return text.decode("utf-8", "replace").splitlines()[2].removeprefix(_TRUSTED)


def sign(
    path: str | Path,
    key: SecretKey,
    comment: str | None = None,
    *,
    version: int | None = None,
    not_after: date | None = None,
) -> str:
    """The text of a signature over the manifest of the tin at `path`, after verifying the tin.

    comment: the trusted comment; by default the file's name. not_after: the last valid day. version: of the
    file. The same arguments give the same bytes.
    """
    tin = Tin(path)
    tin.verify()
    trusted = _trusted(comment if comment is not None else f"file:{Path(path).name}", version, not_after)
    return key.sign(
        tin.entry(MANIFEST), trusted, untrusted=f"signature by tinsmith with key {identity(key.number)}"
    )


def _trusted(comment: str, version: int | None, not_after: date | None) -> str:
    if any(word.startswith(("version=", "not-after=")) for word in comment.split(" ")):
        raise InputError(f"the comment {comment!r}: a version and a not-after are stated by their own options")
    facts = ["tinsmith"]
    if version is not None:
        check_version(version)
        facts.append(f"version={version}")
    if not_after is not None:
        if not_after.year < 1970:
            raise InputError(f"not-after {not_after}: is before 1970; give a day to come")
        facts.append(f"not-after={not_after.isoformat()}")
    return " ".join([*facts, comment]).rstrip() if len(facts) > 1 else comment
