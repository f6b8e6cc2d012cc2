"""LoRA on a vision model: low-rank factors beside the linear layers of its encoder, its projector or both.

They have a file of their own in the adapter's folder, by the roles of the graph's matrices, since readers of
language models' adapters do not know these layers. Merging adds them to the vision model.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinsmith.compiler.vision import graph_of, matrices_of, own_tensors
from tinsmith.errors import FormatError, InputError
from tinsmith.formats import safetensors
from tinsmith.spec import Vision
from tinsmith.train import tensors
from tinsmith.train.adapters.peft_folder import CONFIG, VISION_WEIGHTS, float32, scale_of
from tinsmith.train.options import PROJECTOR, VISION_ENCODER
from tinsmith.train.tensors import from_float32, to_float32

if TYPE_CHECKING:
    import torch

    from tinsmith.train.model.network import Network
    from tinsmith.train.vision.model import VisionModel

_FACTOR = "{}.lora_{}.weight"


def install(vision: VisionModel, parts: Sequence[str], rank: int, alpha: float) -> None:
    """New factors beside the linear layers of these parts; A is random by torch's seed, B is 0."""
    from peft import LoraConfig, inject_adapter_in_model

    names = [role for role in vision.matrices if _part_of(role) in parts]
    if not names:
        return
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=names)
    inject_adapter_in_model(config, vision)


def _part_of(role: str) -> str:
    return PROJECTOR if role.startswith("projector.") else VISION_ENCODER


def weights(network: Network) -> dict[str, torch.Tensor]:
    """The factors of a network's vision model by their modules' names; none without factors."""
    factors = network.vision.state_dict() if network.has_vision else {}
    return {
        name.replace(".default.weight", ".weight"): value.cpu().contiguous()
        for name, value in factors.items()
        if ".lora_" in name
    }


def save(network: Network, folder: Path) -> None:
    if found := weights(network):
        tensors.save(folder / VISION_WEIGHTS, found)


def stored(folder: Path, prefix: str) -> dict[str, torch.Tensor]:
    """The tensors that `save` wrote, by the parameters' names. prefix: of the names."""
    import torch

    return {
        f"{prefix}{name.removesuffix('.weight')}.default.weight": torch.from_numpy(value)
        for name, value in _read(folder).items()
    }


def load(vision: VisionModel, folder: Path, copies: int) -> None:
    """Loads the folder's factors into a vision model, as that many copies side by side. Raises InputError for
    other parts or another rank, FormatError for a damaged file."""
    import torch

    factors = _read(folder)
    own = {name.replace(".default.", "."): one for name, one in vision.named_parameters() if ".lora_" in name}
    if own.keys() != factors.keys():
        theirs, ours = (sorted({_part_of(name) for name in names}) for names in (factors, own))
        raise InputError(
            f"{folder}: changes {' and '.join(theirs) or 'nothing'} of the vision model, and by the recipe's "
            f"[train] parts it would be {' and '.join(ours) or 'nothing'}; state parts as it was trained with, "
            "and give its own base"
        )
    for name, parameter in own.items():
        axis = 0 if ".lora_A." in name else 1
        value = torch.cat([torch.from_numpy(factors[name])] * copies, axis)
        if value.shape != parameter.shape:
            raise InputError(
                f"{folder}: {name} is {list(value.shape)}, and by the base and the recipe's [train] rank it "
                f"would be {list(parameter.shape)}; state the rank that the adapter has, and give its own base"
            )
        parameter.data.copy_(value)


def _read(folder: Path) -> dict[str, Any]:
    """The folder's factors, numpy, by their names in the file; none without the file."""
    path = folder / VISION_WEIGHTS
    factors = safetensors.read(path) if path.exists() else {}
    return {name: float32(path, name, value) for name, value in factors.items()}


def merge(vision: Vision, folder: Path) -> Vision:
    """The vision model with the folder's factors added; changed tensors are F32. Raises FormatError for a
    damaged file or another vision model's."""
    path, factors = folder / VISION_WEIGHTS, _read(folder)
    if not factors:
        return vision
    config = json.loads((folder / CONFIG).read_text("utf-8"))
    graph = graph_of(vision)[0]
    roles = {name.rpartition(".lora_")[0] for name in factors}
    parts = {_part_of(role) for role in roles}
    wanted = {role for role in matrices_of(graph) if _part_of(role) in parts}
    if factors.keys() != {_FACTOR.format(role, half) for role in wanted for half in "AB"}:
        odd = min(roles ^ wanted, default=min(factors))
        raise FormatError(f"{path}: {odd} is not in both, or has not both factors; give the adapter's own base")
    for role in wanted:
        a, b = factors[_FACTOR.format(role, "A")], factors[_FACTOR.format(role, "B")]
        weight = to_float32(graph.tensors[role])
        if weight.shape != (len(b), a.shape[1]):
            raise FormatError(f"{path}: {role} is of another size; give the adapter's own base")
        graph.tensors[role] = from_float32(weight + scale_of(config, role, len(a)) * (b @ a))
    return replace(vision, tensors=own_tensors(vision, graph.tensors))
