"""Counts that a model's file states: nothing is made of them before the file is seen to hold so much."""

from __future__ import annotations

import json
import struct
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.models.tiny_models import config_of, tiny_spec
from tinsmith import models
from tinsmith.errors import FormatError, TinsmithError
from tinsmith.formats import gguf, safetensors
from tinsmith.models import family

MOST = 2**31 - 1
CASES = (
    "llama", "gemma2", "gemma3", "gemma4", "lfm2", "lfm2_moe", "phi3", "qwen3_moe", "qwen35", "qwen35_moe",
    "smollm3",
)  # fmt: skip


@pytest.fixture
def bounded() -> Callable[[Callable[[], Any]], None]:
    """Runs what must be refused, and sees that it took little memory."""

    def run(load: Callable[[], Any]) -> None:
        tracemalloc.start()
        try:
            with pytest.raises(TinsmithError):
                load()
            assert tracemalloc.get_traced_memory()[1] < 64 << 20
        finally:
            tracemalloc.stop()

    return run


@pytest.mark.parametrize("case", CASES)
def test_a_gguf_with_huge_counts_is_refused(case: str, tmp_path: Path, bounded: Callable[..., None]) -> None:
    path = tmp_path / "model.gguf"
    models.save_gguf(tiny_spec(case), path)
    file = gguf.read(path)
    counts = [key for key, entry in file.metadata.items() if type(entry.value) is int and "." in key]
    prefix = family.by_gguf_architecture(file.get("general.architecture"), case).gguf_architecture + "."
    counts = [key for key in counts if key.startswith(prefix) and not key.endswith(BOUNDLESS)]
    assert f"{prefix}block_count" in counts
    for key in counts:
        gguf.write(path, file.metadata | {key: gguf.value(MOST)}, list(file.tensors.values()))
        if not (
            key.endswith("feed_forward_length") and case.endswith("_moe")
        ):  # where no layer is without experts
            bounded(lambda: models.load(path))


# What is no count of anything that the file holds, or that is looked at by the compiler alone.
BOUNDLESS = (
    "context_length", "sliding_window", "original_context_length", "expert_used_count",
    "sliding_window_pattern", "full_attention_interval",
)  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_folder_with_huge_counts_is_refused(case: str, tmp_path: Path, bounded: Callable[..., None]) -> None:
    models.save_hf(tiny_spec(case), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    for key in ("num_hidden_layers", "num_experts", "vocab_size", "num_attention_heads", "hidden_size"):
        if key not in config:
            continue
        (tmp_path / "config.json").write_text(json.dumps(config | {key: MOST}))
        bounded(lambda: models.load(tmp_path))


def test_fused_experts_without_weights_are_not_split(tmp_path: Path, bounded: Callable[..., None]) -> None:
    models.save_hf(tiny_spec("qwen3_moe"), tmp_path)
    path = tmp_path / safetensors.SINGLE
    tensors = safetensors.read(path)
    tensors = {name: replace(one, data=bytes(one.data)) for name, one in tensors.items()}  # type: ignore[arg-type]
    tensors["model.layers.0.mlp.experts.gate_up_proj"] = safetensors.Tensor("F32", (MOST, 0, 1), b"")
    safetensors.write(path, tensors)
    bounded(lambda: models.load(tmp_path))


def test_a_token_of_any_length_is_refused(tmp_path: Path, bounded: Callable[..., None]) -> None:
    spec = tiny_spec("gemma3")
    tokens = [*spec.tokenizer.tokens]
    tokens[-1] = "a" * 200_000
    scores = [0.0] * len(tokens)
    tokenizer = replace(spec.tokenizer, model="sentencepiece", tokens=tokens, scores=scores, merges=[])
    models.save_gguf(
        replace(spec, tokenizer=replace(tokenizer, tokens=[*tokens[:-1], "a"])), tmp_path / "a.gguf"
    )
    file = gguf.read(tmp_path / "a.gguf")
    meta = file.metadata | {"tokenizer.ggml.tokens": gguf.value(tokens)}
    gguf.write(tmp_path / "a.gguf", meta, list(file.tensors.values()))
    with pytest.raises(FormatError, match="200000 characters; at most 2048"):
        models.load(tmp_path / "a.gguf")


def test_a_header_with_counts_beyond_the_file_is_refused(tmp_path: Path, bounded: Callable[..., None]) -> None:
    path = tmp_path / "a.gguf"
    key = struct.pack("<Q", 1) + b"a"
    wild = struct.pack("<Q", 2**62)
    for head in (
        wild + bytes(8),  # tensors
        bytes(8) + wild,  # keys
        struct.pack("<QQ", 0, 1) + wild,  # a key's length
        struct.pack("<QQ", 0, 1) + key + struct.pack("<I", 8) + wild,  # a text's
        struct.pack("<QQ", 0, 1) + key + struct.pack("<II", 9, 0) + wild,  # an array of bytes
        struct.pack("<QQ", 0, 1) + key + struct.pack("<II", 9, 8) + wild,  # of texts
        struct.pack("<QQ", 0, 1) + key + struct.pack("<II", 9, 9) + wild,  # of arrays
        struct.pack("<QQ", 1, 0) + key + struct.pack("<I", 2**32 - 1),  # dimensions
        struct.pack("<QQ", 1, 0) + key + struct.pack("<IQI", 1, 2**62, 0) + bytes(8),  # a dimension
    ):
        path.write_bytes(b"GGUF" + struct.pack("<I", 3) + head + bytes(64))
        bounded(lambda: models.load(path))


def test_all_tiny_configs_are_within_the_limits(tmp_path: Path) -> None:
    """What the tests above refuse is refused for the count alone."""
    for case in CASES:
        models.save_gguf(tiny_spec(case), tmp_path / f"{case}.gguf")
        assert models.load(tmp_path / f"{case}.gguf").hyper.layers == config_of(case)["num_hidden_layers"]
