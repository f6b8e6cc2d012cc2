"""What of a recipe reaches training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.models.tiny_recipes import BASE, parity, write_home
from tinsmith.errors import DataError, InputError
from tinsmith.pipeline import engine, recipe
from tinsmith.pipeline.stage import Reporter
from tinsmith.pipeline.stages.train import make as training
from tinsmith.pipeline.stages.train.make import Qat, Trained
from tinsmith.pipeline.stages.train.progress import Progress
from tinsmith.system import progress
from tinsmith.train import methods
from tinsmith.train.events import Event, Rolled, Started, Step, Trying, Updated, Validated
from tinsmith.train.model import devices

RECIPE = f"""\
{BASE}task = "classify"
[train]
epochs = 1
qat = "none"
"""
MISSING = next(name for name in ("mps", "cuda") if name not in devices.present())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("open")
    write_home(folder, RECIPE, parity)
    return folder


def trained(folder: Path, text: str) -> Trained:
    (folder / "home.toml").write_text(text)
    run = engine.make(recipe.load(folder / "home.toml"), folder / "run", progress.PlainDisplay(), goal="train")
    return run.done(engine.TRAIN).facts


def test_what_a_training_never_sees_trains_nothing_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an earlier version recorded, of more, holds too."""
    names: list[str] = []
    train = training.trained
    monkeypatch.setattr(training, "trained", lambda *given: (names.append(given[2].name), train(*given))[1])
    unprepared = RECIPE.replace('qat = "none"\n', "")

    def again(text: str, out: str = "seen", build: str = "") -> list[str]:
        (folder / "home.toml").write_text(f'{text}[build]\nformats = ["Q8_0"{build}]\n')
        engine.make(recipe.load(folder / "home.toml"), folder / out, progress.PlainDisplay(), goal="train")
        found = names[:]
        names.clear()
        return found

    assert again(RECIPE) == ["logs"]
    assert again(unprepared) == []
    assert again(unprepared, build=', "Q4_0"') == ["qat"]
    rows = [{"input": f"count {n}", "output": "many"} for n in range(6)]
    for name, some in (("new", rows[:4]), ("new-test", rows[4:])):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some))
    going_on = '[update]\nadapter = "seen/adapter"\ndata = "new.jsonl"\nretrain = '
    assert again(f'{RECIPE}{going_on}"never"\n', "more") == ["continued"]
    tested = f'{going_on}"always"\ntest = "new-test.jsonl"\n'
    assert again(RECIPE + tested, "more") == ["retrained"]
    assert again(unprepared + tested, "more", ', "Q4_0"') == ["qat"]
    assert again(unprepared + tested.replace("always", "auto"), "more", ', "Q4_0"') == []
    assert again(f"{RECIPE}{tested}epochs = 3\n", "more") == ["continued"]
    assert again(f"{RECIPE}rank = 4\n") == ["logs"]


def test_another_constraint_trains_nothing_again(folder: Path) -> None:
    labels = '[constraint]\nchoices = "labels"\n'
    assert trained(folder, RECIPE + labels).curve == trained(folder, RECIPE).curve


@pytest.mark.parametrize(("method", "decides"), [("lora", False), ("grpo", True)])
def test_a_constraint_decides_rollouts_alone(method: str, decides: bool, folder: Path) -> None:
    text = f'{RECIPE}method = "{method}"\n[constraint]\n'
    assert ("constraint" in inputs_of(folder, text + 'choices = "labels"\n')) == decides
    assert "constraint" not in inputs_of(folder, text + "unconstrained = true\n")


def inputs_of(folder: Path, text: str) -> dict[str, Any]:
    """What training depends on."""
    (folder / "home.toml").write_text(text)
    run = engine.make(
        recipe.load(folder / "home.toml"), folder / "inputs", progress.PlainDisplay(), goal="data"
    )
    return dict(engine.TRAIN.inputs(run).decides)


def test_seconds_are_those_of_every_process() -> None:
    def in_all(last: float, **more: Any) -> float:
        return Trained(0.1, "", 1, 1, 60.0, [], [], **more).seconds_in_all(last)

    qat, both = (
        Qat("Q4_0", "", 1, 5.0, []),
        Updated("continued", {}, {"continued": 60.0, "retrained": 90.0}),
    )
    assert in_all(61.5) == 61.5
    assert in_all(2.0) == 60.0
    assert in_all(2.0, qat=qat) == 65.0
    assert in_all(2.0, qat=qat, update=both) == 155.0


def said(capsys: pytest.CaptureFixture[str], method: str, *events: Event) -> list[str]:
    reporter = Reporter(progress.PlainDisplay())
    with reporter.step("train", 1):
        told = Progress(reporter, methods.by_name(method).found)
        for event in events:
            told.show(event)
    return capsys.readouterr().err.splitlines()


def test_a_reward_is_no_share(capsys: pytest.CaptureFixture[str]) -> None:
    """A function of the user's gives any numbers."""
    step = Step(1, 1, 1, -1e-9, 0.1, 5.0)
    rolled = Rolled(1, prompts=8, alike=1, failed=0, reward=352.5, tokens=2.0)
    validated = Validated(1, 1, 0.5, 353.0, True)
    assert said(capsys, "grpo", validated, rolled, step) == [
        "train: epoch 1: validation loss 0.5000, reward 353.000, the best so far",
        "train: 1 of 1, loss 0.000, reward 352.500, 7 of 8 prompts learned, 5 tokens/s",
    ]


def test_steps_and_time_are_of_a_seed(capsys: pytest.CaptureFixture[str]) -> None:
    step, validated = Step(1, 1, 1, 2.0, 0.1, 5.0), Validated(1, 1, 0.5, 0.25, True)
    events = [Started(0, 1, 0.1, "why", seed=3), step, validated, Started(0, 1, 0.1, "why", seed=4), step]
    assert said(capsys, "lora", *events) == [
        "train: seed 3: 1 step, why",
        "train: 1 of 1, seed 3, loss 2.000, 5 tokens/s",
        "train: epoch 1: validation loss 0.5000, 25.0% exact, the best so far",
        "train: seed 4: 1 step, why",
        "train: 1 of 1, seed 4, loss 2.000, 5 tokens/s",
    ]


def test_a_search_says_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    tried = Trying(3, 3, 0.002, done=20, count=20, loss=1.25)
    step = Step(1, 1, 1, 2.0, 0.1, 5.0)
    assert said(capsys, "lora", tried, Started(0, 1, 0.1, "why"), step) == [
        "train: 20 of 20, trial 3 of 3, rate 0.002, loss 1.250",
        "train: 1 step, why",
        "train: 1 of 1, loss 2.000, 5 tokens/s",
    ]


def test_rewards_that_teach_nothing_are_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A base of random weights never answers with a label."""
    text = RECIPE.replace(
        "[train]", '[constraint]\nunconstrained = true\n[train]\nmethod = "grpo"\nrollouts = 2'
    )
    trained(folder, text)
    assert "train: warning: nothing was learned, since in no step" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("keys", "fault"),
    [
        ("max_length = 8", r"train.jsonl:1: \d+ tokens, of at most 8"),
        ("[build]\ncontext = 8", r"the example asks with \d+ tokens, and a session holds 8 "),
        ('method = "distill"\nteacher = "none.gguf"', r"\[train\] teacher: .*none.gguf: no such file"),
        (f'device = "{MISSING}"', f'device = "{MISSING}"'),
        ('targets = ["q_projection"]', r"\[train\] targets: llama has no linear layer 'q_projection'; it has"),
    ],
)
def test_what_training_would_refuse_is_refused_before_the_baselines(
    keys: str, fault: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They ask the base for minutes."""
    (folder / "home.toml").write_text(RECIPE + keys + "\n")
    with pytest.raises(InputError, match=fault):
        engine.make(recipe.load(folder / "home.toml"), tmp_path, progress.PlainDisplay())
    assert "zero_shot" not in capsys.readouterr().err


def test_what_is_preferred_and_too_long_is_refused_before_the_baselines(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"input": f"{n}", "chosen": "odd" * n, "rejected": "even"} for n in (1, 90)]
    (folder / "long.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = RECIPE.replace("[train]", 'preferences = "long.jsonl"\n[train]\nmethod = "dpo"\nmax_length = 60')
    (folder / "home.toml").write_text(text.replace('task = "classify"', 'task = "chat"'))
    with pytest.raises(
        DataError, match=r"preferences.jsonl:2: the example has \d+ tokens, more than max_length = 60"
    ):
        engine.make(recipe.load(folder / "home.toml"), tmp_path, progress.PlainDisplay())
    assert "zero_shot" not in capsys.readouterr().err


def test_curves_of_what_had_ended_are_said_to_be_missing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "home.toml").write_text(RECIPE)
    told = []
    for _ in range(2):
        settings = recipe.load(folder / "home.toml")
        engine.make(settings, folder / "logged", progress.PlainDisplay(), goal="train", log="csv")
        told.append("--log writes curves while it runs" in capsys.readouterr().err)
    assert told == [False, True]
