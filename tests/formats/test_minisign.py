"""Keys and signatures against Debian's minisign, both ways, and how new a signature must be."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from base64 import b64decode, b64encode
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from tinsmith import _core
from tinsmith.errors import InputError, RuntimeFault, SignatureError
from tinsmith.formats import minisign
from tinsmith.formats.minisign import SecretKey
from tinsmith.formats.tin import MANIFEST, Tin, write
from tinsmith.system.files import map_file

QUICK = 1 << 15  # scrypt's least, so that tests need no gigabyte
KEY = SecretKey(b"tinsmith", bytes(range(32)))


def needs_minisign() -> str:
    program = shutil.which("minisign")
    if program is None:
        pytest.skip("minisign is not installed")
    return program


@pytest.fixture
def tin(tmp_path: Path) -> Path:
    path = tmp_path / "home.tin"
    write(path, [("program.bin", b"p" * 100), ("weights.bin", b"w" * 5000)], {"name": "home"})
    return path


def test_minisign_takes_ours(tin: Path, tmp_path: Path) -> None:
    """As docs/sealing.md has it: the manifest out of the file, and minisign's own program on that."""
    program = needs_minisign()
    Path(f"{tin}.minisig").write_text(minisign.sign(tin, KEY, "made for the third floor"))
    manifest = tmp_path / "manifest.json"
    manifest.write_bytes(subprocess.run(["unzip", "-p", tin, MANIFEST], capture_output=True, check=True).stdout)
    command = [program, "-Vm", manifest, "-x", f"{tin}.minisig"]
    done = subprocess.run([*command, "-P", KEY.public], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Trusted comment: made for the third floor" in done.stdout
    minisign.write_keys(KEY, tmp_path / "k.key", tmp_path / "k.pub", None)
    assert subprocess.run([*command, "-p", tmp_path / "k.pub"], capture_output=True).returncode == 0
    manifest.write_bytes(manifest.read_bytes() + b" ")
    assert subprocess.run([*command, "-P", KEY.public], capture_output=True).returncode != 0


@pytest.mark.parametrize("password", [None, "open sesame"])
def test_minisign_signs_with_our_keys(tmp_path: Path, password: str | None) -> None:
    program = needs_minisign()
    secret, public = tmp_path / "a.key", tmp_path / "a.pub"
    minisign.write_keys(KEY, secret, public, password, QUICK)
    assert secret.stat().st_mode & 0o777 == 0o600
    assert minisign.read_secret(secret, password) == KEY
    (tmp_path / "m").write_bytes(b"text")
    for legacy in ([], ["-l"]):
        subprocess.run(
            [program, "-Sm", tmp_path / "m", "-s", secret, "-t", "trust", *legacy],
            input=f"{password}\n",
            text=True,
            check=True,
            capture_output=True,
        )
        signature = (tmp_path / "m.minisig").read_bytes()
        _core.minisign_verify(b"text", signature, public.read_bytes())
        _core.minisign_verify(b"text", signature.replace(b"\n", b"\r\n"), public.read_bytes())
        assert b64decode(signature.splitlines()[1])[:2] == (b"Ed" if legacy else b"ED")
        with pytest.raises(RuntimeFault, match="not of this content"):
            _core.minisign_verify(b"texT", signature, public.read_bytes())


def test_we_sign_with_minisigns_keys(tmp_path: Path, tin: Path) -> None:
    program = needs_minisign()
    secret, public = tmp_path / "b.key", tmp_path / "b.pub"
    subprocess.run([program, "-GW", "-p", public, "-s", secret], check=True, capture_output=True)
    key = minisign.read_secret(secret)
    assert key.public in public.read_text()
    assert public.read_text().splitlines()[0].endswith(minisign.identity(key.number))
    Path(f"{tin}.minisig").write_text(minisign.sign(tin, key))
    assert minisign.require(tin, Tin(tin), public) == "file:home.tin"


@pytest.mark.slow
def test_passwords_at_minisigns_own_cost(tmp_path: Path) -> None:
    """A gigabyte and some seconds each."""
    program = needs_minisign()
    secret, public = tmp_path / "c.key", tmp_path / "c.pub"
    subprocess.run(
        [program, "-G", "-p", public, "-s", secret],
        input="pw\npw\n",
        text=True,
        check=True,
        capture_output=True,
    )
    assert minisign.is_encrypted(secret)
    assert minisign.read_secret(secret, "pw").public in public.read_text()
    with pytest.raises(InputError, match="password is wrong"):
        minisign.read_secret(secret, "pW")


def test_a_secret_key_is_never_anybody_elses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its file is its owner's alone whenever there are bytes in it, whatever the umask."""
    modes = set()
    sync = os.fsync

    def seen(descriptor: int) -> None:
        modes.update(
            path.stat().st_mode & 0o777 for path in tmp_path.iterdir() if b"secret" in path.read_bytes()
        )
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", seen)
    chmod = Path.chmod
    monkeypatch.setattr(
        Path, "chmod", lambda path, mode: (modes.add(path.stat().st_mode & 0o777), chmod(path, mode))
    )
    before = os.umask(0o022)
    try:
        minisign.write_keys(KEY, tmp_path / "a.key", tmp_path / "a.pub", None)
    finally:
        os.umask(before)
    assert modes == {0o600}


def test_keys_follow_no_link(tmp_path: Path) -> None:
    (tmp_path / "a.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="a.key: is there already"):
        minisign.write_keys(KEY, tmp_path / "a.key", tmp_path / "a.pub", None)
    assert [path.name for path in tmp_path.iterdir()] == ["a.key"]


def test_wrong_passwords_and_files_that_are_no_keys(tmp_path: Path) -> None:
    secret, public = tmp_path / "d.key", tmp_path / "d.pub"
    minisign.write_keys(KEY, secret, public, "right", QUICK)
    with pytest.raises(InputError, match="is needed"):
        minisign.read_secret(secret)
    with pytest.raises(InputError, match="password is wrong"):
        minisign.read_secret(secret, "wrong")
    with pytest.raises(InputError, match="no secret key"):
        minisign.read_secret(public, "right")
    (tmp_path / "odd.key").write_bytes(secret.read_bytes()[:-9] + b"\xff" + secret.read_bytes()[-8:])
    with pytest.raises(InputError, match="no secret key"):
        minisign.read_secret(tmp_path / "odd.key", "right")
    with pytest.raises(InputError, match="is there already"):
        minisign.write_keys(KEY, secret, public, None)
    with pytest.raises(InputError, match="neither a public key"):
        minisign.read_public("RWabc")
    minisign.write_keys(KEY, tmp_path / "plain.key", tmp_path / "plain.pub", None)
    comment, line = (tmp_path / "plain.key").read_text().splitlines()
    data = b64decode(line)
    assert minisign.read_secret(tmp_path / "plain.key") == KEY
    for checksum, sound in ((bytes(32), True), (bytes(31) + b"\1", False), (b"\1" * 32, False)):
        changed = b64encode(data[:-32] + checksum).decode()
        (tmp_path / "other.key").write_text(f"{comment}\n{changed}\n")
        if sound:
            assert minisign.read_secret(tmp_path / "other.key") == KEY
            continue
        with pytest.raises(InputError, match=r"other.key: is no key as it stands: the file is damaged"):
            minisign.read_secret(tmp_path / "other.key")
    assert "open" not in repr(KEY) and KEY.seed.hex() not in repr(KEY)


def test_a_signature_of_another_key_kind_or_file_is_refused(tin: Path, tmp_path: Path) -> None:
    with pytest.raises(SignatureError, match="is not signed"):
        minisign.require(tin, Tin(tin), KEY.public)
    beside = Path(f"{tin}.minisig")
    beside.write_text(minisign.sign(tin, SecretKey(b"12345678", os.urandom(32))))
    with pytest.raises(SignatureError, match="by the key 3837363534333231, and not by"):
        minisign.require(tin, Tin(tin), KEY.public)
    beside.write_text(minisign.sign(tin, SecretKey(KEY.number, os.urandom(32))))
    with pytest.raises(SignatureError, match="not of this content"):
        minisign.require(tin, Tin(tin), KEY.public)
    good = minisign.sign(tin, KEY, "floor 3")
    for broken, why in [
        (good.replace("floor 3", "floor 4"), "trusted comment is not"),
        (good + "more\n", "damaged"),
        (good.rsplit("\n", 2)[0], "damaged"),
        (good.replace("trusted comment: f", "trusted comment f"), "damaged"),
        ("", "damaged"),
        (good.replace("RU", "RX", 1), "damaged"),
    ]:
        beside.write_text(broken)
        with pytest.raises(SignatureError, match=why):
            minisign.require(tin, Tin(tin), KEY.public)
    beside.write_text(good)
    assert minisign.require(tin, Tin(tin), KEY.public) == "floor 3"
    with pytest.raises(InputError, match="no minisign public key"):
        minisign.require(tin, Tin(tin), beside)
    with pytest.raises(InputError, match="one line"):
        minisign.sign(tin, KEY, "two\nlines")


def _changed(line: str, at: int, byte: int) -> str:
    """A line of base64 with another byte."""
    data = bytearray(b64decode(line))
    data[at] = byte
    return b64encode(data).decode()


def test_only_a_whole_public_key_is_one(tin: Path) -> None:
    signature, line = minisign.sign(tin, KEY).encode(), KEY.public

    def verify(key: str) -> None:
        _core.file_verify(map_file(tin), signature, key)

    for sound in (line, f"{line}\n", f"untrusted comment: of mine\n{line}\n", f"{line}\r\n"):
        verify(sound)
    broken = [
        *(
            "",
            "untrusted comment: of mine",
            f"comment: of mine\n{line}",
            f"{line}\nmore",
            f"{line}\n\n",
            f" {line}",
        ),
        *(line[:-1], f"{line}A", f"{line}AAAA", line[:-4], f"{line[:-1]}=", f"{line[:-2]}=="),
        *(line.replace(line[20], other, 1) for other in "-_*=@[`{\x7f :."),
        *(_changed(line, at, byte) for at, byte in ((0, 0x44), (0, 0x46), (1, 0x44), (1, 0x63), (1, 0x65))),
    ]
    for key in broken:
        with pytest.raises(RuntimeFault, match="no minisign public key"):
            verify(key)


def test_only_a_whole_signature_is_one(tin: Path) -> None:
    good = minisign.sign(tin, KEY)
    comment, line, trusted, last = good.splitlines()
    assert line[-1] == last[-1] == "="

    def verify(*lines: str) -> None:
        _core.file_verify(map_file(tin), "\n".join(lines).encode(), KEY.public)

    verify(comment, line, trusted, last)
    verify(comment, line, trusted, last, "")
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    odd = letters[letters.index(line[-2]) ^ 1]  # bits behind the last byte
    odder = letters[letters.index(last[-3]) ^ 1]
    for lines in (
        (comment, f"{line[:-2]}{odd}=", trusted, last),
        (comment, line, trusted, f"{last[:-3]}{odder}=="),
        (comment, line[:-1], trusted, last),
        (comment, line, trusted, last[:-1]),
        (comment, f"{line[:-1]}A", trusted, last),
        (comment, f"{line[:40]}={line[41:]}", trusted, last),
        (comment, _changed(line, 0, 0x44), trusted, last),
        (comment, _changed(line, 1, 0x65), trusted, last),
        (comment[1:], line, trusted, last),
        (line, trusted, last),
        (comment, trusted, last),
        (comment, line, last),
        (comment, line, trusted),
        (comment, line, trusted, last, "", ""),
    ):
        with pytest.raises(RuntimeFault, match="damaged, or no minisign signature"):
            verify(*lines)


def test_the_same_file_and_key_give_the_same_signature(tin: Path) -> None:
    assert minisign.sign(tin, KEY) == minisign.sign(tin, KEY)


DAY = date(2027, 1, 31)
VECTORS = [  # trusted comment, least version, day; what is said where it is refused
    ("tinsmith version=7 not-after=2027-01-31 file:home.tin", 7, DAY, None),
    ("tinsmith version=7 not-after=2027-01-31", 1, None, None),
    ("tinsmith version=7 not-after=2027-01-31", 0, date(1970, 1, 1), None),
    ("tinsmith version=7 not-after=2027-01-31", 8, None, "of version 7, and 8 is the least"),
    ("tinsmith version=7 not-after=2027-01-31", 0, date(2027, 2, 1), "good until 2027-01-31"),
    ("tinsmith version=7 not-after=2024-02-29", 0, date(2024, 2, 29), None),
    ("tinsmith version=7 not-after=2024-02-29", 0, date(2024, 3, 1), "good until 2024-02-29"),
    ("tinsmith version=7 not-after=9999-12-31", 0, date(9999, 12, 31), None),
    ("tinsmith not-after=2027-01-31 version=4294967295", 4294967295, DAY, None),
    ("tinsmith version=7", 7, date(9999, 12, 31), None),  # without an end
    ("file:home.tin", 0, DAY, None),
    ("file:home.tin", 1, None, "states no version"),
    ("tinsmith", 1, None, "states no version"),
    ("", 1, None, "states no version"),
    ("version=7", 1, None, "states no version"),  # anybody's words
    ("tinsmiths version=7", 1, None, "states no version"),
    ("Tinsmith version=7", 1, None, "states no version"),
    ("x tinsmith version=7", 1, None, "states no version"),
    ("tinsmith my-version=7", 1, None, "states no version"),
    ("tinsmith version=7 version=8", 1, None, "is not one"),
    ("tinsmith version=8 version=7", 1, None, "is not one"),
    ("tinsmith not-after=2027-01-31 not-after=2099-01-31", 0, DAY, "is not one"),
    *[
        (f"tinsmith version={bad}", 1, None, "is not one")
        for bad in (
            "",
            "0",
            "07",
            "+7",
            "-7",
            "7.0",
            "7,",
            "4294967296",
            "99999999999999999999",
            "0x7",
            "seven",
        )
    ],
    *[
        (f"tinsmith version=7 not-after={bad}", 0, DAY, "is not one")
        for bad in (
            "",
            "2027",
            "2027-1-31",
            "2027-02-29",
            "2100-02-29",
            "2027-13-01",
            "2027-00-10",
            "2027-01-00",
        )
    ],
    ("tinsmith not-after=1969-12-31", 0, DAY, "is not one"),
    ("tinsmith not-after=2027-01-32", 0, DAY, "is not one"),
    ("tinsmith not-after=2027-01-31T00:00", 0, DAY, "is not one"),
    ("tinsmith not-after=2027/01/31", 0, DAY, "is not one"),
]


@pytest.mark.parametrize(("comment", "least", "now", "message"), VECTORS)
def test_a_signature_is_as_new_as_is_asked(
    comment: str, least: int, now: date | None, message: str | None
) -> None:
    """By the C core; nothing asked, every comment will do."""
    seconds = minisign.freshness(None, now)[1]
    text = KEY.sign(b"message", comment).encode()
    _core.minisign_verify(b"message", text, KEY.public.encode())
    arguments = (b"message", text, KEY.public.encode(), least, seconds)
    if message is None:
        _core.minisign_verify(*arguments)
        return
    with pytest.raises(RuntimeFault, match=message) as refused:
        _core.minisign_verify(*arguments)
    assert refused.value.status == "TIN_ERR_SIGNATURE"


def test_days_are_those_of_pythons_calendar() -> None:
    """Each day of a not-after is good on itself and over on the next, from 1970 on."""
    rng = random.Random(5)
    days = [date(1970, 1, 1), date(1999, 12, 31), date(2000, 2, 29), date(2000, 3, 1), date(2100, 2, 28)]
    days += [date.fromordinal(rng.randrange(days[0].toordinal(), date.max.toordinal())) for _ in range(60)]
    for day in days:
        text = KEY.sign(b"m", f"tinsmith not-after={day}").encode()
        last = minisign.freshness(None, day)[1]
        assert last == int(datetime(day.year, day.month, day.day, 23, 59, 59, tzinfo=UTC).timestamp())
        _core.minisign_verify(b"m", text, KEY.public.encode(), 0, last)
        with pytest.raises(RuntimeFault, match=f"good until {day}"):
            _core.minisign_verify(b"m", text, KEY.public.encode(), 0, last + 1)


def test_minisign_reads_a_version_and_a_day(tin: Path, tmp_path: Path) -> None:
    """Other programs have them as the trusted comment that they print; and we have theirs."""
    program = needs_minisign()
    beside = Path(f"{tin}.minisig")
    beside.write_text(minisign.sign(tin, KEY, version=7, not_after=DAY))
    manifest = tmp_path / "manifest.json"
    manifest.write_bytes(Tin(tin).entry(MANIFEST))
    done = subprocess.run(
        [program, "-Vm", manifest, "-x", beside, "-P", KEY.public], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "Trusted comment: tinsmith version=7 not-after=2027-01-31 file:home.tin" in done.stdout
    secret, public = tmp_path / "k.key", tmp_path / "k.pub"
    minisign.write_keys(KEY, secret, public, None)
    theirs = "tinsmith version=9 not-after=2027-01-31"
    command = [program, "-Sm", manifest, "-x", beside, "-s", secret, "-t", theirs]
    subprocess.run(command, check=True, capture_output=True, input="\n", text=True)
    assert minisign.require(tin, Tin(tin), public, required=minisign.freshness(9, DAY)) == theirs
    with pytest.raises(SignatureError, match="of version 9, and 10 is the least"):
        minisign.require(tin, Tin(tin), public, required=minisign.freshness(10, DAY))


def test_an_older_file_of_the_same_owner_is_refused_when_asked(tin: Path) -> None:
    beside = Path(f"{tin}.minisig")
    beside.write_text(minisign.sign(tin, KEY, "for floor 3", version=6, not_after=DAY))
    assert minisign.require(tin, Tin(tin), KEY.public).endswith(" for floor 3")
    minisign.require(tin, Tin(tin), KEY.public, required=minisign.freshness(6, DAY))
    with pytest.raises(
        SignatureError, match="home.tin.minisig: the signature is of version 6, and 7 is the least"
    ):
        minisign.require(tin, Tin(tin), KEY.public, required=minisign.freshness(7, DAY))
    with pytest.raises(SignatureError, match="good until 2027-01-31"):
        minisign.require(tin, Tin(tin), KEY.public, required=minisign.freshness(None, date(2027, 2, 1)))
    beside.write_text(minisign.sign(tin, KEY, version=7, not_after=date(2001, 1, 1)))
    with pytest.raises(SignatureError, match="good until 2001-01-01"):  # by today's date
        minisign.require(tin, Tin(tin), KEY.public, required=minisign.freshness(7, None))
    beside.write_text(beside.read_text().replace("version=7", "version=8"))
    with pytest.raises(SignatureError, match="trusted comment is not"):
        minisign.require(tin, Tin(tin), KEY.public, required=minisign.freshness(8, DAY))


def test_what_can_not_be_stated_is_refused(tin: Path) -> None:
    for version in (0, -1, 1 << 32):
        with pytest.raises(InputError, match="give a number from 1"):
            minisign.sign(tin, KEY, version=version)
    for comment in ("tinsmith version=9", "for not-after=2099-01-01"):
        with pytest.raises(InputError, match="their own options"):
            minisign.sign(tin, KEY, comment)
    with pytest.raises(InputError, match="before 1970"):
        minisign.sign(tin, KEY, not_after=date(1969, 12, 31))
    with pytest.raises(InputError, match="give a number from 0"):
        minisign.freshness(1 << 32, None)
    for version in (1 << 32, -1):
        with pytest.raises(ValueError, match="32 bits"):
            _core.file_verify(tin.read_bytes(), b"", KEY.public, version, 0)


def test_a_version_is_of_somebodys_word(tin: Path) -> None:
    """Without a key whoever wrote the file wrote the version too."""
    for asked in ((1, 0), (0, 1), (0, -1)):
        with pytest.raises(RuntimeFault, match="give the key|set the clock") as refused:
            _core.file_verify(tin.read_bytes(), None, None, *asked)
        assert refused.value.status == "TIN_ERR_ARGUMENT"
    signature = minisign.sign(tin, KEY, version=7).encode()
    _core.file_verify(tin.read_bytes(), signature, KEY.public, 7, 1)
    with pytest.raises(RuntimeFault, match="8 is the least"):
        _core.file_verify(tin.read_bytes(), signature, KEY.public, 8, 1)
