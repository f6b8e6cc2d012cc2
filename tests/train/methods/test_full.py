"""Every weight of a base: the loss is transformers' own, and so are the weights that are left."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from tests.models.tiny_models import cases, config_of, family_of, tiny_spec
from tests.models.transformers_models import save_random
from tests.train.tiny_training import TEMPLATE, Killed, killed_and_resumed, tokenizer_of, train
from tinsmith import cli, models
from tinsmith.data.readers import Example
from tinsmith.errors import UnsupportedError
from tinsmith.spec import Spec
from tinsmith.system import memory
from tinsmith.train.batches.sequences import TokenSequence
from tinsmith.train.events import Started, Step
from tinsmith.train.methods import full
from tinsmith.train.model import network
from tinsmith.train.options import TrainOptions

OPTIONS = TrainOptions(epochs=2, learning_rate=1e-3, batch_tokens=120, qat=None, renew=2, threads=1)
SEQUENCES = [
    TokenSequence((5, 6, 7, *prompt), answer)
    for prompt, answer in [((9, 8), (10, 11, 2)), ((20,) * 14, (30, 2)), ((40,), (50, 51, 52, 53, 2))]
]


def base_of(case: str, folder: Path, **changes: Any) -> Spec:
    save_random(case, folder, **changes)
    spec = models.load(folder)
    return replace(spec, tokenizer=tokenizer_of(spec.hyper.vocab), chat_template=TEMPLATE)


def has_experts(case: str) -> bool:
    family = family_of(case)
    return any(name.experts for name in family.tensors(family.hyper_from_hf(config_of(case))))


def plain_losses(model: Any, sequences: list[TokenSequence]) -> torch.Tensor:
    losses = []
    for one in sequences:
        logits = model(input_ids=torch.tensor([[*one.prompt, *one.answer]])).logits[0, len(one.prompt) - 1 : -1]
        losses.append(functional.cross_entropy(logits, torch.tensor(one.answer), reduction="none"))
    return torch.cat(losses)


def transformers_own(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


@pytest.mark.parametrize(
    ("case", "changes"),
    [*((case, {}) for case in cases() if not has_experts(case)), ("qwen2", {"tie_word_embeddings": True})],
)
def test_losses_and_gradients_are_transformers_own(case: str, changes: dict[str, Any], tmp_path: Path) -> None:
    built = network.whole(base_of(case, tmp_path, **changes))
    losses, _ = built.answer_losses(built.pack(SEQUENCES, 3))
    model = transformers_own(tmp_path)
    wanted = plain_losses(model, SEQUENCES)
    torch.testing.assert_close(losses, wanted, atol=1e-4, rtol=0)
    losses.mean().backward()
    wanted.mean().backward()
    given, expected = built.parameters(), dict(model.named_parameters())
    assert given.keys() == expected.keys()
    for name, parameter in expected.items():
        atol = 1e-3 * float(parameter.grad.abs().max())
        torch.testing.assert_close(given[name].grad, parameter.grad, atol=atol, rtol=0, msg=name)


@pytest.mark.parametrize("case", ["gemma2", "lfm2", "qwen2", "qwen35"])
def test_what_is_left_is_what_was_trained(case: str, examples: list[Example], tmp_path: Path) -> None:
    spec = base_of(case, tmp_path / "base")
    result = train("full", spec, examples, examples[:6], OPTIONS, tmp_path)
    left = transformers_own(result.folder)
    before = transformers_own(tmp_path / "base").state_dict()
    assert any(not torch.equal(value, before[name]) for name, value in left.state_dict().items())
    built = network.whole(models.load(result.folder))
    with torch.no_grad():
        losses, _ = built.answer_losses(built.pack(SEQUENCES, 3))
        torch.testing.assert_close(losses, plain_losses(left, SEQUENCES), atol=1e-4, rtol=0)


@pytest.mark.parametrize("moments", ["float", "8-bit"])
def test_a_killed_run_ends_with_the_same_bits(
    moments: str,
    spec: Spec,
    examples: list[Example],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(full, "in_8_bits", lambda *_: moments == "8-bit")
    result = killed_and_resumed("full", spec, examples, examples[:6], OPTIONS, tmp_path)
    assert ("moments in 8 bits" in result.note) == (moments == "8-bit")


def test_8_bits_train_as_floats_do(
    spec: Spec, examples: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options, losses = replace(OPTIONS, epochs=15), []
    for chosen in (False, True):
        monkeypatch.setattr(full, "in_8_bits", lambda *_, chosen=chosen: chosen)
        result = train("full", spec, examples, examples[:6], options, tmp_path / str(chosen))
        losses.append(result.validations[-1].loss)
    assert losses[0] < 2.5
    assert losses[1] == pytest.approx(losses[0], rel=0.1)


def test_8_bits_where_memory_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    def chosen(parameters: int, device: str = "cpu") -> bool:
        return full.in_8_bits(parameters, torch.device(device))

    monkeypatch.setattr(memory, "total", lambda: 56_000)
    assert [chosen(count) for count in (1000, 1001)] == [False, True]
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (0, 32_000))
    assert [chosen(count, device="cuda") for count in (1000, 1001)] == [False, True]
    monkeypatch.setattr(memory, "total", lambda: None)
    assert not chosen(10**9)


@pytest.mark.parametrize(("before", "after"), [(1, 1 << 60), (1 << 60, 1)])
def test_a_run_goes_on_with_the_moments_that_it_began_with(
    before: int,
    after: int,
    spec: Spec,
    examples: list[Example],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def kill(event: Any) -> None:
        if isinstance(event, Step) and event.step == 5:
            raise Killed

    options = replace(OPTIONS, batch_tokens=60)
    monkeypatch.setattr(memory, "total", lambda: before)
    whole = train("full", spec, examples, examples[:6], options, tmp_path / "whole")
    with pytest.raises(Killed):
        train("full", spec, examples, examples[:6], options, tmp_path / "killed", kill)
    monkeypatch.setattr(memory, "total", lambda: after)
    seen: list[Any] = []
    resumed = train("full", spec, examples, examples[:6], options, tmp_path / "killed", seen.append)
    assert next(event.step for event in seen if isinstance(event, Started)) == 4
    assert resumed.curve == whole.curve
    assert ("moments in 8 bits" in resumed.note) == ("moments in 8 bits" in whole.note) == (before == 1)
    other = train("full", spec, examples, examples[:6], options, tmp_path / "other")
    assert ("moments in 8 bits" in other.note) == (after == 1)


def test_routed_experts_are_refused(examples: list[Example], tmp_path: Path) -> None:
    spec = replace(tiny_spec("qwen3_moe"), chat_template=TEMPLATE)
    with pytest.raises(UnsupportedError, match='qwen3_moe: method "full" does not train routed experts; take'):
        train("full", spec, examples, examples[:6], OPTIONS, tmp_path)


def test_a_recipe_trains_every_weight_and_builds(small_recipe: Path) -> None:
    text = small_recipe.read_text().replace("[train]", '[train]\nmethod = "full"')
    small_recipe.write_text(text)
    run = small_recipe.parent / "run"
    assert cli.main(["build", str(small_recipe), "--out", str(run)]) == 0
    assert not (run / "adapter").exists()
    trained, merged = (models.load(run / name) for name in ("trained", "merged"))
    assert merged.tensors == trained.tensors
    assert trained.tensors != models.load(small_recipe.parent / "base.gguf").tensors
    assert (run / "small-q8_0.tin").stat().st_size > 0
    record = json.loads((run / "run.json").read_text())["stages"]["train"]
    assert "parameters" in record["facts"]["note"]
