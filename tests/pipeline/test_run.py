from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tinsmith.errors import FormatError, InputError, TinsmithError
from tinsmith.pipeline import recipe
from tinsmith.pipeline import run as engine
from tinsmith.pipeline.run import Run, Stage, opened
from tinsmith.pipeline.stage import Made, Nothing, Reporter
from tinsmith.system import files

RECIPE = '[base]\nmodel = "b"\n[data]\ntrain = "a"\nvalidation = "a"\ntest = "a"\n'


class Lines:
    """A display that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)

    def bar(self, label: str, total: float) -> Any:
        raise AssertionError("these stages show no bar")


@pytest.fixture
def loaded(tmp_path: Path) -> recipe.Recipe:
    path = tmp_path / "home.toml"
    path.write_text(RECIPE)
    return recipe.load(path)


@dataclass(frozen=True)
class First:
    value: int


class Chain:
    """Two stages, the second made of the first's output; `value` is what the first depends on."""

    def __init__(self) -> None:
        self.value = 1
        self.ran: list[str] = []

    def first(self, value: int, folder: Path, reporter: Reporter) -> Made[First]:
        self.ran.append("first")
        path = folder / "first.txt"
        path.write_text(f"first {value}")
        return Made([path], First(value))

    def second(self, first: dict[str, str], folder: Path, reporter: Reporter) -> Made[Nothing]:
        self.ran.append("second")
        path = folder / "second.txt"
        path.write_text((folder / "first.txt").read_text() + " second")
        return Made([path], Nothing())

    def stages(self) -> list[Stage[Any, Any]]:
        first = Stage("first", (), First, lambda run: self.value, lambda value: {"value": value}, self.first)
        second = Stage(
            "second",
            ("first",),
            Nothing,
            lambda run: run.done(first).digests,
            lambda digests: {"first": digests},
            self.second,
        )
        return [first, second]

    def update(self, loaded: recipe.Recipe, folder: Path, goal: str = "second") -> tuple[list[str], list[str]]:
        """(stages that ran, lines shown)"""
        self.ran.clear()
        shown = Lines()
        with opened(loaded, folder, shown) as run:
            run.update(self.stages(), [goal])
        return list(self.ran), shown.lines


def test_a_stage_runs_once(loaded: recipe.Recipe, tmp_path: Path) -> None:
    chain = Chain()
    assert chain.update(loaded, tmp_path / "run")[0] == ["first", "second"]
    ran, lines = chain.update(loaded, tmp_path / "run")
    assert ran == []
    assert lines == ["first: up to date", "second: up to date"]


def test_a_goal_brings_what_it_needs_and_no_more(loaded: recipe.Recipe, tmp_path: Path) -> None:
    chain = Chain()
    assert chain.update(loaded, tmp_path / "run", "first")[0] == ["first"]
    assert chain.update(loaded, tmp_path / "run", "second")[0] == ["second"]


def test_changed_inputs_run_a_stage_and_its_followers(loaded: recipe.Recipe, tmp_path: Path) -> None:
    chain = Chain()
    chain.update(loaded, tmp_path / "run")
    chain.value = 2
    assert chain.update(loaded, tmp_path / "run")[0] == ["first", "second"]
    assert (tmp_path / "run" / "second.txt").read_text() == "first 2 second"


def test_what_changes_while_a_stage_runs_is_read_by_the_next_run(loaded: recipe.Recipe, tmp_path: Path) -> None:
    """And what the stage had to make itself runs it no second time."""
    source, missing = tmp_path / "source.txt", tmp_path / "missing.txt"
    source.write_text("before")

    def inputs(run: Run) -> dict[str, Any]:
        return {"read": [path.read_text() if path.exists() else None for path in (source, missing)]}

    ran: list[str] = []

    def make(inputs: dict[str, Any], folder: Path, reporter: Reporter) -> Made[Nothing]:
        ran.append(source.read_text())
        missing.write_text("made")
        source.write_text("after")
        return Made([], Nothing())

    for _ in range(3):
        with opened(loaded, tmp_path / "run", Lines()) as run:
            run.update([Stage("data", (), Nothing, inputs, dict, make)], ["data"])
    assert ran == ["before", "after"]


def test_a_new_version_runs_every_stage(
    loaded: recipe.Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = Chain()
    chain.update(loaded, tmp_path / "run")
    monkeypatch.setattr(engine, "__version__", "9.9")
    assert chain.update(loaded, tmp_path / "run")[0] == ["first", "second"]


def test_a_slow_stage_outlives_a_version(
    loaded: recipe.Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[int] = []

    def update(value: int) -> bool:
        def make(value: int, folder: Path, reporter: Reporter) -> Made[Nothing]:
            ran.append(value)
            return Made([], Nothing())

        ran.clear()
        stage = Stage(
            "slow", (), Nothing, lambda run: value, lambda value: {"value": value}, make, outlives_version=True
        )
        with opened(loaded, tmp_path / "run", Lines()) as run:
            run.update([stage], ["slow"])
        return bool(ran)

    assert update(1)
    monkeypatch.setattr(engine, "__version__", "9.9")
    assert not update(1)
    assert update(2)


@pytest.mark.parametrize("damage", [b"second", b"first 1 sec0nd", None])
def test_damaged_outputs_are_made_again(loaded: recipe.Recipe, tmp_path: Path, damage: bytes | None) -> None:
    chain = Chain()
    chain.update(loaded, tmp_path / "run")
    output = tmp_path / "run" / "second.txt"
    output.unlink() if damage is None else output.write_bytes(damage)
    assert chain.update(loaded, tmp_path / "run")[0] == ["second"]


def test_a_touched_output_is_intact(loaded: recipe.Recipe, tmp_path: Path) -> None:
    chain = Chain()
    chain.update(loaded, tmp_path / "run")
    os.utime(tmp_path / "run" / "second.txt", (1, 1))
    assert chain.update(loaded, tmp_path / "run")[0] == []


def test_a_failed_stage_is_not_taken_for_done(loaded: recipe.Recipe, tmp_path: Path) -> None:
    chain = Chain()
    chain.update(loaded, tmp_path / "run")
    chain.value = 2

    def fail(first: dict[str, str], folder: Path, reporter: Reporter) -> Made[Nothing]:
        (folder / "second.txt").write_text("half")
        raise InputError("no luck")

    made, chain.second = chain.second, fail  # type: ignore[method-assign]
    with pytest.raises(InputError, match="no luck"):
        chain.update(loaded, tmp_path / "run")
    chain.second = made  # type: ignore[method-assign]
    assert chain.update(loaded, tmp_path / "run")[0] == ["second"]


def test_the_record_says_what_was_read_and_made(loaded: recipe.Recipe, tmp_path: Path) -> None:
    Chain().update(loaded, tmp_path / "run")
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["recipe"] == {"path": str(loaded.path), "sha256": loaded.sha256, "name": "home"}
    assert record["versions"]["python"] == sys.version.split()[0]
    assert record["machine"]["cores"] == os.cpu_count()
    first = record["stages"]["first"]
    assert first["facts"] == {"value": 1}
    assert first["inputs"]["value"] == 1
    assert first["outputs"]["first.txt"]["bytes"] == len("first 1")
    assert first["seconds"] >= 0
    assert not list((tmp_path / "run").glob(".run.json*"))


def test_facts_of_another_shape_are_made_again(loaded: recipe.Recipe, tmp_path: Path) -> None:
    chain, path = Chain(), tmp_path / "run" / "run.json"
    chain.update(loaded, path.parent)
    state = json.loads(path.read_text())
    state["stages"]["first"]["facts"]["value"] = [1]
    path.write_text(json.dumps(state))
    assert chain.update(loaded, path.parent)[0] == ["first"]


class Shipping:
    """A stage that makes a file of each format, and whose earlier ones go."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def update(self, loaded: recipe.Recipe, formats: str, kept: Sequence[str] = ()) -> list[str]:
        """The lines that say what was removed, or wasn't."""

        def make(names: str, folder: Path, reporter: Reporter) -> Made[Nothing]:
            made = [folder / f"{name}.bin" for name in names] + [self.folder / f"{formats}.base"]
            for path in made:
                path.write_text(f"of {path.stem}")
            return Made(made, Nothing())

        stage = Stage("build", (), Nothing, lambda run: formats, lambda names: {"f": names}, make, ships=True)
        shown = Lines()
        with opened(loaded, self.folder / "run", shown) as run:
            run.update([stage], ["build"])
            run.remove_earlier(kept)
        return [line for line in shown.lines if not line.startswith("build: ")]

    def left(self) -> list[str]:
        return sorted(path.name for path in self.folder.rglob("*.b*"))


def test_what_a_recipe_makes_no_more_is_removed(loaded: recipe.Recipe, tmp_path: Path) -> None:
    made = Shipping(tmp_path)
    assert made.update(loaded, "abcd") == []
    (tmp_path / "run" / "c.bin").write_text("somebody else's")
    (tmp_path / "run" / "e.bin").write_text("of e")
    assert made.update(loaded, "ad") == ["b.bin: removed, the recipe makes it no more"]
    # What lies elsewhere may be another run's as well.
    assert made.left() == ["a.bin", "abcd.base", "ad.base", "c.bin", "d.bin", "e.bin"]
    assert made.update(loaded, "a", ["d.bin"]) == []
    assert made.update(loaded, "ad") == made.update(loaded, "ad") == []
    assert made.update(loaded, "a") == ["d.bin: removed, the recipe makes it no more"]
    assert json.loads((tmp_path / "run" / "run.json").read_text())["earlier"] == {}


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
def test_a_link_is_not_followed_to_what_was_made(loaded: recipe.Recipe, tmp_path: Path) -> None:
    made = Shipping(tmp_path)
    made.update(loaded, "ab")
    (tmp_path / "run" / "b.bin").rename(tmp_path / "b.bin")
    (tmp_path / "run" / "b.bin").symlink_to(tmp_path / "b.bin")
    assert made.update(loaded, "a") == []
    assert (tmp_path / "run" / "b.bin").read_text() == "of b"


def test_a_stage_that_failed_leaves_what_was_made_for_the_next(loaded: recipe.Recipe, tmp_path: Path) -> None:
    made = Shipping(tmp_path)
    made.update(loaded, "ab")
    (tmp_path / "run" / "c.bin").mkdir()
    with pytest.raises(OSError, match=r"c\.bin"):
        made.update(loaded, "ac")
    assert made.left() == ["a.bin", "ab.base", "b.bin", "c.bin"]
    assert made.update(loaded, "a") == ["b.bin: removed, the recipe makes it no more"]


@pytest.mark.parametrize("text", ["{", "[]", "null", '{"earlier": []}', '{"mine": 1}'])
def test_a_damaged_record_is_an_error(loaded: recipe.Recipe, tmp_path: Path, text: str) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text(text)
    with pytest.raises(FormatError, match=r"run\.json.*: .*it is damaged: move the folder away"):
        Chain().update(loaded, tmp_path / "run")


def test_two_runs_in_one_folder_do_not_meet(loaded: recipe.Recipe, tmp_path: Path) -> None:
    with (
        opened(loaded, tmp_path / "run", Lines()),
        pytest.raises(InputError, match="another tinsmith is at work in it"),
        opened(loaded, tmp_path / "run", Lines()),
    ):
        pass
    with opened(loaded, tmp_path / "run", Lines()):
        pass


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = {path!r}
from tests.pipeline.test_run import Chain
from tinsmith.system import files
from tinsmith.pipeline import recipe

chain = Chain()
def die(inputs, folder, reporter):
    (folder / "second.txt").write_text("half")
    with files.atomic_write(folder / "deep" / "er.txt"):
        os.kill(os.getpid(), signal.SIGKILL)
chain.second = die
chain.update(recipe.load({recipe!r}), Path({folder!r}))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_killed_run_goes_on_where_it_was(loaded: recipe.Recipe, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    script = KILLED.format(path=sys.path, recipe=str(loaded.path), folder=str(folder))
    done = subprocess.run([sys.executable, "-c", script], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(list((folder / "deep").iterdir())) == 1
    others = [folder / ".notes.tmp", folder / "deep" / ".other-program.1234.tmp"]
    for path in others:
        path.write_text("precious")
    assert Chain().update(loaded, folder)[0] == ["second"]
    assert list((folder / "deep").iterdir()) == [others[1]]
    assert [path.read_text() for path in others] == ["precious"] * 2
    assert (folder / "second.txt").read_text() == "first 1 second"


def test_a_lock_that_is_no_file_of_ours_is_left_alone(loaded: recipe.Recipe, tmp_path: Path) -> None:
    """A run may be opened in a folder where other programs are at home."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").write_text("another program's")
    (tmp_path / "run" / engine.LOCK).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="tinsmith.lock"), opened(loaded, tmp_path / "run", Lines()):
        pass
    assert not (tmp_path / "elsewhere").exists()
    (tmp_path / "run" / engine.LOCK).unlink()
    with opened(loaded, tmp_path / "run", Lines()):
        pass
    assert (tmp_path / "run" / ".lock").read_text() == "another program's"


def _writer(*names: str) -> Stage[Any, Any]:
    """A stage of files written as the pipeline's stages do."""

    def make(names: Sequence[str], folder: Path, reporter: Reporter) -> Made[Nothing]:
        for name in names:
            files.write_text(folder / name, "the run's")
        return Made([folder / name for name in names], Nothing())

    return Stage("writer", (), Nothing, lambda run: names, lambda names: {"names": list(names)}, make)


def _write(loaded: recipe.Recipe, folder: Path, *names: str) -> None:
    with opened(loaded, folder, Lines()) as run:  # type: ignore[arg-type]
        run.update([_writer(*names)], ["writer"])


@pytest.mark.parametrize("way", ["file", "link", "dangling link", "linked folder"])
def test_no_file_of_others_is_replaced(loaded: recipe.Recipe, tmp_path: Path, way: str) -> None:
    mine, place = tmp_path / "mine" / "a.txt", tmp_path / "run" / "data" / "a.txt"
    mine.parent.mkdir()
    if way != "dangling link":
        mine.write_text("precious")
    if way == "linked folder":
        (tmp_path / "run").mkdir()
        place.parent.symlink_to(mine.parent)
    else:
        place.parent.mkdir(parents=True)
        place.write_text("precious") if way == "file" else place.symlink_to(mine)
    with pytest.raises(InputError, match="the run did not make it; move it away, or give another folder"):
        _write(loaded, tmp_path / "run", "data/a.txt")
    assert (place.read_text() if mine.exists() or way == "file" else None) in ("precious", None)
    assert mine.exists() == (way != "dangling link")


def test_a_link_in_the_place_of_a_runs_file_is_not_followed(loaded: recipe.Recipe, tmp_path: Path) -> None:
    _write(loaded, tmp_path / "run", "a.txt")
    (tmp_path / "mine").write_text("precious")
    (tmp_path / "run" / "a.txt").unlink()
    (tmp_path / "run" / "a.txt").symlink_to(tmp_path / "mine")
    with pytest.raises(InputError, match="the run did not make it"):
        _write(loaded, tmp_path / "run", "a.txt")
    assert (tmp_path / "mine").read_text() == "precious"


def test_a_cache_in_the_folder_is_none_of_the_runs_files(
    loaded: recipe.Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINSMITH_CACHE", str(tmp_path / "run" / "cache"))
    monkeypatch.setenv("TINSMITH_LOCK", str(tmp_path / "run" / "models.lock"))
    (tmp_path / "run" / "cache").mkdir(parents=True)
    for name in ("cache/model.gguf", "models.lock"):
        (tmp_path / "run" / name).write_text("of before")
        with opened(loaded, tmp_path / "run", Lines()) as run:  # type: ignore[arg-type]
            files.write_text(run.folder / name, "fetched again")
            assert run.state["files"] == []


def test_a_run_writes_its_own_files_again(loaded: recipe.Recipe, tmp_path: Path) -> None:
    _write(loaded, tmp_path / "run", "data/a.txt")
    (tmp_path / "run" / "data" / "a.txt").write_text("edited")
    _write(loaded, tmp_path / "run", "data/a.txt", "data/b.txt")
    assert (tmp_path / "run" / "data" / "a.txt").read_text() == "the run's"


def test_a_file_is_the_runs_before_it_is_written(loaded: recipe.Recipe, tmp_path: Path) -> None:
    """A kill between the two leaves a file that the next run may replace."""
    folder = tmp_path / "run"
    with opened(loaded, folder, Lines()), files.atomic_write(folder.resolve() / "a.txt"):
        assert json.loads((folder / "run.json").read_text())["files"] == ["a.txt"]
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [engine.LOCK, "a.txt", "run.json"]


@pytest.mark.parametrize("train", ["data/train.jsonl", "data", "link.jsonl"])
def test_an_input_of_the_recipe_is_no_output(tmp_path: Path, train: str) -> None:
    """Also where run.json names it."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.jsonl").write_text("precious")
    (tmp_path / "link.jsonl").symlink_to("data/train.jsonl")
    path = tmp_path / "home.toml"
    path.write_text(RECIPE.replace('train = "a"', f'train = "{train}"'))
    record = {"stages": {}, "files": ["data", "home.toml"]}
    (tmp_path / "run.json").write_text(json.dumps(record))
    for name, named in (("data/train.jsonl", "train|data"), ("home.toml", "home.toml")):
        with pytest.raises(InputError, match=f"the run would replace it, and .* reads .*({named})"):
            _write(recipe.load(path), tmp_path, name)
    assert (tmp_path / "data" / "train.jsonl").read_text() == "precious"


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, one in inner for place in _places(one, (*path, key)))]


def _changed(value: Any, path: tuple[Any, ...], new: object) -> Any:
    if not path:
        return new
    value = dict(value) if isinstance(value, dict) else list(value)
    value[path[0]] = _changed(value[path[0]], path[1:], new)
    return value


@pytest.mark.parametrize("odd", [None, 5, "../../x", [1], {"a": 1}])
def test_whatever_a_record_says_it_is_used_or_refused(
    loaded: recipe.Recipe, tmp_path: Path, odd: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "versions", dict)  # which take long to find
    monkeypatch.setattr(engine, "machine", dict)
    _write(loaded, tmp_path / "run", "a.txt")
    (tmp_path / "x").write_text("precious")
    path = tmp_path / "run" / "run.json"
    whole = json.loads(path.read_text())
    for place in _places(whole):
        path.write_text(json.dumps(_changed(whole, place, odd)))
        try:
            with opened(loaded, tmp_path / "run", Lines()) as run:  # type: ignore[arg-type]
                run.update([_writer("a.txt", "b.txt")], ["writer"])
                run.remove_earlier(())
        except TinsmithError as error:
            assert "\n" not in str(error)
        (tmp_path / "run" / "b.txt").unlink(missing_ok=True)
    assert (tmp_path / "x").read_text() == "precious"
