"""Continuing an adapter: checks it against the base and the recipe, and loads its weights into the network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tinsmith.errors import InputError
from tinsmith.spec import Spec
from tinsmith.train.adapters import peft_folder

if TYPE_CHECKING:
    from tinsmith.train.adapters.peft_folder import Factors
    from tinsmith.train.model.network import Network
    from tinsmith.train.options import TrainOptions


def check(folder: Path, spec: Spec, tools: str | None = None) -> None:
    """Raises InputError if the adapter was trained on another base, FormatError if under another chat template.
    tools: the template's list of tools, which may differ."""
    peft_folder.read(folder, spec, with_vision=spec.vision is not None)
    peft_folder.check_base(folder, peft_folder.base_digest(folder), spec.source)
    # Adapters trained elsewhere may name the base freely.
    named = peft_folder.base_name(folder) if peft_folder.template(folder) is not None else None
    given = spec.general.get("name")
    if named and isinstance(given, str) and named != given:
        raise InputError(
            f"{folder}/{peft_folder.CONFIG}: base_model_name_or_path is {named!r}, and the recipe's base is "
            f"{given!r}; give the base that the adapter was trained on"
        )
    trained, settled = peft_folder.template(folder), spec.chat_template
    if tools and trained and settled:
        before, _, after = settled.partition(tools)
        if trained.startswith(before) and trained.endswith(after):
            return
    peft_folder.check_template(folder, settled)


def runs_in(folder: Path, options: TrainOptions) -> int:
    """How many adapters with these options were averaged into the one in the folder."""
    count = peft_folder.mean_of(folder)
    return count if peft_folder.rank(folder) == count * options.rank else 1


def load(network: Network, spec: Spec, folder: Path, copies: int = 1) -> None:
    """Loads the folder's adapter into the network. copies: how often to repeat its factors, as the mean of
    several adapters does: the result is the same, at a multiple of the rank.

    Raises InputError, naming the recipe's key, where the adapter's layers, rank or scale differ from the
    recipe's."""
    import torch

    from tinsmith.train.model import vision_adapter
    from tinsmith.train.model.network import roles_of

    given = peft_folder.read(folder, spec, with_vision=network.has_vision).factors
    layers = {role: path.rpartition(".")[2] for path, role in roles_of(spec).items()}
    own, theirs = ({layers[role] for role in roles} for roles in (network.linears, given))
    if own != theirs or set(given) != set(network.linears):
        raise InputError(
            f"{folder}: adapts {', '.join(sorted(theirs))}, but the recipe's [train] targets would adapt "
            f"{', '.join(sorted(own))}; state targets = {json.dumps(sorted(theirs))}"
        )
    with torch.no_grad():
        for role, module in network.linears.items():
            factors = given[role]
            a, b = module.lora_A["default"].weight, module.lora_B["default"].weight
            scale = module.scaling["default"] * copies
            _check_layout(folder, layers[role], factors, len(a) // copies, scale)
            a.copy_(torch.from_numpy(factors.a).repeat(copies, 1))
            b.copy_(torch.from_numpy(factors.b).repeat(1, copies))
    if network.has_vision:
        vision_adapter.load(network.vision, folder, copies)


def _check_layout(folder: Path, layer: str, factors: Factors, rank: int, scale: float) -> None:
    if len(factors.a) != rank:
        raise InputError(
            f"{folder}: {layer} has rank {len(factors.a)}, but the recipe's [train] rank is {rank}; "
            "set rank to the adapter's"
        )
    if abs(factors.scale - scale) > 1e-6 * scale:
        raise InputError(
            f"{folder}: the scale of {layer} is {factors.scale:g}, and by the recipe's [train] alpha it "
            f"would be {scale:g}; state the alpha that the adapter was trained with"
        )
