"""Learning from a teacher: its probabilities are computed once, and the loss is the divergence from them."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

import tinsmith
from tests.models.tiny_models import tiny_spec
from tests.train.tiny_training import (
    TEMPLATE,
    Killed,
    encode,
    killed_and_resumed,
    make_spec,
    tokenizer_of,
    train,
)
from tinsmith import cli, models
from tinsmith.data.readers import Example
from tinsmith.errors import InputError, RecipeError
from tinsmith.pipeline import recipe
from tinsmith.spec import Spec
from tinsmith.train import distillation, methods, run
from tinsmith.train.distillation import divergences
from tinsmith.train.events import Preparing
from tinsmith.train.job import Job
from tinsmith.train.methods import distill
from tinsmith.train.model import network
from tinsmith.train.options import TrainOptions
from tinsmith.train.quantized import qat_adapter
from tinsmith.train.steps import checkpoint

OPTIONS = TrainOptions(
    epochs=3,
    rank=8,
    learning_rate=1e-2,
    batch_tokens=120,
    renew=2,
    threads=1,
    teacher="large.gguf",
)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the same vocabulary, and wider."""
    path = tmp_path_factory.mktemp("teacher") / "large.gguf"
    models.save_gguf(make_spec(dim=96, ffn_dim=128, heads=6, head_dim=16, kv_heads=2, layers=3), path)
    return path


def trainee_of(spec: Spec, examples: list[Example], path: Path, folder: Path, **options: Any) -> Any:
    given = replace(OPTIONS, **options)
    trainee: Any = methods.by_name("distill").trainee(
        Job(spec, examples, examples[:6], given, folder, encode, teacher=path)
    )
    trainee.prepare(lambda event: None)
    return trainee


def test_the_divergence_over_all_tokens_is_torchs() -> None:
    torch.manual_seed(1)
    own, teacher = torch.randn(5, 30), torch.randn(5, 30)
    probabilities, tokens = teacher.softmax(-1).topk(30)
    wanted = functional.kl_div(own.log_softmax(-1), teacher.softmax(-1), reduction="none").sum(-1)
    found = divergences(own, tokens, probabilities)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)
    part = divergences(own, tokens[:, :7], probabilities[:, :7])
    assert bool((part < found + 1e-5).all())  # one event of many tells less
    rest = 1 - probabilities[:, :7].sum(-1)
    own_rest = 1 - own.softmax(-1).gather(1, tokens[:, :7]).sum(-1)
    first = probabilities[:, :7] * (probabilities[:, :7].log() - own.log_softmax(-1).gather(1, tokens[:, :7]))
    coarse = first.sum(-1) + rest * (rest / own_rest).log()
    torch.testing.assert_close(part, coarse, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("case", ["llama", "gemma2"])  # gemma2's logits are capped
def test_loss_and_gradient_are_those_of_all_logits(case: str) -> None:
    torch.manual_seed(2)
    spec = replace(tiny_spec(case), chat_template=TEMPLATE)
    built = network.build(spec, torch.float32, 2, 4.0)
    states = torch.randn(150, built.head.shape[1], requires_grad=True)  # more than are held at once
    targets = torch.randint(0, built.head.shape[0], (150,))
    probabilities, tokens = torch.randn(150, built.head.shape[0]).softmax(-1).topk(9)
    weights = torch.rand(150)
    given = distillation.losses(built, states, targets, tokens, probabilities)
    (found,) = torch.autograd.grad((given * weights).sum(), states)
    logits = states @ built.head.T * built.scale
    if built.cap is not None:
        logits = built.cap * torch.tanh(logits / built.cap)
    entropy = functional.cross_entropy(logits, targets, reduction="none")
    wanted = 0.5 * entropy + 0.5 * divergences(logits, tokens, probabilities)
    torch.testing.assert_close(given, wanted)
    torch.testing.assert_close(found, torch.autograd.grad((wanted * weights).sum(), states)[0])


def test_the_teacher_is_let_go_of_before_the_first_step(
    spec: Spec, teacher: Path, examples: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is planned without it."""
    teachers: list[Any] = []

    def load(path: Path) -> Any:
        model = tinsmith.runtime.load(path)
        teachers.append(weakref.ref(model))
        return model

    monkeypatch.setattr(tinsmith, "load", load)
    trainee = trainee_of(spec, examples, teacher, tmp_path)
    assert [held() for held in teachers] == [None]
    assert trainee.taught


def test_the_teacher_is_asked_what_the_network_is(
    spec: Spec, examples: list[Example], teacher: Path, tmp_path: Path
) -> None:
    trainee = trainee_of(spec, examples, teacher, tmp_path)
    runtime = tinsmith.load(teacher, threads=1)
    assert len(trainee.taught) == len(examples)
    for sequence, (tokens, probabilities) in trainee.taught.items():
        whole = np.asarray(runtime.logits([*sequence.prompt, *sequence.answer[:-1]]))
        logits = torch.from_numpy(whole[len(sequence.prompt) - 1 :].copy())
        best = logits.softmax(-1).topk(distillation.TOP)
        assert torch.equal(tokens.long(), best.indices)
        torch.testing.assert_close(probabilities, best.values)


def test_neighbours_that_ask_alike_are_each_taught_their_own_answer(
    spec: Spec, examples: list[Example], teacher: Path, tmp_path: Path
) -> None:
    rows = [examples[0], replace(examples[0], output="65"), *examples[1:3]]
    trainee = trainee_of(spec, rows, teacher, tmp_path)
    runtime = tinsmith.load(teacher, threads=1)
    assert len(trainee.taught) == len(rows)
    for sequence, (tokens, _) in trainee.taught.items():
        whole = np.asarray(runtime.logits([*sequence.prompt, *sequence.answer[:-1]]))
        likeliest = torch.from_numpy(whole[len(sequence.prompt) - 1 :].copy()).topk(distillation.TOP).indices
        assert torch.equal(tokens.long(), likeliest)


def test_the_base_is_taught_by_itself_with_other_examples_in_its_context(
    spec: Spec, examples: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distill, "SHOTS", 2)
    models.save_gguf(spec, tmp_path / "base.gguf")
    trainee = trainee_of(spec, examples, tmp_path / "base.gguf", tmp_path, teacher="base")
    tokenize = Job(spec, examples, (), OPTIONS, tmp_path, encode).tokenization()
    for example, sequence in zip(examples, tokenize(examples), strict=True):
        prompt = trainee.prompts[sequence]
        text = bytes(token - 3 for token in prompt if token >= 3).decode()
        assert prompt[-len(sequence.prompt) :] == sequence.prompt
        assert text.count("a\n") >= 3 and text.count("u\n") == 3
        assert f"u\n{example.input}a\n{example.output}" not in text


def test_what_the_teacher_knows_is_learned(
    spec: Spec, examples: list[Example], teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the answers' own loss: the divergence alone falls."""
    monkeypatch.setattr(distillation, "WEIGHT", 1.0)
    options = replace(OPTIONS, epochs=15)
    result = train("distill", spec, examples, examples[:6], options, tmp_path, teacher=teacher)
    assert result.curve[-1].loss < 0.5 * result.curve[0].loss


def test_a_killed_run_ends_with_the_same_bits(
    spec: Spec, examples: list[Example], teacher: Path, tmp_path: Path
) -> None:
    killed_and_resumed("distill", spec, examples, examples[:6], OPTIONS, tmp_path, teacher=teacher)


def test_a_kill_loses_one_part_of_what_the_teacher_said(
    spec: Spec, examples: list[Example], teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distill, "_SEQUENCES", 4)
    asked: list[int] = []
    answer: Callable[..., Any] = distillation.answer_logits

    def count(*given: Any) -> Any:
        asked.append(1)
        return answer(*given)

    monkeypatch.setattr(distillation, "answer_logits", count)

    def kill(event: Any) -> None:
        if isinstance(event, Preparing) and event.done == 2:
            raise Killed

    with pytest.raises(Killed):
        train("distill", spec, examples, examples[:6], OPTIONS, tmp_path, kill, teacher=teacher)
    assert len(asked) == 8
    # A kill in the middle of a write leaves half a file, which is no part.
    path = tmp_path / "teacher" / "00001.safetensors"
    path.write_bytes(path.read_bytes()[:-9])
    train("distill", spec, examples, examples[:6], OPTIONS, tmp_path, teacher=teacher)
    assert len(asked) == 8 + len(examples) - 4
    train("distill", spec, examples, examples[:6], replace(OPTIONS, rank=4), tmp_path, teacher=teacher)
    assert len(asked) == 8 + len(examples) - 4
    assert checkpoint.load(path) is not None


def test_the_teacher_is_asked_once_for_all_runs_of_a_job(
    spec: Spec, examples: list[Example], teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each seed sees other variants, and the adapter for low-precision files fewer of them."""
    asked: list[Any] = []
    answer: Callable[..., Any] = distillation.answer_logits

    def record(model: Any, *given: Any) -> Any:
        asked.append(given)
        return answer(model, *given)

    monkeypatch.setattr(distillation, "answer_logits", record)
    variants = [
        [Example(f"{name} {example.input}", example.output) for example in examples[:4]] for name in "abcd"
    ]
    options = replace(OPTIONS, epochs=2, qat=None)
    job = Job(
        spec,
        examples,
        examples[:6],
        replace(options, seeds=2),
        tmp_path,
        encode,
        variants=variants,
        teacher=teacher,
    )
    first = run.train("distill", job, lambda event: None)
    second = qat_adapter.job_of(job, first, qat_adapter.Preparation("Q4_0"))
    run.train("distill", second, lambda event: None)
    assert len(asked) == len(set(asked)) == len(examples) + 16


def test_a_teacher_of_another_vocabulary_is_refused(
    spec: Spec, examples: list[Example], tmp_path: Path
) -> None:
    other = replace(spec.tokenizer, tokens=[*spec.tokenizer.tokens])
    other.tokens[70] = "ſ"
    models.save_gguf(replace(spec, tokenizer=other), tmp_path / "other.gguf")
    with pytest.raises(InputError, match="another vocabulary than the base: token 70 is 'ſ', the base's 'C'"):
        train("distill", spec, examples, examples[:6], OPTIONS, tmp_path, teacher=tmp_path / "other.gguf")
    small, large = tokenizer_of(259), tokenizer_of(320)
    distill.check_vocabulary("x", large, small)
    distill.check_vocabulary("x", small, large)  # what the teacher lacks is unused
    with pytest.raises(InputError, match="token 258 is missing"):
        shorter = replace(small, tokens=small.tokens[:-1], types=small.types[:-1])
        distill.check_vocabulary("x", shorter, small)
    gap = replace(small, types=[*small.types[:70], "unused", *small.types[71:]])
    distill.check_vocabulary("x", gap, gap)
    distill.check_vocabulary("x", replace(small, tokens=other.tokens), gap)


def test_a_teacher_of_fewer_tokens_gives_those_it_has() -> None:
    logits = np.arange(10, dtype=np.float32).reshape(2, 5)
    tokens, probabilities = distillation.likeliest(logits, 9, 8)
    assert tokens.tolist() == [[4, 3, 2, 1, 0]] * 2
    torch.testing.assert_close(probabilities.sum(-1), torch.ones(2))


def test_a_context_that_is_too_short(spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distill, "SHOTS", 8)
    examples = [Example(f"{n} " + "ab" * 20, "1") for n in range(12)]
    models.save_gguf(spec, tmp_path / "base.gguf")
    with pytest.raises(InputError, match="context holds 256 tokens, and it is asked .*take shorter examples"):
        trainee_of(spec, examples, tmp_path / "base.gguf", tmp_path, teacher="base")


@pytest.mark.parametrize("name", ["base", "large"])
def test_a_recipe_learns_from_a_teacher(
    name: str, small_recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = small_recipe.parent
    keys = 'method = "distill"\nteacher = "base"'
    if name == "large":
        keys = 'method = "distill"\nteacher = "large"'
        models.save_hf(tiny_spec("llama", num_hidden_layers=3), folder / "large")
    small_recipe.write_text(small_recipe.read_text().replace("[train]", f"[train]\n{keys}"))
    command = ["build", str(small_recipe), "--out", str(folder / "run")]
    assert cli.main(command) == 0
    assert (folder / "run" / "small-q8_0.tin").exists()
    assert list((folder / "run" / "teacher").iterdir())
    assert cli.main(command) == 0
    assert "train: up to date" in capsys.readouterr().err
    if name == "large":
        models.save_hf(tiny_spec("llama", num_hidden_layers=4), folder / "large")
        assert cli.main(command) == 0
        assert "train: up to date" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ('method = "distill"', r'\[train\] teacher: missing; method "distill" learns from it'),
        ('teacher = "x"', r'teacher: is for method "distill"; this one is "lora"'),
    ],
)
def test_a_recipe_that_names_no_teacher(keys: str, said: str, small_recipe: Path) -> None:
    small_recipe.write_text(small_recipe.read_text().replace("[train]", f"[train]\n{keys}"))
    with pytest.raises(RecipeError, match=said):
        recipe.load(small_recipe)


def test_the_base_is_its_own_teacher_with_a_passage(spec: Spec, tmp_path: Path) -> None:
    models.save_gguf(spec, tmp_path / "base.gguf")
    examples = [
        Example("when is the valve replaced?", "after 90 hours", passage="The valve lasts 90 hours."),
        Example("who painted the ceiling?", "that is not said"),
    ]
    trainee = trainee_of(spec, examples, tmp_path / "base.gguf", tmp_path, teacher="base")
    with_passage, without = (trainee.prompts[one] for one in trainee.learned[:2])
    sequences = trainee.learned[:2]
    assert without == sequences[1].prompt
    written = tinsmith.load(tmp_path / "base.gguf", threads=1).detokenize(with_passage, special=True)
    assert "The valve lasts 90 hours.\n\nwhen is the valve replaced?" in written
    assert len(sequences[0].prompt) < len(with_passage)
    assert set(trainee.taught) == set(trainee.learned)


@pytest.mark.parametrize("name", ["none.gguf", "notes.txt"])
def test_a_teacher_that_is_no_model_is_said_by_its_key(
    name: str, spec: Spec, examples: list[Example], tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("no model")
    with pytest.raises(InputError, match=rf"\[train\] teacher: .*{name}: "):
        train("distill", spec, examples, examples[:6], OPTIONS, tmp_path, teacher=tmp_path / name)
