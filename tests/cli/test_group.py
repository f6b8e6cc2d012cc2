from __future__ import annotations

import errno
import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tinsmith import __version__, cli
from tinsmith.errors import InputError


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Installs a verb `odd` that does what it is given."""

    def install(action: Any) -> None:
        module = ModuleType("tinsmith.cli.odd")
        module.HELP = "odd"  # type: ignore[attr-defined]
        module.add_arguments = lambda parser: None  # type: ignore[attr-defined]
        module.run = action  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "tinsmith.cli.odd", module)
        monkeypatch.setattr(cli, "verbs", lambda: {"odd": Path("odd.py")})

    return install


def raiser(error: BaseException) -> Any:
    def run(args: Any) -> int:
        raise error

    return run


def test_the_overview_says_what_each_verb_does() -> None:
    assert {"make", "train", "merge", "build", "eval"} <= set(cli.verbs())
    for name, file in cli.verbs().items():
        module = importlib.import_module(f"tinsmith.cli.{name}")
        assert cli.help_line(file) == module.HELP
        assert f"  {name} " in cli.overview()
        assert 0 < len(module.HELP) < 90 and not module.HELP.endswith(".")


def test_help_and_version_load_nothing_heavy() -> None:
    script = (
        "import sys; from tinsmith import cli; codes = [cli.main(['--help']), cli.main(['--version'])]; "
        "heavy = {'torch', 'numpy', 'rich', 'jinja2', 'transformers', 'tinsmith._core'} & set(sys.modules); "
        "verbs = [m for m in sys.modules if m.startswith('tinsmith.cli.')]; print(codes, heavy, verbs)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[-2:] == [f"tinsmith {__version__}", "[0, 0] set() []"]


def test_no_verb_shows_the_overview_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    assert "verbs:" in capsys.readouterr().out


def test_an_unknown_verb_names_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["mkae"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(
        "tinsmith: error: mkae: no such verb, did you mean make?; the verbs are bench, build, eval"
    )


def test_a_verb_gives_its_exit_code(verb: Any) -> None:
    verb(lambda args: 3)
    assert cli.main(["odd"]) == 3


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (InputError("a.gguf: no such\nfile"), 2, "tinsmith: error: a.gguf: no such file\n"),
        (KeyboardInterrupt(), 130, "tinsmith: interrupted; the same command goes on from here\n"),
        (OSError(errno.ENOSPC, "No space left", "x.bin"), 2, "tinsmith: error: x.bin: the disk is full; free"),
        (OSError(errno.ENOSPC, "No space left"), 2, "tinsmith: error: the disk is full; free"),
        (PermissionError(errno.EACCES, "Permission denied", "x"), 2, "tinsmith: error: x: Permission denied\n"),
    ],
)
def test_a_users_fault_is_one_line(
    verb: Any, capsys: pytest.CaptureFixture[str], error: BaseException, code: int, said: str
) -> None:
    verb(raiser(error))
    assert cli.main(["odd"]) == code
    printed = capsys.readouterr().err
    assert printed.startswith(said)
    assert printed.count("\n") == 1


def test_a_fault_of_ours_is_not_hidden(verb: Any) -> None:
    verb(raiser(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        cli.main(["odd"])


def test_a_reader_that_leaves_is_no_error() -> None:
    script = "import sys; from tinsmith import cli; sys.exit(cli.main(['--help']))"
    reader = subprocess.Popen(["true"], stdin=subprocess.PIPE)
    reader.wait()
    assert reader.stdin is not None
    done = subprocess.run(
        [sys.executable, "-u", "-c", script],
        stdout=reader.stdin,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
