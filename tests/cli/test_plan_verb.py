from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.models.tiny_models import tiny_spec
from tinsmith import _core, compiler, models
from tinsmith.cli import main
from tinsmith.system.files import map_file


@pytest.fixture(scope="module")
def tin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plan") / "tiny.tin"
    compiler.build_tin(tiny_spec("qwen3"), path)
    return path


def test_json_has_the_cores_own_numbers(tin: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(tin), "--target", "rpi5", "--context", "50", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["target"] == "raspberrypi-5" and printed["fits"]
    size = _core.Session(_core.Model(map_file(tin)), context=50).size()
    assert printed["memory"]["session"]["bytes"] == size
    assert printed["memory"]["storage"] == tin.stat().st_size
    assert printed["speed"]["decode_tok_s"] > 0 and printed["assumptions"]


def test_a_table_for_people(tin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gguf = tmp_path / "x.gguf"
    models.save_gguf(tiny_spec("llama"), gguf)
    assert main(["plan", str(gguf), "--target", "cortex-m7", "--format", "q8_0"]) == 0
    printed = capsys.readouterr().out
    assert "fits" in printed and "tokens a second" in printed and "assumed:" in printed and "Q8_0" in printed


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--target", "rpi6"], "no such target"),
        (["--target", "rpi5", "--format", "q9"], "q9: give a weight format, one of"),
        (["--target", "rpi5", "--format", "q8_0"], "a tin keeps its format"),
        (["--target", "rpi5", "--kv", "q4"], "give one of f16, q8"),
        (["--target", "rpi5", "--context", "-1"], "--context -1"),
        (["--target", "rpi5", "--context", "9999999"], "at most"),
        (["--target", "rpi5", "--context", "8", "--depth", "8"], "a depth of 8"),
        (["--target", "rpi5", "--image", "640x480"], "is no vision-language model; leave out --image"),
        (["--target", "rpi5", "--image", "640"], "give a width and a height"),
        (["--target", "rpi5", "--image", "0x480"], "1 to 65535"),
        (["--target", "rpi5", "--threads", "2"], "--threads is for --target host"),
    ],
)
def test_what_is_wrong_is_one_line(
    tin: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", str(tin), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and len(error.splitlines()) == 1
