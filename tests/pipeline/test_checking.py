"""What can be known of a recipe and its data is told in one list, before any work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.models.tiny_recipes import SMALL, parity, write_home
from tinsmith import cli
from tinsmith.errors import DataError, FaultsError
from tinsmith.pipeline import base, checking, engine, recipe
from tinsmith.system import progress

FORBIDDEN = '{"input": "number 30", "output": "prime"}'
CHOICES = SMALL + '[constraint]\nchoices = ["even", "odd"]\n'
TASK = """\
[[task]]
name = "{name}"
[task.data]
train = "{name}.jsonl"
validation = "validation.jsonl"
test = "test.jsonl"
task = "classify"
{more}
"""


def write(folder: Path, text: str = CHOICES, **lines: dict[int, str]) -> Path:
    """A home whose files have these lines in place of their own, by number."""
    path = write_home(folder, text, parity)
    for split, changed in lines.items():
        rows = (folder / f"{split}.jsonl").read_text().splitlines()
        for number, line in changed.items():
            rows[number - 1] = line
        (folder / f"{split}.jsonl").write_text("\n".join(rows) + "\n")
    return path


def test_every_fault_is_in_one_list_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    train = {4: FORBIDDEN, 6: '{"input": "number 31"}', 7: "not JSON"}
    path = write(tmp_path, train=train, validation={2: FORBIDDEN}, test={1: FORBIDDEN, 2: "[]"})
    path.write_text(
        path.read_text()
        .replace("[data]", '[data]\nlicenses = "LICENSES"')
        .replace("context = 256", "context = 100_000")
    )
    monkeypatch.setattr(base, "model_digest", lambda path: pytest.fail("the base was hashed"))
    assert cli.main(["make", str(path), "--out", str(tmp_path / "out")]) == 2
    head, *said = [line for line in capsys.readouterr().err.splitlines() if line != "data: …"]
    assert head == f"tinsmith: error: {path}: 7 faults:"
    data = str(tmp_path)
    expected = [
        f"{path}: [data] licenses: {data}/LICENSES: no such file",
        f"{path}: [build] context: 100000 is longer than the base's",
        f"{data}/train.jsonl:7: ",
        f"{data}/test.jsonl:2: ",
        f'{data}/train.jsonl:6: "output" is missing',
        f'{data}/train.jsonl:4: "prime" is not allowed',
        f'{data}/validation.jsonl:2: "prime" is not allowed',
    ]
    assert len(said) == 7
    for begin in expected:
        assert sum(line.strip().startswith(begin) for line in said) == 1, begin

    assert cli.main(["data", "check", str(path)]) == 1
    listed = capsys.readouterr().out
    assert all(line in listed for line in said)


def test_an_example_that_is_too_long_is_named_with_the_others(tmp_path: Path) -> None:
    long = json.dumps({"input": "number " * 600, "output": "odd"})
    loaded = recipe.load(write(tmp_path, train={1: long, 2: FORBIDDEN}))
    with pytest.raises(FaultsError) as caught:
        checking.refuse([loaded])
    forbidden, too_long = caught.value.lines
    assert forbidden.startswith(f'{tmp_path}/train.jsonl:2: "prime"')
    assert too_long.startswith(f"{tmp_path}/train.jsonl:1: ")
    assert "tokens, of at most 512" in too_long


def test_one_fault_is_the_error(tmp_path: Path) -> None:
    loaded = recipe.load(write(tmp_path, train={4: FORBIDDEN}, test={1: FORBIDDEN}))
    with pytest.raises(DataError, match=r'train.jsonl:4: "prime" is not allowed') as caught:
        engine.make(loaded, tmp_path / "out", progress.Silent(), "train")
    assert not isinstance(caught.value, FaultsError)


def test_a_long_list_ends_with_a_count(tmp_path: Path) -> None:
    path = write(tmp_path)
    (tmp_path / "train.jsonl").write_text(f"{FORBIDDEN}\n" * 30)
    with pytest.raises(FaultsError) as caught:
        checking.refuse([recipe.load(path)])
    assert caught.value.lines[checking.MOST :] == ["and 10 more; tinsmith data check lists them"]


def test_a_base_that_is_not_here_is_not_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINSMITH_CACHE", str(tmp_path / "cache"))
    path = write(tmp_path, train={4: FORBIDDEN})
    path.write_text(path.read_text().replace('"base.gguf"', '"smollm2-135m-instruct"'))
    with pytest.raises(DataError, match=r"train.jsonl:4: "):
        checking.refuse([recipe.load(path)])
    assert not list((tmp_path / "cache").rglob("*.gguf"))


def test_several_tasks_are_checked_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = [f'{{"input": "number {n}", "output": "{parity(n)}"}}\n' for n in range(12)]
    later = """command = ["python", "-c", "import pathlib; pathlib.Path('ran').touch()"]"""
    tasks = [TASK.format(name=name, more="") for name in ("one", "two")]
    tasks.append(TASK.format(name="later", more=later))
    head = '[base]\nmodel = "base.gguf"\n[router]\noff_topic = "off.txt"\ntest = "off.txt"\n'
    path = write_home(tmp_path, head + "".join(tasks), parity)
    (tmp_path / "off.txt").write_text("hello\n")
    (tmp_path / "one.jsonl").write_text("".join([*train, "{}\n"]))
    (tmp_path / "two.jsonl").write_text("".join(["{}\n", *train]))
    assert cli.main(["make", str(path), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert f"{path}: 2 faults:" in said
    assert f"{tmp_path}/one.jsonl:13: " in said
    assert f"{tmp_path}/two.jsonl:1: " in said
    assert not (tmp_path / "ran").exists()

    assert cli.main(["data", "check", str(path)]) == 1
    told = capsys.readouterr().out
    assert all(f"task {name}:" in told for name in ("one", "two", "later"))
    assert cli.main(["data", "check", str(path), "--json", "-"]) == 2
    assert "--json: is of one task" in capsys.readouterr().err
