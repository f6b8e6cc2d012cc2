"""A link that leads to itself, wherever a path is given: one line, and no traceback."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tinsmith import cli

LINES = [
    "make LOOP",
    "make RECIPE --out LOOP",
    "make RECIPE --from LOOP --data DATA",
    "train LOOP",
    "compare LOOP",
    "compare RECIPE --out LOOP",
    "plan LOOP --target cortex-m55",
    "build LOOP --target LOOP.toml",
    "data check LOOP",
    "data check LOOP.toml",
    "data check DATA --fix LOOP",
    "data check DATA --json LOOP",
    "data check DATA --html LOOP",
    "docs LOOP --task chat --teacher http://127.0.0.1:1 --model m",
    "docs DATA --task chat --teacher LOOP",
    "init chat --out LOOP",
    "pull LOOP",
    "run LOOP hi",
    "verify LOOP",
    "verify LOOP --plain --key RW",
    "sign LOOP --key LOOP",
    "sign --generate LOOP --no-password",
    "inspect LOOP",
    "diff LOOP LOOP LOOP",
    "export LOOP --gguf DATA",
    "adapters list LOOP",
    "imatrix LOOP DATA --out LOOP",
    "quantize LOOP LOOP --type q8_0",
    "perplexity LOOP DATA",
    "batch LOOP DATA out.jsonl",
    "replay LOOP --file LOOP --in DATA",
    "serve LOOP --port 1",
    "pack LOOP --out LOOP --unsigned",
    "pack RECIPE --out LOOP --unsigned",
    "targets LOOP.toml",
]
RECIPE = """[base]
model = "loop"
[data]
train = "loop"
validation = "a.jsonl"
test = "a.jsonl"
"""


@pytest.mark.parametrize("line", LINES)
def test_a_circle_of_links_is_one_line(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TINSMITH_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    for name in ("loop", "loop.toml", "loop.key"):
        (tmp_path / name).symlink_to(name)
    (tmp_path / "a.jsonl").write_text('{"input": "a", "output": "b"}\n')
    (tmp_path / "r.toml").write_text(RECIPE)
    words = line.replace("LOOP", "loop").replace("DATA", "a.jsonl").replace("RECIPE", "r.toml").split()
    code = cli.main(words)
    err = capsys.readouterr().err
    assert code in (1, 2)
    assert re.fullmatch(r"(?s:.*)tinsmith: (error|refused): [^\n]+\n", err), err
    assert "Traceback" not in err
    assert all((tmp_path / name).is_symlink() for name in ("loop", "loop.toml", "loop.key"))
