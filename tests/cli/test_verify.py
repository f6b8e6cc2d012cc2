"""tinsmith verify on a tiny tin, whole and damaged, as a shell sees it."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

import tinsmith
from tests.models.tiny_models import tiny_spec
from tinsmith import _core, cli
from tinsmith.compiler import build_tin, selftest
from tinsmith.errors import InputError, SignatureError
from tinsmith.formats import minisign
from tinsmith.formats import tin as tins
from tinsmith.formats.tin import Tin
from tinsmith.models import family


@pytest.fixture(scope="module")
def tin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tin") / "tiny.tin"
    build_tin(tiny_spec(family.by_name("llama"), hidden_size=64, intermediate_size=96), path)
    return path


def test_a_whole_file_passes_on_every_instruction_set(tin: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", str(tin), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    sealed = [digest for _, digest in selftest.read(Tin(tin).entry("selftest.bin"))]
    assert printed["ok"]
    assert printed["bytes"] == tin.stat().st_size
    assert printed["selftest"] == {isa: sealed for isa in _core.isa_names()}
    assert len(sealed) == 2
    assert cli.main(["verify", str(tin)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["content", *_core.isa_names(), "verified"]


def test_a_changed_weight_is_refused_in_one_line(
    tin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = bytearray(tin.read_bytes())
    image[bytes(image).index(bytes(Tin(tin).entry("weights.bin"))) + 100] ^= 1
    changed = tmp_path / "changed.tin"
    changed.write_bytes(image)
    assert cli.main(["verify", str(changed)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "weights.bin" in err
    assert cli.main(["verify", str(changed), "--json"]) == 1
    assert "weights.bin" in json.loads(capsys.readouterr().out)["error"]


def test_other_bits_than_those_sealed_are_refused(
    tin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that is whole, and whose self-test this machine does not pass."""
    old = Tin(tin)
    entries = {name: bytes(old.entry(name)) for name in old.names if name != tins.MANIFEST}
    entries["selftest.bin"] = entries["selftest.bin"][:-1] + bytes([entries["selftest.bin"][-1] ^ 1])
    tins.write(tmp_path / "other.tin", entries.items(), old.manifest)
    assert cli.main(["verify", str(tmp_path / "other.tin")]) == 1
    assert "prompt 1 of the self-test" in capsys.readouterr().err


def test_a_file_that_is_not_there_or_no_tin(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", str(tmp_path / "absent.tin")]) == cli.FAILED
    (tmp_path / "text.tin").write_text("hello")
    assert cli.main(["verify", str(tmp_path / "text.tin")]) == 1
    assert capsys.readouterr().err.count("\n") == 2


@pytest.fixture
def signed(tin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[Path, Path]:
    """A tin of version 7, good until the end of January 2027; and its public key."""
    path = tmp_path / "home.tin"
    path.write_bytes(tin.read_bytes())
    assert cli.main(["sign", "--generate", str(tmp_path / "k"), "--no-password"]) == 0
    words = ["--key", str(tmp_path / "k.key"), "--version", "7", "--not-after", "2027-01-31"]
    assert cli.main(["sign", str(path), *words]) == 0
    capsys.readouterr()
    return path, tmp_path / "k.pub"


@pytest.mark.parametrize(
    ("words", "refused"),
    [
        ([], None),
        (["--min-version", "7", "--now", "2027-01-31"], None),
        (["--now", "2026-06-01"], None),
        (["--min-version", "8", "--now", "2027-01-31"], "is of version 7, and 8 is the least"),
        (["--now", "2027-02-01"], "was good until 2027-01-31"),
        (["--min-version", "7", "--now", "2127-01-31"], "was good until 2027-01-31"),
    ],
)
def test_a_version_and_a_day_are_asked_for(
    words: list[str], refused: str | None, signed: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    code = cli.main(["verify", str(signed[0]), "--key", str(signed[1]), *words])
    out, err = capsys.readouterr()
    if refused is None:
        assert (code, err) == (0, "")
        assert "tinsmith version=7 not-after=2027-01-31 file:home.tin" in out
    else:
        assert (code, out, err.count("\n")) == (1, "", 1)
        assert refused in err


def test_loading_asks_too(signed: tuple[Path, Path]) -> None:
    path, key = signed
    assert tinsmith.load(path, key=key, min_version=7, now=date(2027, 1, 31)).core
    with pytest.raises(SignatureError, match="8 is the least"):
        tinsmith.load(path, key=key, min_version=8, now=date(2027, 1, 31))
    with pytest.raises(SignatureError, match="good until"):
        tinsmith.load(path, key=key, now=date(2027, 2, 1))
    with pytest.raises(InputError, match="give its key"):
        tinsmith.load(path, min_version=7)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["verify", "{tin}", "--min-version", "7"], "--min-version needs --key"),
        (["verify", "{tin}", "--now", "2027-01-31"], "--now needs --key"),
        (["verify", "{tin}", "--key", "{key}", "--now", "31.1.2027"], "such as 2027-01-31"),
        (["verify", "{tin}", "--key", "{key}", "--min-version", "-1"], "give a number from 0"),
        (["verify", "{tin}", "--plain"], "--plain needs --key"),
        (["sign", "{tin}", "--key", "{secret}", "--version", "0"], "give a number from 1"),
        (["sign", "{tin}", "--key", "{secret}", "--not-after", "tomorrow"], "such as 2027-01-31"),
        (["sign", "{tin}", "--key", "{secret}", "--comment", "version=3"], "their own options"),
        (["sign", "--generate", "x", "--version", "3"], "--generate excludes --version"),
    ],
)
def test_what_makes_no_sense_is_one_line(
    command: list[str], message: str, signed: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path, key = signed
    words = [word.format(tin=path, key=key, secret=key.with_suffix(".key")) for word in command]
    before = Path(f"{path}.minisig").read_text()
    assert cli.main(words) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert Path(f"{path}.minisig").read_text() == before


def test_a_file_that_is_no_tin_is_held_to_its_signature(
    signed: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, key = tmp_path / "SHA256SUMS", signed[1]
    path.write_bytes(b"text\n")
    secret = minisign.read_secret(key.with_suffix(".key"))
    Path(f"{path}.minisig").write_text(secret.sign(path.read_bytes(), "tinsmith version=3"))
    words = ["verify", str(path), "--plain", "--key", str(key)]
    assert cli.main([*words, "--min-version", "3"]) == 0
    assert cli.main([*words, "--min-version", "4"]) == 1
    assert cli.main(["verify", str(path), "--key", str(key)]) == 1  # it is not taken for a tin
    assert cli.main(["verify", str(signed[0]), "--plain", "--key", str(key)]) == 1  # nor a tin for another file
    path.write_bytes(b"Text\n")
    assert cli.main(words) == 1
    assert "not of this content" in capsys.readouterr().err
