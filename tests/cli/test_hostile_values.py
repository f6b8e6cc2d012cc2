"""Empty and hostile values of every option and argument of every verb: a value, or one line that refuses it."""

from __future__ import annotations

import os
import re
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tinsmith import cli
from tinsmith.cli._command import Argument, Option
from tinsmith.cli._types import File, Folder
from tinsmith.formats import minisign

# Where an empty text says something: no message, no comment, a prompt of nothing.
EMPTY = {"PROMPT", "--system", "--suffix", "--text", "--comment", "--off-topic"}
HOSTILE = {
    "blank": " \t",
    "huge": "9" * 10_000_000,
    "NUL": "a\0b",
    "lines": "a\nb\r\n\x1b[2J",
    "upward": "../" * 400 + "etc/passwd",
    "surrogate": "\udcff\udc80",
    "dash": "-",
    "comma": ",",
    "digits": "１",
}
VALUES = {"n": "8", "x": "0.5", "size": "1MB", "wxh": "8x8", "1,2": "1", "format": "q8_0"}


VERBS = {name: import_module(f"tinsmith.cli.{name.replace(' ', '.')}") for name in cli.verbs()}


def name_of(param: Argument | Option) -> str:
    return param.opts[0] if isinstance(param, Option) else str(param.metavar)


def takes_value(param: Argument | Option) -> bool:
    return not (isinstance(param, Option) and param.is_flag)


def line(verb: str, values: dict[str, str]) -> list[str]:
    """A command line with these values by the parameters' names, and what the verb and they need."""
    words, params = verb.split(), {name_of(one): one for one in VERBS[verb].PARAMETERS}
    options = [one for one in params.values() if isinstance(one, Option)]
    wanted = {*values, *(name for name, one in params.items() if one.required)}
    for one in options:
        rivals = [name_of(rival) for rival in one.rivals]
        if one.one_needed and not wanted & {*rivals}:
            wanted.add(rivals[0])
    for one in options * 2:  # what is needed may need more
        if name_of(one) in wanted:
            wanted |= {name.split("|")[0] for name in one.needs.split()}
    places = []
    for name, one in params.items():
        value = values.get(name, VALUES.get(one.type.name, "x"))
        if isinstance(one, Argument):
            places.append(value)
        elif name in wanted:
            words += [name] if one.is_flag else [name, value, value] if one.nargs == 2 else [f"{name}={value}"]
    # Arguments after --, so that none is taken for an option; an optional one needs those before it.
    arguments = [name for name, one in params.items() if isinstance(one, Argument)]
    last = max((i for i, name in enumerate(arguments) if name in wanted), default=-1)
    return [*words, "--", *places[: last + 1]]


@pytest.fixture(params=VERBS)
def verb(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each verb, which does nothing."""
    for name in [name for name in os.environ if name.startswith("TINSMITH_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(VERBS[request.param], "run", lambda args: 0)
    return str(request.param)


def refused(capsys: pytest.CaptureFixture[str], words: list[str]) -> str | None:
    """The one line that a command line is refused with; None where it is not."""
    code = cli.main(words)
    _, err = capsys.readouterr()
    if code == 0:
        assert err == ""
        return None
    assert code == cli.FAILED
    assert re.fullmatch(r"tinsmith: error: [^\n]{1,400}\n", err), err[:500]
    assert err[:-1].isprintable()
    return err


def test_an_empty_value_is_refused(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(capsys, line(verb, {})) is None
    for param in VERBS[verb].PARAMETERS:
        if takes_value(param):
            err = refused(capsys, line(verb, {name_of(param): ""}))
            assert (err is None) == (name_of(param) in EMPTY), (name_of(param), err)
            assert err is None or f"{name_of(param)} ''" in err


def test_an_empty_variable_turns_no_check_off(
    verb: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for param in VERBS[verb].PARAMETERS:
        if isinstance(param, Option) and param.envvar:
            monkeypatch.setenv(str(param.envvar), "")
            err = refused(capsys, line(verb, {}))
            assert err and f"{param.envvar} ''" in err


def test_the_key_is_the_one_option_of_the_environment() -> None:
    params = [param for module in VERBS.values() for param in module.PARAMETERS if param.envvar]
    assert {(param.opts[0], param.envvar) for param in params} == {("--key", "TINSMITH_KEY")}
    assert {verb for verb, module in VERBS.items() if {*params} & {*module.PARAMETERS}} >= {
        "run",
        "verify",
        "batch",
    }


@pytest.mark.parametrize("value", HOSTILE)
def test_a_hostile_value_is_one_line(verb: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    for param in VERBS[verb].PARAMETERS:
        if takes_value(param):
            err = refused(capsys, line(verb, {name_of(param): HOSTILE[value]}))
            assert value != "NUL" or err is not None or is_word(param)


def is_word(param: Argument | Option) -> bool:
    """Not a path: what takes it knows its values."""
    return not isinstance(param.type, File | Folder)


@pytest.mark.parametrize("key", ["", " ", "RW", "../" * 10])
def test_a_key_that_is_none_verifies_nothing(key: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    asked: Any = SimpleNamespace(min_version=0, seconds=0)
    with pytest.raises(minisign.InputError, match="neither a public key of minisign"):
        minisign.require(tmp_path / "a", None, key, None, asked)
