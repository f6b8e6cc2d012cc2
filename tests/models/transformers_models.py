"""Random tiny models by transformers' own classes, as folders that its save_pretrained wrote."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.models.tiny_models import config_of, tiny_tokenizer
from tinsmith import _core
from tinsmith.compiler import build_image
from tinsmith.runtime import Model
from tinsmith.spec import Spec
from tinsmith.tokenizer import tokenizer_json

POSITIONS = 300  # past the windows of the tiny configs, and four chunks of 64
IDS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}  # of tiny_models' tokenizer
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def save_random(
    case: str, folder: Path, change: Callable[[Any], None] = lambda model: None, **changes: Any
) -> Any:
    """Writes the folder of a tiny config; the model of random weights that is in it, float32 and eager. change:
    what else is done to the weights."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    settings = config_of(case) | IDS | changes
    config = transformers.AutoConfig.for_model(settings.pop("model_type"), **settings)
    torch.manual_seed(zlib.crc32(case.encode()))
    kinds = {"attn_implementation": "eager", "dtype": torch.float32}
    model = transformers.AutoModelForCausalLM.from_config(config, **kinds)
    scatter(model)
    model.eval()
    change(model)
    model.save_pretrained(folder)
    tokenizer_json.write(
        folder, tiny_tokenizer(settings["vocab_size"]), CHATML, settings["max_position_embeddings"]
    )
    return model


def from_folder(folder: Path) -> Any:
    """transformers' own model of a folder, float32 and eager."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    kinds = {"attn_implementation": "eager", "dtype": torch.float32}
    return transformers.AutoModelForCausalLM.from_pretrained(folder, **kinds)


def scatter(model: Any) -> None:
    """Weights by which every part of the model counts: matrices that keep their input's size, vectors scattered
    around what they are made as."""
    torch = pytest.importorskip("torch")
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter += 0.2 * torch.randn(parameter.shape)
            else:
                parameter.copy_(torch.randn(parameter.shape) / parameter.shape[-1] ** 0.5)
        for name, buffer in model.named_buffers():
            if name.endswith(("layer_scalar", "expert_bias")):
                buffer += 0.2 * torch.randn(buffer.shape)
        for module in model.modules():
            if hasattr(module, "q_norm") and module.scaling == 1:  # scores as large as others', by the norm
                module.q_norm.weight /= module.head_dim**0.5


def some_tokens(vocab: int, count: int = POSITIONS) -> list[int]:
    source = random.Random(count)
    return [source.randrange(vocab) for _ in range(count)]


def assert_same_logits(spec: Spec, theirs_model: Any) -> None:
    """Natively as transformers' model has them, but for rounding: within a thousandth of their range."""
    np = pytest.importorskip("numpy")
    image, tokens = build_image(spec), some_tokens(spec.hyper.vocab, 60)
    ours, theirs = Model(_core.Model(image), image, threads=1).logits(tokens), logits_of(theirs_model, tokens)
    assert np.abs(np.asarray(ours) - theirs).max() <= 1e-3 * np.ptp(theirs)


def logits_of(model: Any, tokens: list[int]) -> Any:
    """float32 [tokens, vocabulary]."""
    torch = pytest.importorskip("torch")
    with torch.no_grad():
        return model(torch.tensor([tokens])).logits[0].numpy()
