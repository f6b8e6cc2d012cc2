from __future__ import annotations

import json
from pathlib import Path

import pytest

from tinsmith.cli import main


def test_the_table_names_every_device(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["targets"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:2] == ["target", "arch"]
    assert any(line.split()[:3] == ["raspberrypi-5", "aarch64", "neondot"] for line in lines)


def test_one_device_with_its_sources(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["targets", "rpi5"]) == 0
    printed = capsys.readouterr().out
    assert "raspberrypi-5" in printed and "product brief" in printed
    assert main(["targets", "cortex-m55", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["firmware"]["flash"]["base"] == 0x60000000
    assert printed["run"]["machine"] == "mps3-an547"


def test_what_is_wrong_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.toml").write_text("[cpu]\nspeed = 3\n")
    for name in ("rpi6", str(tmp_path / "x.toml")):
        assert main(["targets", name]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1
