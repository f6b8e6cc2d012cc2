"""Merging an adapter into its base: W + scale B A, in float32, on dequantized weights."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from tinsmith.errors import FormatError, InputError, MissingExtraError, UnsupportedError
from tinsmith.models import family
from tinsmith.models.spec import Spec, Tensor
from tinsmith.train.tensors import from_float32, to_float32

_FACTOR = re.compile(r"base_model\.model\.(.+)\.lora_([AB])\.weight")
# Settings of peft that change what an adapter computes, and the only value that is plain LoRA.
_PLAIN: dict[str, tuple[Any, ...]] = {
    "use_dora": (False, None),
    "bias": ("none", None),
    "rank_pattern": ({}, None),
    "alpha_pattern": ({}, None),
    "fan_in_fan_out": (False, None),
    "modules_to_save": ([], None),
}


def merge(spec: Spec, adapter_dir: Path) -> Spec:
    """The base with the adapter's weights added: every tensor F32, whatever the base's formats.

    adapter_dir: a folder in peft's format. Raises InputError when it is none or belongs to another base,
    FormatError when its file is damaged, UnsupportedError when the adapter is not plain LoRA.
    """
    scale, factors = read_adapter(Path(adapter_dir))
    names = family.by_name(spec.family).tensors(spec.hyper)
    unknown = set(factors) - {name.hf.removesuffix(".weight") for name in names}
    if unknown:
        raise InputError(f"{adapter_dir}: adapts {min(unknown)}, which the base lacks; give its own base")
    merged: dict[str, Tensor] = {}
    for name in names:
        if name.role not in spec.tensors:
            continue
        weight = to_float32(spec.tensors[name.role])
        if pair := factors.get(name.hf.removesuffix(".weight")):
            a, b = pair["A"], pair["B"]
            if (b.shape[0], a.shape[1]) != weight.shape or a.shape[0] != b.shape[1]:
                raise InputError(
                    f"{adapter_dir}: {name.hf} is {list(weight.shape)} in the base, the adapter's is "
                    f"{[b.shape[0], a.shape[1]]}; give the base that it was trained on"
                )
            weight += scale * (b @ a)
        merged[name.role] = from_float32(weight)
    return replace(spec, tensors=merged)


def read_adapter(folder: Path) -> tuple[float, dict[str, dict[str, Any]]]:
    """The scale, and by module (its Hugging Face name) "A" [rank, inputs] and "B" [outputs, rank], float32."""
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    except ImportError:
        raise MissingExtraError("safetensors", "train") from None
    config = _config(folder / "adapter_config.json")
    try:
        tensors = load_file(folder / "adapter_model.safetensors")
    except FileNotFoundError:
        raise InputError(f"{folder}: holds no adapter_model.safetensors; give an adapter folder") from None
    except SafetensorError as error:
        raise FormatError(f"{folder}/adapter_model.safetensors: damaged: {error}; train again") from None
    factors: dict[str, dict[str, Any]] = {}
    for key, array in tensors.items():
        match = _FACTOR.fullmatch(key)
        if match is None:
            raise UnsupportedError(
                f"{folder}: tensor {key} is not a LoRA factor; only plain LoRA can be merged"
            )
        factors.setdefault(match[1], {})[match[2]] = array.astype("float32")
    for module, pair in factors.items():
        if set(pair) != {"A", "B"}:
            raise FormatError(f"{folder}: {module} has one factor of two; the file is damaged, train again")
    rank = config["r"]
    return config["lora_alpha"] / (rank**0.5 if config.get("use_rslora") else rank), factors


def _config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{path.parent}: holds no adapter_config.json; give an adapter folder") from None
    except ValueError as error:
        raise FormatError(f"{path}: not JSON: {error}") from None
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise UnsupportedError(f"{path}: not a LoRA adapter; only plain LoRA can be merged")
    for key, allowed in _PLAIN.items():
        if config.get(key) not in allowed:
            raise UnsupportedError(f"{path}: {key} = {config[key]!r}; only plain LoRA can be merged")
    return config
