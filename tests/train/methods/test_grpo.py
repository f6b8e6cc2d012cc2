"""Learning from rewards: what is drawn and set aside, that it is learned, and what a kill leaves."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.train.tiny_training import PAIRS, digits, encode, killed_and_resumed, train
from tinsmith import cli
from tinsmith.constraint import makers
from tinsmith.data.readers import Example
from tinsmith.errors import RecipeError
from tinsmith.pipeline import recipe
from tinsmith.spec import Spec
from tinsmith.train import methods
from tinsmith.train.events import Rolled
from tinsmith.train.job import Job
from tinsmith.train.options import TrainOptions

OPTIONS = TrainOptions(
    task="chat",
    epochs=4,
    rank=8,
    learning_rate=2e-2,
    batch_tokens=200,
    qat=None,
    renew=2,
    threads=1,
    prompts=7,
    rollouts=8,
)


@pytest.fixture
def asked() -> list[Example]:
    return [Example(first + second, f"{n % 7}") for n, (first, second) in enumerate(PAIRS)]


def trainee_of(spec: Spec, asked: list[Example], folder: Path, constraint: Any = None, **options: Any) -> Any:
    """With a random adapter."""
    given = replace(OPTIONS, **options)
    job = Job(spec, asked, asked[:6], given, folder, encode, constraint=constraint)
    trainee: Any = methods.by_name("grpo").trainee(job)
    trainee.prepare(lambda event: None)
    torch.manual_seed(7)
    for parameter in trainee.network.parameters().values():
        torch.nn.init.normal_(parameter, std=0.1)
    return trainee


def test_what_is_valid_is_what_the_constraint_allows(spec: Spec, asked: list[Example], tmp_path: Path) -> None:
    trainee = trainee_of(spec, asked, tmp_path, digits(), reward={"valid": 1.0})
    assert [trainee.reward(text, asked[0]) for text in ("3", "three")] == [1, 0]
    for constrained in (True, False):
        trainee = trainee_of(spec, asked, tmp_path, digits() if constrained else None)
        trainee.sampler.take(trainee.network)
        drawn = trainee.sampler.draw([trainee.epochs[0][0][0].prompt] * 9, trainee.end, 1.0, range(9))
        assert all(one.text in "0123456789" for one in drawn) == constrained


def test_rewards_are_learned(spec: Spec, asked: list[Example], tmp_path: Path) -> None:
    options = replace(OPTIONS, epochs=24, learning_rate=5e-3, prompts=21, rollouts=16, batch_tokens=400)
    result = train("grpo", spec, asked, asked, options, tmp_path, constraint=digits())
    first, best = result.validations[0], max(row.exact for row in result.validations)
    assert first.exact < 0.4 < 0.6 < best
    rewards = [row.reward for row in result.rollouts]
    assert sum(rewards[:3]) / 3 < 0.3 < 0.5 < sum(rewards[-3:]) / 3
    assert all(row.tokens == 2 for row in result.rollouts)
    entropies = [row.entropy for row in result.rollouts if row.entropy is not None]
    assert 0 < entropies[-1] < entropies[0] < 2  # nats; of seven digits at most 1.95
    assert (result.folder / "adapter_model.safetensors").exists()


def test_a_killed_run_ends_with_the_same_bits(spec: Spec, asked: list[Example], tmp_path: Path) -> None:
    result = killed_and_resumed("grpo", spec, asked, asked[:6], OPTIONS, tmp_path, constraint=digits())
    assert len(result.rollouts) == result.steps == 12
    assert any(row.alike < row.prompts for row in result.rollouts)


@pytest.mark.parametrize("held", [False, True])
def test_what_was_drawn_is_as_likely_in_torch(
    held: bool, spec: Spec, asked: list[Example], tmp_path: Path
) -> None:
    """So the adapter that the sampler has is the network's, and what the constraint leaves open is what it left
    when answers were drawn, the end by any of the tokens that end one."""
    constraint = makers.regex("[0-6]|lamp (on|off)|(ab?){1,3}") if held else None
    trainee = trainee_of(spec, asked, tmp_path, constraint, reward={"valid": 1.0})
    trainee.reward = lambda text, example: float(len(text) % 3)
    rolled = trainee.items(trainee.epochs[0][0], 0)
    assert len(rolled) >= 24
    ends = {one.sequence.answer[-1] for one in rolled if len(one.sequence.answer) < trainee.room}
    assert ends == set(spec.tokenizer.end_tokens) and len(ends) > 1
    with torch.no_grad():
        policy = trainee.policy(rolled)
    sums = torch.zeros(len(rolled)).index_add(0, policy.owner, policy.chosen)
    drawn = torch.tensor([one.drawn for one in rolled])
    assert drawn.std() > 0.3
    torch.testing.assert_close(sums, drawn, atol=0.15, rtol=0.05)  # the sampler's weights are in 8 bits
    forced = sum(len(one.sequence.forced) for one in rolled)
    assert (forced > 0) == held
    assert bool((policy.entropy >= 0).all())


def test_a_policys_answers_differ_by_seed_and_come_again(
    spec: Spec, asked: list[Example], tmp_path: Path
) -> None:
    trainee = trainee_of(spec, asked, tmp_path)
    trainee.sampler.take(trainee.network)
    prompt = trainee.epochs[0][0][0].prompt
    answers = [one.text for one in trainee.sampler.draw([prompt] * 6, trainee.end, 1.0, range(6))]
    assert len(set(answers)) > 3
    assert [one.text for one in trainee.sampler.draw([prompt] * 3, trainee.end, 1.0, [2, 0, 5])] == [
        answers[2],
        answers[0],
        answers[5],
    ]


def test_the_loss_of_a_batch_is_the_mean_of_its_parts(spec: Spec, asked: list[Example], tmp_path: Path) -> None:
    trainee = trainee_of(spec, asked, tmp_path, digits(), batch_tokens=30)
    rolled = trainee.items(trainee.epochs[0][0], 0)
    parts = trainee.parts(rolled)
    assert len(parts) > 1
    with torch.no_grad():
        whole = trainee.loss(rolled)
        mean = sum(trainee.loss(part) * trainee.weight(part) for part in parts) / trainee.weight(rolled)
    torch.testing.assert_close(mean, whole, atol=1e-5, rtol=1e-4)


def test_prompts_whose_answers_are_worth_the_same_are_set_aside(
    spec: Spec, asked: list[Example], tmp_path: Path
) -> None:
    trainee = trainee_of(spec, asked, tmp_path, digits())
    batch = trainee.epochs[0][0]
    hopeless, solved = trainee.asked[batch[0]], trainee.asked[batch[1]]
    worth = {hopeless.input: 0.0, solved.input: 1.0}
    trainee.reward = lambda text, example: worth.get(example.input, float(text in "0246"))
    rolled = trainee.items(batch, 0)
    told: Rolled = trainee.told
    assert (told.prompts, told.alike, told.failed) == (7, 2, 1)
    assert len(rolled) == 5 * 8
    assert {one.sequence.prompt for one in rolled} == {one.prompt for one in batch[2:]}
    for begin in range(0, len(rolled), 8):
        assert sum(one.advantage for one in rolled[begin : begin + 8]) == pytest.approx(0, abs=1e-6)
    trainee.reward = lambda text, example: 0.0
    assert trainee.items(batch, 1) == []
    assert trainee.parts([]) == []
    assert (trainee.watched(2).alike, trainee.watched(2).entropy) == (7, None)


def test_a_step_without_anything_to_learn_changes_nothing(
    spec: Spec, asked: list[Example], tmp_path: Path
) -> None:
    """Free answers of a random model are never right."""
    options = replace(OPTIONS, epochs=1)
    result = train("grpo", spec, asked, asked[:6], options, tmp_path)
    assert [point.loss for point in result.curve] == [0.0] * 3
    assert [(row.alike, row.failed) for row in result.rollouts] == [(7, 7)] * 3


def add(path: Path, train_lines: str, more: str = "") -> None:
    text = path.read_text().replace("epochs = 1\n", f'epochs = 1\nmethod = "grpo"\n{train_lines}\n')
    path.write_text(text + more)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (
            'reward = "right"',
            r'\[train\] reward: got "right"; allowed is "exact", "valid", "fields", a function such as',
        ),
        ("reward = {}", r"\[train\] reward: got {}; allowed is "),
        ("reward = { exact = 0 }", r"\[train\] reward: got .*; allowed is .* with weights above 0"),
        ('reward = "none.py:score"', r"\[train\] reward: none.py is no file; give one that has the function"),
        ("beta = 0.1", r'beta: is for method "dpo", "kto", "orpo"; this one is "grpo", leave it out'),
        ('learning_rate = "search"', r'learning_rate: "search" compares losses, not rewards; state a rate'),
        ('reward = "exact"\nlearning_rate = "search"', r'"search" compares losses, not rewards; state a rate'),
        ("rollouts = 1", r"\[train\] rollouts: got 1; allowed is a whole number from 2"),
    ],
)
def test_recipes_that_ask_for_what_is_not_there(small_recipe: Path, lines: str, said: str) -> None:
    add(small_recipe, lines)
    with pytest.raises(RecipeError, match=said):
        recipe.load(small_recipe)


def test_a_recipe_of_rewards_makes_a_file(
    small_recipe: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice: a reward that is edited is another job."""
    folder = small_recipe.parent
    score = folder / "rewards.py"
    score.write_text("def score(answer, example):\n    return float(answer == example['output'])\n")
    add(
        small_recipe,
        'prompts = 6\nrollouts = 4\nreward = { "rewards.py:score" = 1.0, valid = 0.5 }',
        '[constraint]\nchoices = ["even", "odd"]\n',
    )
    command = ["make", str(small_recipe), "--out", str(folder / "run"), "--log", "csv"]
    assert cli.main(command) == 0
    document = json.loads((folder / "run/report.json").read_text())
    rolled = document["train"]["rollouts"]
    assert [row["step"] for row in rolled] == [1, 2]
    assert all(0 <= row["reward"] <= 1 and row["prompts"] == 6 for row in rolled)
    assert "shipped_q8_0" in document["systems"]
    assert "2 steps drew answers to 12 prompts" in (folder / "run/report.html").read_text()
    assert "entropy" in (folder / "run/logs/train.csv").read_text().splitlines()[0]
    capsys.readouterr()
    assert cli.main(command) == 0
    assert "train: up to date" in capsys.readouterr().err
    score.write_text("def score(answer, example):\n    return 1 / 0\n")
    assert cli.main(command) == 2
    said = capsys.readouterr().err
    assert "rewards.py:2: score failed on the answer '" in said
    assert "': ZeroDivisionError: division by zero" in said
    assert "Traceback" not in said
