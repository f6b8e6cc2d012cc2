"""Ranks of single layers and rsLoRA's scale: trained as peft trains them, merged and exported as they are."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_training import make_spec, train
from torch.nn import functional

from tinsmith import cli, models
from tinsmith.data.readers import Example
from tinsmith.errors import InputError, RecipeError
from tinsmith.formats import gguf
from tinsmith.pipeline import recipe
from tinsmith.spec import Spec
from tinsmith.train.adapters import gguf as adapter_gguf
from tinsmith.train.adapters import peft_folder
from tinsmith.train.batches.sequences import TokenSequence
from tinsmith.train.merge import merge
from tinsmith.train.model import network
from tinsmith.train.options import TrainOptions
from tinsmith.train.tensors import to_float32

RANKS = {"q_proj": 8, "down_proj": 2}
OPTIONS = TrainOptions(
    epochs=2, rank=4, alpha=6.0, ranks=RANKS, rank_scale="rslora", learning_rate=1e-2, rough=None, threads=1
)


@pytest.mark.parametrize("rank_scale", ["plain", "rslora"])
def test_merged_and_exported_it_is_what_peft_computes(
    rank_scale: str, spec: Spec, examples: list[Example], tmp_path: Path
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    options = replace(OPTIONS, rank_scale=rank_scale)
    folder = train("lora", spec, examples, examples[:6], options, tmp_path).folder
    factors = peft_folder.read(folder, spec).factors
    for role, one in factors.items():
        rank = {"q": 8, "down": 2}.get(role.rpartition(".")[2], 4)
        assert len(one.a) == rank
        assert one.scale == pytest.approx(6.0 / (rank if rank_scale == "plain" else rank**0.5))
    models.save_hf(spec, tmp_path / "base")
    models.save_hf(merge(spec, folder), tmp_path / "merged")

    def own(path: Path) -> torch.nn.Module:
        kinds = {"attn_implementation": "eager", "dtype": torch.float32}
        return AutoModelForCausalLM.from_pretrained(path, **kinds).eval()  # type: ignore[no-any-return]

    ids = torch.arange(3, 40)[None]
    with torch.no_grad():
        wanted = PeftModel.from_pretrained(own(tmp_path / "base"), folder)(input_ids=ids).logits
        merged, base = (own(tmp_path / name)(input_ids=ids).logits for name in ("merged", "base"))
    torch.testing.assert_close(merged, wanted, atol=1e-4, rtol=0)
    assert float((wanted - base).abs().max()) > 0.1
    adapter_gguf.write(folder, spec, tmp_path / "adapter.gguf")
    file = gguf.read(tmp_path / "adapter.gguf")
    a, b = (file.tensors[f"blk.1.ffn_down.weight.lora_{part}"] for part in "ab")
    a_rows, b_rows = (np.frombuffer(one.data, np.float32).reshape(one.shape[::-1]) for one in (a, b))  # type: ignore[arg-type]
    update = file.get("adapter.lora.alpha") / len(a_rows) * (b_rows @ a_rows)
    np.testing.assert_allclose(update, factors["layers.1.down"].update(), atol=1e-5)
    held = to_float32(merge(spec, folder).tensors["layers.1.down"]) - to_float32(spec.tensors["layers.1.down"])
    np.testing.assert_allclose(update, held, atol=1e-5)


def test_the_loss_in_training_is_pefts() -> None:
    torch.manual_seed(1)
    built = network.build(make_spec(), torch.float32, 4, 6.0, 0.0, rank_pattern=RANKS, use_rslora=True)
    for parameter in built.parameters().values():
        torch.nn.init.normal_(parameter, std=0.1)
    sequence = TokenSequence((5, 6, 7, 8), (9, 10, 2))
    losses, _ = built.answer_losses(built.pack([sequence], 0))
    built.model.base_model.model.config._attn_implementation = "eager"
    for module in built.model.modules():
        module.__dict__.pop("forward", None)
    logits = built.model(input_ids=torch.tensor([[*sequence.prompt, *sequence.answer]])).logits[0, 3:-1]
    wanted = functional.cross_entropy(logits, torch.tensor(sequence.answer), reduction="none")
    torch.testing.assert_close(losses, wanted, atol=2e-5, rtol=1e-5)


def test_a_rank_of_what_is_not_adapted(spec: Spec, examples: list[Example], tmp_path: Path) -> None:
    options = replace(OPTIONS, targets=("q_proj", "v_proj"))
    with pytest.raises(InputError, match=r"\[train\] ranks: 'down_proj' is not adapted; q_proj, v_proj are"):
        train("lora", spec, examples, examples[:6], options, tmp_path)


def test_a_recipe_states_ranks(small_recipe: Path) -> None:
    text = small_recipe.read_text()
    small_recipe.write_text(text.replace("[train]", '[train]\nrank_scale = "rslora"\nranks = { q_proj = 3 }'))
    run = small_recipe.parent / "run"
    assert cli.main(["build", str(small_recipe), "--out", str(run)]) == 0
    config = json.loads((run / "adapter" / "adapter_config.json").read_text())
    assert (config["rank_pattern"], config["use_rslora"]) == ({"q_proj": 3}, True)
    for wrong in ("{ q_proj = 0 }", "{}", "[8]", '{ q_proj = "8" }'):
        small_recipe.write_text(text.replace("[train]", f"[train]\nranks = {wrong}"))
        with pytest.raises(RecipeError, match=r"\[train\] ranks: got .*; allowed is a table of ranks"):
            recipe.load(small_recipe)
