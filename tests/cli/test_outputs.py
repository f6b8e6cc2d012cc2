"""What a verb writes is none of what it reads, whatever both are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.test_hostile_values import VERBS, line, name_of, takes_value
from tinsmith import cli
from tinsmith.cli._command import Option
from tinsmith.cli._types import File, Folder
from tinsmith.errors import InputError
from tinsmith.system import files

OUTPUTS = [
    (verb, name_of(param))
    for verb, module in VERBS.items()
    for param in module.PARAMETERS
    if isinstance(param.type, File) and param.type.out
]


def inputs(verb: str, out: str) -> list[str]:
    """The parameters of files that a verb reads beside an output."""
    params = {name_of(param): param for param in VERBS[verb].PARAMETERS}
    rewritten = {param.type.rewrites for param in params.values() if isinstance(param.type, File)}
    rivals = {name_of(one) for one in params[out].rivals} if isinstance(params[out], Option) else set()
    beside = [params[name] for name in (out, *getattr(params[out], "needs", "").split()) if name in params]
    excluded = {name for one in beside for name in getattr(one, "excludes", "").split()}
    return [
        name
        for name, param in params.items()
        if isinstance(param.type, File | Folder)
        and not param.type.out
        and param.name not in rewritten
        and name not in rivals
        and name not in excluded
        and out not in getattr(param, "excludes", "").split()
        and takes_value(param)
    ]


def test_every_output_is_known() -> None:
    assert {verb for verb, _ in OUTPUTS} == {
        *("adapters", "batch", "data check", "diff", "export", "logits", "quantize", "run"),
    }


@pytest.mark.parametrize("way", ["same", "link", "linked folder", "inside"])
@pytest.mark.parametrize(("verb", "out"), OUTPUTS)
def test_an_input_is_no_output(
    verb: str,
    out: str,
    way: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(VERBS[verb], "run", lambda args: 0)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine").write_text("precious")
    (tmp_path / "link").symlink_to("folder/mine")
    (tmp_path / "linked").symlink_to("folder")
    read, written = {
        "same": ("folder/mine", "./folder/../folder/mine"),
        "link": ("folder/mine", "link"),
        "linked folder": ("folder/mine", "linked/mine"),
        "inside": ("folder", "folder/mine"),
    }[way]
    for name in inputs(verb, out):
        assert cli.main(line(verb, {name: read, out: written})) == cli.FAILED
        err = capsys.readouterr().err
        assert (
            err
            == f"tinsmith: error: {Path(written)}: is the input of {name}; give another path for the output\n"
        )
        assert cli.main(line(verb, {name: read, out: "new"})) == 0
    assert (tmp_path / "folder" / "mine").read_text() == "precious"


def test_two_outputs_are_two_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.jsonl").write_text("{}\n")
    out = str(tmp_path / "out")
    assert cli.main(["data", "check", str(tmp_path / "a.jsonl"), "--json", out, "--html", out]) == cli.FAILED
    assert "is the output of both --json and --html; give two paths" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("write", ["file", "folder", "line"])
def test_a_derived_name_is_none_of_an_input(
    write: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a verb writes: names that no option gives too."""
    mine = tmp_path / "model" / "mmproj-a.gguf"
    mine.parent.mkdir()
    mine.write_text("precious")

    def run(args: object) -> int:
        if write == "folder":
            with files.atomic_folder(mine.parent, replaces=mine.name):
                pass
        (files.append_line if write == "line" else files.write_text)(mine, "new")
        return 0

    monkeypatch.setattr(VERBS["quantize"], "run", run)
    assert cli.main(["quantize", str(mine), str(tmp_path / "a.gguf"), "--type", "q8_0"]) == cli.FAILED
    assert mine.read_text() == "precious"
    files.write_text(mine, "later")  # outside of the verb
    assert mine.read_text() == "later"


def test_a_file_in_place_is_rewritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.tin").write_text("old")
    (tmp_path / "adapter").mkdir()

    def run(args: object) -> int:
        files.write_text(tmp_path / "a.tin", "new")
        return 0

    monkeypatch.setattr(VERBS["adapters"], "run", run)
    assert (
        cli.main(["adapters", str(tmp_path / "a.tin"), "--add", "n", "--from", str(tmp_path / "adapter")]) == 0
    )
    assert (tmp_path / "a.tin").read_text() == "new"


def test_no_line_is_added_to_what_is_not_ours(tmp_path: Path) -> None:
    def check(path: Path) -> None:
        raise InputError("no")

    with files.claims(check), pytest.raises(InputError, match="no"):
        files.append_line(tmp_path / "a", "line")
    assert not (tmp_path / "a").exists()
