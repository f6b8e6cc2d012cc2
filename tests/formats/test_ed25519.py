"""Ed25519 and its digests in the C core, against RFC 8032, RFC 7693, hashlib and libsodium."""

from __future__ import annotations

import ctypes
import ctypes.util
import hashlib
import random
from base64 import b64decode, b64encode

import pytest

from tinsmith import _core
from tinsmith.errors import RuntimeFault
from tinsmith.formats.minisign import SecretKey

ORDER = 2**252 + 27742317777372353535851937790883648493
PRIME = 2**255 - 19
KEY = SecretKey(b"tinsmith", bytes(range(32)))

# RFC 8032, 7.1: seed, public key, message, signature.
RFC = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595b"
        "be24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb430"
        "2aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716e"
        "d28dc027beceea1ec40a",
    ),
    (
        "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        hashlib.sha512(b"abc").hexdigest(),
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138a"
        "c17ad9bef1177331a704",
    ),
]


def raw(key: bytes, message: bytes, signature: bytes) -> bool:
    """Does the C core take this signature of a message, as minisign's legacy kind has it?

    Its trusted comment's signature is checked after it, so a false one is reported as the comment's.
    """
    number = b"\0" * 8
    public = b64encode(b"Ed" + number + key)
    text = b"untrusted comment: x\n" + b64encode(b"Ed" + number + signature) + b"\ntrusted comment: x\n"
    try:
        _core.minisign_verify(message, text + b64encode(bytes(64)), public)
    except RuntimeFault as fault:
        assert fault.status == "TIN_ERR_SIGNATURE"
        return "trusted comment" in str(fault)
    raise AssertionError("a signature of zeros was taken for the comment's")


@pytest.mark.parametrize(("seed", "public", "message", "signature"), RFC)
def test_vectors_of_rfc_8032(seed: str, public: str, message: str, signature: str) -> None:
    secret, key, text, expected = map(bytes.fromhex, (seed, public, message, signature))
    assert _core.ed25519_public(secret) == key
    assert _core.ed25519_sign(secret, text) == expected
    assert raw(key, text, expected)
    for at in range(0, 64, 7):
        assert not raw(key, text, expected[:at] + bytes([expected[at] ^ 4]) + expected[at + 1 :])
    assert not raw(key, text + b"x", expected)


def encoded(y: int, odd: int = 0) -> bytes:
    return (y | odd << 255).to_bytes(32, "little")


def small_order() -> list[bytes]:
    """The encodings of points of order 1, 2, 4 and 8, also those above the prime."""
    d = -121665 * pow(121666, -1, PRIME) % PRIME
    ordinates = {0, 1, PRIME - 1}
    for sign in (1, -1):
        # Order 8 has x^2 = -y^2; in the curve's -x^2 + y^2 = 1 + d x^2 y^2: d y^4 + 2 y^2 - 1 = 0.
        square = (-1 + sign * _root(1 + d)) * pow(d, -1, PRIME) % PRIME
        y = _root(square)
        if y is not None:
            ordinates |= {y, PRIME - y}
    points = [encoded(y, odd) for y in sorted(ordinates) for odd in (0, 1)]
    return points + [encoded(y + PRIME, odd) for y in (0, 1) for odd in (0, 1)]


def _root(square: int) -> int | None:
    x = pow(square, (PRIME + 3) // 8, PRIME)
    if x * x % PRIME != square % PRIME:
        x = x * pow(2, (PRIME - 1) // 4, PRIME) % PRIME
    return x if x * x % PRIME == square % PRIME else None


def sodium() -> ctypes.CDLL:
    name = ctypes.util.find_library("sodium")
    if name is None:
        pytest.skip("libsodium is not installed")
    return ctypes.CDLL(name)


def test_only_one_form_of_a_signature_is_taken() -> None:
    """S and S + order are the same scalar; keys and points of small order sign what nobody wrote."""
    public, message = _core.ed25519_public(KEY.seed), b"message"
    signature = _core.ed25519_sign(KEY.seed, message)
    scalar = int.from_bytes(signature[32:], "little")
    assert raw(public, message, signature)
    for factor in (1, 2, 8):
        more = scalar + factor * ORDER
        if more < 1 << 256:
            assert not raw(public, message, signature[:32] + more.to_bytes(32, "little"))
    points = small_order()
    assert len(points) >= 14
    for point in points:
        for one in (encoded(1), *points[:4]):
            assert not raw(point, message, one + bytes(32))
    # A key above the prime, and bytes that are no point at all.
    for key in (encoded(PRIME + 3), encoded(2), b"\xff" * 32, bytes(31) + b"\x80"):
        assert not raw(key, message, signature)


def test_libsodium_agrees_on_random_and_broken_signatures() -> None:
    library, rng = sodium(), random.Random(7)
    points = small_order()
    taken = 0
    for k in range(100):
        seed, message = rng.randbytes(32), rng.randbytes(k)
        public, signature = bytearray(_core.ed25519_public(seed)), bytearray(_core.ed25519_sign(seed, message))
        kind = k % 5
        if kind == 1:
            signature[rng.randrange(64)] ^= 1 << rng.randrange(8)
        elif kind == 2:
            public[rng.randrange(32)] ^= 1 << rng.randrange(8)
        elif kind == 3:
            public[:] = rng.choice(points)
            signature[:] = rng.choice(points) + bytes(32)
        elif kind == 4:
            signature[:32] = rng.choice(points)
        theirs = library.crypto_sign_verify_detached(
            bytes(signature), message, ctypes.c_ulonglong(len(message)), bytes(public)
        )
        assert raw(bytes(public), message, bytes(signature)) == (theirs == 0), (kind, k)
        taken += theirs == 0
    assert taken == 20


@pytest.mark.parametrize("size", [0, 1, 63, 111, 112, 127, 128, 129, 255, 256, 257, 1000])
def test_digests_are_those_of_hashlib(size: int) -> None:
    """BLAKE2b by a signature over its digest; SHA-512 by signatures over messages of each length, above."""
    message = random.Random(size).randbytes(size)
    text = KEY.sign(message, "comment")
    _core.minisign_verify(message, text.encode(), KEY.public.encode())
    number, signature = KEY.number, _core.ed25519_sign(KEY.seed, message)
    assert raw(_core.ed25519_public(KEY.seed), message, signature)
    assert number in b64decode(text.splitlines()[1])


def test_blake2b_of_rfc_7693() -> None:
    """The signature of "abc" is that of the digest in the RFC's appendix A."""
    digest = bytes.fromhex(
        "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d17d87c5392aab792dc252d5de4533cc9518d38aa8dbf1"
        "925ab92386edd4009923"
    )
    signed = b64decode(KEY.sign(b"abc", "c").splitlines()[1])
    assert signed[10:] == _core.ed25519_sign(KEY.seed, digest)
