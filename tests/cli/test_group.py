from __future__ import annotations

import errno
import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tinsmith import __version__, cli
from tinsmith.cli import _group
from tinsmith.errors import InputError


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Installs a verb `odd` that does what it is given."""

    def install(action: Any) -> None:
        module = ModuleType("odd.odd")
        module.__dict__.update(HELP="odd", PARAMETERS=[], run=action)
        monkeypatch.setitem(sys.modules, "odd.odd", module)
        group = _group.Group("tinsmith", "odd", {"odd": _group.Entry("odd", "run")})
        monkeypatch.setattr(_group, "root", lambda: group)

    return install


@pytest.fixture
def greeting(tmp_path: Path) -> Path:
    """A program whose one verb asks each stream what it is, and greets."""
    path = tmp_path / "greeting.py"
    path.write_text(
        "import sys\nfrom tinsmith import cli\n"
        "def verb(arguments):\n"
        "    print('grüß' if not any(s.isatty() for s in (sys.stdin, sys.stdout, sys.stderr)) else '')\n"
        "    return 0\n"
        "cli.call = verb\nsys.exit(cli.main([]))\n",
        encoding="utf-8",
    )
    return path


def raiser(error: BaseException) -> Any:
    def run(args: Any) -> int:
        raise error

    return run


def overview(capsys: pytest.CaptureFixture[str]) -> str:
    assert cli.main(["--help"]) == 0
    return capsys.readouterr().out


def test_the_overview_says_what_each_verb_does(capsys: pytest.CaptureFixture[str]) -> None:
    shown = " ".join(overview(capsys).split())
    assert len(cli.verbs()) <= 27
    for name, entry in cli.verbs().items():
        module = importlib.import_module(f"tinsmith.cli.{name.replace(' ', '.')}")
        assert entry == (module.HELP, module.SECTION)
        assert 0 < len(module.HELP) < 90 and not module.HELP.endswith(".")
        assert module.SECTION in cli.SECTIONS
        assert f" {name} {module.HELP}" in shown


def test_help_and_version_load_nothing_heavy() -> None:
    script = (
        "import sys; from tinsmith import cli; codes = [cli.main(['--help']), cli.main(['--version'])]; "
        "heavy = {'torch', 'numpy', 'rich', 'jinja2', 'transformers', 'tinsmith._core'} & set(sys.modules); "
        "verbs = [m for m in cli.verbs() if 'tinsmith.cli.' + m in sys.modules]; print(codes, heavy, verbs)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[-2:] == [f"tinsmith {__version__}", "[0, 0] set() []"]


def test_the_overview_has_the_sections_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line for line in overview(capsys).splitlines() if line]
    headings = [line.removesuffix(":").lower() for line in lines if line.endswith(":") and line[0] != " "]
    assert headings == ["options", *cli.SECTIONS]


def test_no_verb_shows_the_overview_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    assert "Begin:" in capsys.readouterr().out


def test_an_unknown_verb_names_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["mkae"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(
        "tinsmith: error: mkae: no such verb, did you mean make?; the verbs are adapters, batch, bench, build"
    )


def test_a_verb_gives_its_exit_code(verb: Any) -> None:
    verb(lambda args: 3)
    assert cli.main(["odd"]) == 3


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (InputError("a.gguf: no such\nfile"), 2, "tinsmith: error: a.gguf: no such file\n"),
        (KeyboardInterrupt(), 130, "tinsmith: interrupted\n"),
        (OSError(errno.ENOSPC, "No space left", "x.bin"), 2, "tinsmith: error: x.bin: the disk is full; free"),
        (OSError(errno.ENOSPC, "No space left"), 2, "tinsmith: error: the disk is full; free"),
        (PermissionError(errno.EACCES, "Permission denied", "x"), 2, "tinsmith: error: x: Permission denied\n"),
    ],
)
def test_a_users_fault_is_one_line(
    verb: Any, capsys: pytest.CaptureFixture[str], error: BaseException, code: int, message: str
) -> None:
    verb(raiser(error))
    assert cli.main(["odd"]) == code
    printed = capsys.readouterr().err
    assert printed.startswith(message)
    assert printed.count("\n") == 1


def test_verbs_that_resume_exist() -> None:
    assert set(cli.verbs()) >= cli.RESUMED


@pytest.mark.parametrize(
    ("redirected", "said"),
    [
        (">&-", ""),
        ("<&-", "grüß\n"),
        ("2>&-", "grüß\n"),
    ],
)
def test_streams_may_be_closed(greeting: Path, redirected: str, said: str) -> None:
    """As a service's are."""
    done = subprocess.run(["sh", "-c", f"{sys.executable} {greeting} {redirected}"], capture_output=True)
    assert (done.returncode, done.stdout.decode(), done.stderr) == (0, said, b"")


def test_what_a_terminal_can_not_show_is_escaped(greeting: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, greeting], capture_output=True, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"gr\\xfc\\xdf\n", b"")


def test_a_fault_of_ours_is_not_hidden(verb: Any) -> None:
    verb(raiser(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        cli.main(["odd"])


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[_group.Group]:
    """A folder of verbs with a group in it: `adapters add FILE [--scale X]`."""
    folder = tmp_path / "shop"
    (folder / "adapters").mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "adapters" / "__init__.py").touch()
    (folder / "adapters" / "_shared.py").touch()
    (folder / "adapters" / "add.py").write_text(ADD)
    (folder / "broken.py").write_text('HELP = "broken"\nSECTION = "ship"\nraise ZeroDivisionError\n')
    monkeypatch.syspath_prepend(tmp_path)
    yield _group.root(folder, "shop")
    for name in [name for name in sys.modules if name.split(".")[0] == "shop"]:
        del sys.modules[name]


ADD = """
from tinsmith.cli._command import argument, option
from tinsmith.cli._types import File, Number

HELP = "one more"
SECTION = "run"
PARAMETERS = [
    argument("file", "FILE", File(".tin"), help="a .tin"),
    option("--scale", Number(), default=1.0, metavar="X", help="how strong"),
]


def run(args):
    print(args.file, args.scale)
    return 3
"""


def test_a_folder_is_a_group_of_verbs(shop: _group.Group, capsys: pytest.CaptureFixture[str]) -> None:
    assert list(shop.verbs) == ["adapters add", "broken"]
    assert _group.call(["adapters", "add", "x.tin", "--scale", "2"], shop) == 3
    assert capsys.readouterr().out == "x.tin 2.0\n"


def test_a_group_says_what_is_in_it_and_imports_nothing_of_it(
    shop: _group.Group, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _group.call(["--help"], shop) == 0
    assert "Run:\n  adapters add  one more\n" in capsys.readouterr().out
    assert _group.call(["adapters", "--help"], shop) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Usage: tinsmith adapters [OPTIONS] VERB [ARGS]...\n")
    assert "Run:\n  add  one more\n" in printed
    assert _group.call(["adapters"], shop) == cli.FAILED
    assert capsys.readouterr().out == printed
    assert "shop.adapters.add" not in sys.modules
    assert _group.call(["adapters", "add", "--help"], shop) == 0
    assert "Usage: tinsmith adapters add [OPTIONS] FILE" in capsys.readouterr().out
    for wrong in (["adapters", "ad"], ["adapter"]):
        with pytest.raises(InputError, match="no such verb, did you mean ad"):
            _group.call(wrong, shop)
    with pytest.raises(ZeroDivisionError):
        _group.call(["broken"], shop)


@pytest.mark.parametrize("buffered", [False, True])
@pytest.mark.parametrize("line", ["--help", "run --help", "targets"])
def test_a_reader_that_leaves_is_no_error(line: str, buffered: bool) -> None:
    script = f"import sys; from tinsmith import cli; sys.exit(cli.main({line.split()}))"
    reader = subprocess.Popen(["true"], stdin=subprocess.PIPE)
    reader.wait()
    assert reader.stdin is not None
    done = subprocess.run(
        [sys.executable, *([] if buffered else ["-u"]), "-c", script],
        stdout=reader.stdin,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
