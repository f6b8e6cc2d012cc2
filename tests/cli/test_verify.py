"""tinsmith verify on a tiny tin, whole and damaged, as a shell sees it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_models import tiny_spec

from tinsmith import _core, cli
from tinsmith.compiler import build_tin, selftest
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
    found = json.loads(capsys.readouterr().out)
    sealed = [digest for _, digest in selftest.read(Tin(tin).entry("selftest.bin"))]
    assert found["ok"]
    assert found["bytes"] == tin.stat().st_size
    assert found["selftest"] == {isa: sealed for isa in _core.isa_names()}
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
