"""An adapter that peft wrote with ranks of single layers and rsLoRA's scale is merged and exported as it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from tests.train.tiny_training import make_spec
from tinsmith import models
from tinsmith.formats import gguf
from tinsmith.spec import Spec
from tinsmith.train.adapters import gguf as adapter_gguf
from tinsmith.train.adapters import peft_folder
from tinsmith.train.batches.sequences import TokenSequence
from tinsmith.train.merge import merge
from tinsmith.train.model import network
from tinsmith.train.tensors import to_float32

RANKS = {"q_proj": 8, "down_proj": 2}


@pytest.mark.parametrize("rank_scale", ["plain", "rslora"])
def test_merged_and_exported_it_is_what_peft_computes(rank_scale: str, spec: Spec, tmp_path: Path) -> None:
    from peft import LoraConfig, PeftModel, get_peft_model
    from transformers import AutoModelForCausalLM

    def own(path: Path) -> torch.nn.Module:
        kinds = {"attn_implementation": "eager", "dtype": torch.float32}
        return AutoModelForCausalLM.from_pretrained(path, **kinds).eval()  # type: ignore[no-any-return]

    models.save_hf(spec, tmp_path / "base")
    config = LoraConfig(
        r=4,
        lora_alpha=6.0,
        rank_pattern=RANKS,
        use_rslora=rank_scale == "rslora",
        target_modules=["q_proj", "v_proj", "down_proj"],
    )
    torch.manual_seed(1)
    made, folder = get_peft_model(own(tmp_path / "base"), config), tmp_path / "adapter"
    for parameter in made.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.1)
    made.save_pretrained(str(folder))
    factors = peft_folder.read(folder, spec).factors
    for role, one in factors.items():
        rank = {"q": 8, "down": 2}.get(role.rpartition(".")[2], 4)
        assert len(one.a) == rank
        assert one.scale == pytest.approx(6.0 / (rank if rank_scale == "plain" else rank**0.5))
    models.save_hf(merge(spec, folder), tmp_path / "merged")
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
    built = network.build(make_spec(), torch.float32, 4, 6.0)
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
