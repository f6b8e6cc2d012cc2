"""A trained prefix: losses, gradients and windows are those of transformers' own cache, for every family."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional

from tests.models.tiny_models import cases
from tests.models.transformers_models import save_random
from tests.train.tiny_training import TEMPLATE, killed_and_resumed, make_spec, tokenizer_of, train
from tinsmith import cli, models
from tinsmith.data.readers import Example
from tinsmith.errors import InputError
from tinsmith.spec import Spec
from tinsmith.train.batches.sequences import TokenSequence
from tinsmith.train.model import prefix
from tinsmith.train.model.devices import CPU
from tinsmith.train.options import TrainOptions

OPTIONS = TrainOptions(epochs=2, batch_tokens=120, qat=None, renew=2, threads=1, prefix_length=5)
SEQUENCES = [
    TokenSequence((5, 6, 7, *prompt), answer)
    for prompt, answer in [((9, 8), (10, 11, 2)), (tuple(range(30, 90)), (30, 2)), ((), (50,))]
]  # past the windows of the tiny configs, which are of 40 and of 100 tokens


def own(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


@pytest.mark.parametrize(
    ("case", "length"), [*((case, 10) for case in cases()), ("gemma2", 70), ("gemma3", 70), ("lfm2", 1)]
)
def test_a_prefix_of_tokens_is_these_tokens(case: str, length: int, tmp_path: Path) -> None:
    """What training starts from computes what the base computes behind the tokens, by transformers itself; in
    windows that hold the prefix, and in those that it is longer than."""
    first = [11 + 7 * n % 90 for n in range(length)]
    save_random(case, tmp_path)
    spec = models.load(tmp_path)
    built, model = prefix.build(spec, torch.float32, CPU, first), own(tmp_path)
    losses, best = built.answer_losses(built.pack(SEQUENCES, 0))
    wanted, likeliest = [], []
    for one in SEQUENCES:
        ids = torch.tensor([[*first, *one.prompt, *one.answer]])
        logits = model(input_ids=ids).logits[0, len(first) + len(one.prompt) - 1 : -1]
        wanted.append(functional.cross_entropy(logits, torch.tensor(one.answer), reduction="none"))
        likeliest.append(logits.argmax(-1))
    torch.testing.assert_close(losses, torch.cat(wanted), atol=2e-4, rtol=0)
    assert torch.equal(best, torch.cat(likeliest))
    alone, _ = built.answer_losses(built.pack(SEQUENCES[:1], 0))
    torch.testing.assert_close(alone, torch.cat(wanted)[:3], atol=2e-4, rtol=0)
    losses.mean().backward()
    for name, parameter in built.parameters().items():
        assert parameter.grad is not None, name
    assert any(float(parameter.grad.abs().max()) > 0 for parameter in built.parameters().values())
    assert not any(parameter.requires_grad for parameter in built.model.parameters())


@pytest.mark.parametrize("case", ["gemma2", "lfm2", "qwen35"])
def test_a_gradient_is_the_slope(case: str, tmp_path: Path) -> None:
    save_random(case, tmp_path)
    built = prefix.build(models.load(tmp_path), torch.float32, CPU, list(range(11, 21)))
    packing = built.pack(SEQUENCES, 0)
    built.answer_losses(packing)[0].sum().backward()
    torch.manual_seed(3)
    for name, parameter in built.parameters().items():
        way = torch.randn_like(parameter)
        slope = float((parameter.grad * way).sum())
        with torch.no_grad():
            ends = []
            for step in (3e-3, -3e-3):
                parameter += step * way
                ends.append(float(built.answer_losses(packing)[0].double().sum()))
                parameter -= step * way
        assert abs((ends[0] - ends[1]) / 6e-3 - slope) < 0.05 * abs(slope) + 0.05, name


def test_a_prefix_is_learned_and_described(spec: Spec, examples: list[Example], tmp_path: Path) -> None:
    result = train("prefix", spec, examples, examples[:6], replace(OPTIONS, epochs=30), tmp_path)
    losses = [point.loss for point in result.curve]
    assert losses[-1] < 0.8 * losses[0]
    assert sorted(path.name for path in result.folder.iterdir()) == [
        "chat_template.jinja",
        "prefix_config.json",
        "prefix_model.safetensors",
    ]
    config = json.loads((result.folder / "prefix_config.json").read_text())
    assert (config["kind"], config["length"], config["family"]) == ("prefix", 5, "llama")
    tensors = load_file(result.folder / "prefix_model.safetensors")
    for number, layer in enumerate(config["layers"]):
        assert layer == {"kind": "full_attention", "keys": [2, 5, 16], "values": [2, 5, 16]}
        assert list(tensors[f"{number}.keys"].shape) == layer["keys"]
    other = train("prefix", make_spec(layers=1), examples, examples[:6], OPTIONS, tmp_path / "other")
    again = json.loads((other.folder / "prefix_config.json").read_text())
    assert again["base_tensors_sha256"] != config["base_tensors_sha256"]


@pytest.mark.parametrize("case", ["gemma3", "lfm2", "qwen35"])
def test_layers_of_all_kinds_are_described(case: str, examples: list[Example], tmp_path: Path) -> None:
    save_random(case, tmp_path / "base")
    spec = models.load(tmp_path / "base")
    spec = replace(spec, tokenizer=tokenizer_of(spec.hyper.vocab), chat_template=TEMPLATE)
    folder = train("prefix", spec, examples, examples[:6], replace(OPTIONS, epochs=1), tmp_path).folder
    config = json.loads((folder / "prefix_config.json").read_text())
    states = {
        "full_attention": {"kind", "keys", "values"},
        "sliding_attention": {"kind", "window", "keys", "values"},
        "linear_attention": {"kind", "convolved", "recurrent"},
        "conv": {"kind", "convolved"},
    }
    assert len(config["layers"]) == spec.hyper.layers
    assert len({layer["kind"] for layer in config["layers"]}) == 2
    assert all(set(layer) == states[layer["kind"]] for layer in config["layers"])


def test_a_killed_run_ends_with_the_same_bits(spec: Spec, examples: list[Example], tmp_path: Path) -> None:
    killed_and_resumed("prefix", spec, examples, examples[:6], OPTIONS, tmp_path)


def test_a_prefix_as_long_as_the_context(spec: Spec, examples: list[Example], tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match="prefix_length: 256 leave no room in the base's context of 256 tokens"
    ):
        train("prefix", spec, examples, examples[:6], replace(OPTIONS, prefix_length=256), tmp_path)


def test_a_recipe_trains_a_prefix_and_builds_nothing(
    small_recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = small_recipe.read_text().replace("[train]", '[train]\nmethod = "prefix"\nprefix_length = 8')
    small_recipe.write_text(text)
    run = small_recipe.parent / "run"
    for verb in ("make", "make --until merge", "build", "make --until evaluate"):
        assert cli.main([*verb.split(), str(small_recipe), "--out", str(run)]) != 0
        said = capsys.readouterr().err
        assert 'small.toml: [train] method "prefix" trains a prefix, which no model can be built from' in said
        assert said.count("\n") == 1
    assert not run.exists()
    assert cli.main(["make", "--until", "train", str(small_recipe), "--out", str(run)]) == 0
    assert (run / "prefix" / "prefix_model.safetensors").exists()
