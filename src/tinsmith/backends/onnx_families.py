"""Workarounds for families that onnxruntime-genai's model builder would export incorrectly."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tinsmith.formats import safetensors
from tinsmith.tokenizer.tokenizer_json import read_json

CONFIG = "config.json"
# Text models that the builder supports only as a part of a multimodal one: its architecture and model_type.
_TEXT_PARTS = {
    "Qwen3_5ForCausalLM": ("Qwen3_5ForConditionalGeneration", "qwen3_5"),
    "Qwen3_5MoeForCausalLM": ("Qwen3_5MoeForConditionalGeneration", "qwen3_5_moe"),
}
# The smallest that transformers accepts; the builder omits the vision part.
_VISION = {
    "depth": 1,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_heads": 1,
    "num_position_embeddings": 16,
}
Edit = Callable[[Any, Path], None]  # takes the built ONNX model and the file of its tensors


def builder_architecture(architecture: str) -> str:
    """The builder's architecture for ours."""
    return _TEXT_PARTS.get(architecture, (architecture,))[0]


def prepare(folder: Path) -> list[Edit]:
    """Changes a folder of `save_hf` so that the builder reads it correctly. Returns edits for its output."""
    config = read_json(folder / CONFIG)
    architecture = config["architectures"][0]
    edits: list[Edit] = []
    if architecture in _TEXT_PARTS:
        config = _as_text_part(folder, config, *_TEXT_PARTS[architecture])
    elif architecture == "Phi3ForCausalLM" and config.get("sliding_window"):
        # The builder gives a window only to layers that are listed as windowed.
        config["layer_types"] = ["sliding_attention"] * config["num_hidden_layers"]
    elif architecture == "SmolLM3ForCausalLM":
        # The builder fails at layers without rotation: build them with it, then turn it off.
        plain = [layer for layer, rotated in enumerate(config["no_rope_layers"]) if not rotated]
        config["no_rope_layers"] = [1] * config["num_hidden_layers"]
        edits.append(lambda model, data: _without_rotation(model, plain))
    elif architecture == "Gemma3ForCausalLM" and config.get("rope_scaling"):
        # Only layers without a window are scaled; the builder scales all.
        base = config["rope_local_base_freq"]
        edits.append(lambda model, data: _unscaled(model, data, base))
    (folder / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return edits


def _as_text_part(folder: Path, config: dict[str, Any], architecture: str, kind: str) -> dict[str, Any]:
    stored = safetensors.read_folder(folder)
    whole = folder / "whole.safetensors"
    safetensors.write(whole, {_inside(name): tensor for name, tensor in stored.items()}, {"format": "pt"})
    del stored
    whole.replace(folder / safetensors.SINGLE)
    text = {key: value for key, value in config.items() if key != "architectures"}
    return {
        "architectures": [architecture],
        "model_type": kind,
        "text_config": text,
        "vision_config": {**_VISION, "out_hidden_size": config["hidden_size"]},
        "tie_word_embeddings": config["tie_word_embeddings"],
    }


def _inside(name: str) -> str:
    return name.replace("model.", "model.language_model.", 1) if name.startswith("model.") else name


def _without_rotation(model: Any, layers: list[int]) -> None:
    names = {f"/model/layers.{layer}/attn/GroupQueryAttention" for layer in layers}
    nodes = [node for node in model.graph.node if node.name in names]
    assert len(nodes) == len(names)
    for node in nodes:
        next(one for one in node.attribute if one.name == "do_rotary").i = 0


def _unscaled(model: Any, data: Path, base: float) -> None:
    """Overwrites the tables of windowed layers, float32 [context, half a head], without scaling."""
    import numpy

    for stored in model.graph.initializer:
        if stored.name not in ("cos_cache_local", "sin_cache_local"):
            continue
        context, half = stored.dims
        frequencies = 1 / base ** (numpy.arange(half, dtype=numpy.float32) / numpy.float32(half))
        angles = numpy.outer(numpy.arange(context, dtype=numpy.float32), frequencies.astype(numpy.float32))
        table = numpy.cos(angles) if stored.name.startswith("cos") else numpy.sin(angles)
        place = {entry.key: entry.value for entry in stored.external_data}
        assert int(place["length"]) == table.nbytes
        with data.open("r+b") as file:
            file.seek(int(place["offset"]))
            file.write(table.astype(numpy.float32).tobytes())
