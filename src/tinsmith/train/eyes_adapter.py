"""LoRA on a vision half: low-rank factors beside the linear layers of its tower, its connector or both.

They lie in a file of their own in the adapter's folder, under the names that peft gives them, since what reads
adapters of language models knows none of these layers; merging adds them to the vision half.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinsmith.errors import FormatError
from tinsmith.spec import Tensor, Vision
from tinsmith.train.adapter import CONFIG, VISION_WEIGHTS
from tinsmith.train.tensors import from_folder, to_folder
from tinsmith.vision.parts import tensors_of

if TYPE_CHECKING:
    import torch

    from tinsmith.train.eyes import Eyes
    from tinsmith.train.network import Network

TOWER, CONNECTOR = "tower", "connector"
_PREFIXES = {TOWER: "vision_model.", CONNECTOR: "connector."}  # of the modules' names within Eyes
_FACTOR = "{}.lora_{}.weight"


def install(eyes: Eyes, parts: Sequence[str], rank: int, alpha: float, dropout: float, rslora: bool) -> None:
    """New factors beside the linear layers of these parts; A is drawn by torch's seed, B is 0."""
    from peft import LoraConfig, inject_adapter_in_model
    from torch import nn

    prefixes = tuple(_PREFIXES[part] for part in parts if part in _PREFIXES)
    if not prefixes:
        return
    names = [
        path
        for path, module in eyes.named_modules()
        if isinstance(module, nn.Linear) and path.startswith(prefixes)
    ]
    config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, use_rslora=rslora, target_modules=names)
    inject_adapter_in_model(config, eyes)


def weights(network: Network) -> dict[str, torch.Tensor]:
    """Of a network's vision half, the factors by their modules' names; none where it has none."""
    held = network.eyes.state_dict() if network.sees else {}
    return {
        name.replace(".default.weight", ".weight"): value.cpu().contiguous()
        for name, value in held.items()
        if ".lora_" in name
    }


def save(network: Network, folder: Path) -> None:
    from safetensors.torch import save as to_bytes

    found = weights(network)
    if found:
        (folder / VISION_WEIGHTS).write_bytes(to_bytes(found))


def stored(folder: Path, prefix: str) -> dict[str, torch.Tensor]:
    """What `save` wrote, by the parameters' names. prefix: of those."""
    from safetensors.torch import load_file

    path = folder / VISION_WEIGHTS
    held = load_file(path) if path.exists() else {}
    return {f"{prefix}{name.removesuffix('.weight')}.default.weight": value for name, value in held.items()}


def merge(vision: Vision, folder: Path) -> Vision:
    """The vision half with the folder's factors added: what they change is F32. Raises FormatError for a file
    that is damaged or of another vision half."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = folder / VISION_WEIGHTS
    if not path.exists():
        return vision
    try:
        held = load_file(path)
    except SafetensorError as error:
        raise FormatError(f"{path}: damaged: {error}; train the adapter again") from None
    scale = _scale(json.loads((folder / CONFIG).read_text("utf-8")))
    changed: dict[str, Tensor] = {}
    for name in tensors_of(vision):
        module = name.hf.removeprefix("model.").removesuffix(".weight")
        a, b = held.pop(_FACTOR.format(module, "A"), None), held.pop(_FACTOR.format(module, "B"), None)
        if a is None or b is None:
            continue
        weight = to_folder(name, vision.tensors[name.role])
        if weight.shape != (len(b), a.shape[1]):
            raise FormatError(f"{path}: {module} is of another size; give the adapter's own base")
        changed[name.role] = from_folder(name, weight + scale * (b @ a))
    if held:
        raise FormatError(f"{path}: {next(iter(held))} is no layer of the base's; give the adapter's own base")
    return replace(vision, tensors={**vision.tensors, **changed})


def _scale(config: dict[str, Any]) -> float:
    rank, alpha = config["r"], config["lora_alpha"]
    return float(alpha / (math.sqrt(rank) if config.get("use_rslora") else rank))
