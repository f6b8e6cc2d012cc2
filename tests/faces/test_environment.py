"""Variables of the environment, empty and hostile: a line at most, and no traceback."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tinsmith import cli

VARIABLES = (
    "TINSMITH_CACHE",
    "TINSMITH_LOCK",
    "TINSMITH_OFFLINE",
    "TINSMITH_KEY",
    "TIN_FORCE_ISA",
    "XDG_CACHE_HOME",
)
VALUES = {
    "empty": "",
    "blank": " ",
    "long": "x" * 100_000,
    "lines": "a\nb\r\x1b[2J",
    "device": "/dev/null/x",
    "upward": "../" * 50,
    "bytes": "\udcff",
    "circle": "loop",
}


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("variable", VARIABLES)
def test_a_hostile_variable_is_one_line(
    variable: str,
    value: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("TINSMITH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "a.tin").write_bytes(b"no model")
    monkeypatch.setenv(variable, VALUES[value])
    for line in ("pull smollm2-135m-instruct", "pull hf:a/b", "models --json", "run a.tin hi", "verify a.tin"):
        code = cli.main(line.split())
        err = capsys.readouterr().err
        assert "Traceback" not in err
        assert (code == 0) == (err == ""), (line, err)
        assert code == 0 or re.fullmatch(r"(?s:.*)tinsmith: (error|refused): [^\n\r]{1,4100}\n", err), (
            line,
            err,
        )
