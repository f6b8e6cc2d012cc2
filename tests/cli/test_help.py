"""The command line as a whole: help without heavy imports, and every error of a user's in one line."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.models.tiny_models import tiny_spec
from tinsmith import models
from tinsmith.cli import FAILED, main, verbs
from tinsmith.models import family

HEAVY = {"torch", "numpy", "transformers", "jinja2", "rich"}
RECIPE = """\
[base]
model = "base.gguf"
[data]
train = "train.jsonl"
validation = "train.jsonl"
test = "train.jsonl"
"""


def imported(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after `code`."""
    command = [sys.executable, "-c", f"{code}\nimport sys; print('\\n' + ' '.join(sys.modules))"]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {name.partition(".")[0] for name in out.splitlines()[-1].split()}


@pytest.mark.parametrize(
    "module", ["tinsmith.runtime.opening", "tinsmith.cli", "tinsmith.models", "tinsmith.compiler"]
)
def test_importing_needs_no_extra(module: str) -> None:
    loaded = imported(f"import {module}")
    assert "tinsmith" in loaded
    assert not loaded & HEAVY


def test_help_needs_no_extra() -> None:
    calls = "\n".join(f"assert main([*{verb.split()}, '--help']) == 0" for verb in verbs())
    assert not imported(f"from tinsmith.cli import main\nmain(['--help'])\n{calls}") & HEAVY


def test_the_package_needs_the_standard_library_alone() -> None:
    """click, which the command line takes, is of the base install, and no part of the runtime."""
    for code in ("import tinsmith", "import tinsmith.runtime", "from tinsmith.runtime import Model, load"):
        loaded = imported(code) - imported("pass") - {"tinsmith"}
        assert loaded <= sys.stdlib_module_names, loaded


@pytest.mark.parametrize("verb", verbs())
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*verb.split(), "--help"]) == 0
    assert verbs()[verb].help in " ".join(capsys.readouterr().out.split())


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "base.gguf"
    sizes = {"hidden_size": 64, "intermediate_size": 96}
    models.save_gguf(tiny_spec(family.by_name("llama"), **sizes), path)
    return path


def truncated(tiny: Path) -> list[str]:
    tiny.write_bytes(tiny.read_bytes()[:-100])
    return ["run", str(tiny), "hello"]


def unknown_family(tiny: Path) -> list[str]:
    tiny.write_bytes(tiny.read_bytes().replace(b"llama", b"gamma"))
    return ["run", str(tiny), "hello"]


def missing(tiny: Path) -> list[str]:
    return ["run", str(tiny.with_name("none.tin")), "hello"]


def malformed_line(tiny: Path) -> list[str]:
    good = json.dumps({"input": "a", "output": {"name": "b", "arguments": {}}})
    tiny.with_name("train.jsonl").write_text(f"{good}\n{good}\n{{'input'\n")
    tiny.with_name("home.toml").write_text(RECIPE)
    return ["make", "--until", "train", str(tiny.with_name("home.toml"))]


def misspelt_key(tiny: Path) -> list[str]:
    tiny.with_name("home.toml").write_text(RECIPE + "[train]\nepoch = 3\n")
    return ["make", str(tiny.with_name("home.toml"))]


def unknown_isa(tiny: Path) -> list[str]:
    return ["run", str(tiny), "hello", "--isa", "mmx"]


def file_in_the_way(tiny: Path) -> list[str]:
    return ["build", str(tiny), "--format", "q8_0", "--out", str(tiny / "out")]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (file_in_the_way, ["base.gguf: is a file, not a folder; give another path"]),
        (missing, ["none.tin", "no such file"]),
        (truncated, ["base.gguf", "truncated"]),
        (unknown_family, ["gamma", "llama"]),
        (malformed_line, ["train.jsonl", "3"]),
        (misspelt_key, ["home.toml", "[train]", "epoch", "epochs"]),
        (unknown_isa, ["mmx", "scalar"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_an_error_is_one_line(
    tiny: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    given: Callable[[Path], list[str]],
    message: list[str],
) -> None:
    arguments = given(tiny)
    monkeypatch.chdir(tiny.parent)
    assert main(arguments) == FAILED
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("tinsmith: error: ")
    for part in message:
        assert part in last
    assert not [path for path in tiny.parent.rglob("*") if path.suffix in (".tin", ".tmp", ".part")]


def test_a_copy_that_did_not_begin_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "m.tin").touch()
    assert main(["run", str(tmp_path / "m.tin"), "hello"]) == FAILED
    assert "m.tin: is empty: writing it was interrupted" in capsys.readouterr().err


def test_a_full_disk_is_one_line_and_leaves_nothing(tiny: Path) -> None:
    """The limit on a file's size stands in for the disk's: the same call fails, with EFBIG for ENOSPC."""
    out = tiny.parent / "out"
    arguments = ["build", str(tiny), "--format", "q8_0", "--out", str(out)]
    # Without the signal's default action, which ends the process.
    quiet = "import signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)"
    code = f"{quiet}\nfrom tinsmith.cli import main\nsys.exit(main({arguments!r}))"

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, preexec_fn=limit, env=environment
    )
    assert done.returncode == FAILED, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("tinsmith: error: ")
    assert [path.name for path in out.rglob("*") if path.is_file()] == []
