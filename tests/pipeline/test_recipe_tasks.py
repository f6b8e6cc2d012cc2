"""A recipe of several tasks: what each of them is alone, and the mistakes it may have."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tinsmith.errors import RecipeError
from tinsmith.pipeline import recipe

TWO = """\
[base]
model = "base.gguf"
[train]
epochs = 3
rank = 8
[router]
off_topic = "off.txt"
[[task]]
name = "home"
[task.data]
train = "home.jsonl"
validation = "home-validation.jsonl"
test = "home-test.jsonl"
[task.constraint]
tools = "tools.json"
[[task]]  # the second
name = "mood"
[task.data]
task = "classify"
train = "mood.jsonl"
validation = "mood-validation.jsonl"
test = "mood-test.jsonl"
[task.train]
epochs = 5
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "two.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_each_task_is_the_recipe_that_it_would_be_alone(tmp_path: Path) -> None:
    whole = recipe.load(write(tmp_path, TWO))
    assert list(whole.tasks) == ["home", "mood"]
    home, mood = whole.tasks.values()
    assert (home.train.epochs, mood.train.epochs, mood.train.rank) == (3, 5, 8)
    assert (home.constraint.tools, mood.constraint.source) == ("tools.json", None)
    assert (home.data.task, mood.data.task) == ("call", "classify")
    assert (home.name, mood.name, home.base) == ("two-home", "two-mood", whole.base)
    assert home.resolve(str(home.data.train)) == tmp_path / "home.jsonl"
    assert {home.train.qat, mood.train.qat} == {"none"}
    alone = TWO[: TWO.index("[router]")] + "[data]\n" + TWO[TWO.index("train = ") : TWO.index("[task.constr")]
    (tmp_path / "home.toml").write_text(alone + '[constraint]\ntools = "tools.json"\n')
    assert recipe.load(tmp_path / "home.toml").data == home.data


def test_a_recipe_of_one_task_has_no_router(tmp_path: Path) -> None:
    one = TWO[: TWO.index("[router]")] + '[data]\ntrain = "a"\nvalidation = "b"\ntest = "c"\n'
    path = write(tmp_path, one)
    loaded = recipe.load(path)
    assert (loaded.tasks, loaded.router, loaded.data.train) == ({}, None, "a")


def test_all_tasks_decide_what_the_whole_is(tmp_path: Path) -> None:
    texts = (TWO, TWO.replace("epochs = 5", "epochs = 6"), TWO.replace("tools.json", "other.json"))
    assert len({recipe.load(write(tmp_path, text)).model_digest for text in texts}) == 3


def test_one_adapter_for_all_learns_what_the_run_has_of_them(tmp_path: Path) -> None:
    joint = recipe.joint(recipe.load(write(tmp_path, TWO)), tmp_path / "run")
    assert joint.resolve(str(joint.data.train)) == tmp_path / "run" / "data" / "train.jsonl"
    assert (joint.train.epochs, joint.tasks, joint.router, joint.constraint.source) == (3, {}, None, None)


def test_one_adapter_for_all_is_held_to_none_of_their_constraints(tmp_path: Path) -> None:
    text = TWO.replace("[task.train]", '[task.constraint]\nchoices = "labels"\n[task.train]')
    whole = recipe.load(write(tmp_path, text))
    assert whole.tasks["mood"].constraint.source == "choices"
    assert recipe.joint(whole, tmp_path / "run").constraint.source is None


@pytest.mark.parametrize("method", ["dpo", "continue", "distill"])
def test_what_all_tasks_lack_together_is_refused(tmp_path: Path, method: str) -> None:
    key = {"dpo": "preferences", "continue": "text", "distill": None}[method]
    text = TWO.replace("rank = 8", f'method = "{method}"')
    text = text.replace("[task.data]", f'[task.data]\n{key} = "x"') if key else text
    text = text.replace("epochs = 5", 'epochs = 5\nteacher = "base"') if key is None else text
    if key is None:
        text = text.replace('tools = "tools.json"', 'tools = "tools.json"\n[task.train]\nteacher = "base"')
    with pytest.raises(RecipeError, match=rf':5: \[train\] method: "{method}" makes no adapter of all tasks'):
        recipe.load(write(tmp_path, text))
    alone = text.replace("[router]", "[router]\ncompare = false")
    assert recipe.load(write(tmp_path, alone)).train.method == method


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "mood"', "", r":16: [task] name: missing"),
        ('name = "mood"', 'name = "home"', r':17: [task] name: another task is called "home"'),
        ('name = "mood"', 'name = "a b"', r':17: [task] name: got "a b"; give a file name of letters'),
        ('name = "mood"', 'name = "mood"\ncolor = 1', r":18: [task] color: no such key; a task takes name"),
        ("epochs = 5", "epochs = 0", r':24: [task.train] epochs: got 0; allowed is "auto" or a whole number'),
        ("rank = 8", "rank = 0", r":5: [train] rank: got 0; allowed is a whole number from 1 to 1024"),
        ("rank = 8", 'qat = "Q4_0"', r":5: [train] qat: is for merged files"),
        ("epochs = 5", 'qat = "Q4_0"', r":24: [task.train] qat: is for merged files"),
        ("epochs = 5", 'parts = ["vision_encoder"]', r":24: [task.train] parts: a task's adapter"),
        ("epochs = 5", 'method = "full"', r':24: [task.train] method: "full" trains no adapter'),
        ("rank = 8", 'method = "prefix"', r':5: [train] method: "prefix" makes no adapter of all tasks'),
        ('train = "mood.jsonl"\n', "", r":18: [task.data] train: missing; the router learns from it"),
        ('task = "classify"', 'tusk = "classify"', r":19: [task.data] tusk: no such key, did you mean task?"),
        ("[task.constraint]", "[task.restraint]", r":8: [task] restraint: no such key, did you mean"),
        ('tools = "tools.json"', "", r":14: [task.constraint]: says nothing of the answer"),
        ('off_topic = "off.txt"', "", r":6: [router] off_topic: missing; give a text"),
        ("[router]", "[data]\n[router]", r":6: [data]: a recipe with [[task]] states it for each task"),
        ("[router]", "[scratch]\n[router]", r":6: [scratch]: no such table; the tables are [base], [train]"),
        ("[router]", '[build]\nformats = ["AUTO"]\n[router]', r':7: [build] formats: "AUTO" is for a'),
        ("[router]", "[build]\ncontext = -1\n[router]", r":7: [build] context: got -1; allowed is"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in TWO
    with pytest.raises(RecipeError, match=re.escape(message)):
        recipe.load(write(tmp_path, TWO.replace(old, new)))


def test_one_task_needs_no_router(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"\[task\]: is the only one; give a second one"):
        recipe.load(write(tmp_path, TWO[: TWO.index("[[task]]  #")]))


def test_a_single_table_is_not_a_list_of_them(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"write \[\[task\]\]"):
        recipe.load(write(tmp_path, TWO[: TWO.index("[[task]]")] + '[task]\nname = "home"\n'))


def test_an_update_is_of_one_adapter(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"\[update\]: continues one adapter \(--from\)"):
        recipe.load(write(tmp_path, TWO), update={"adapter": "x"})
