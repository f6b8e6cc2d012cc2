"""What training will hold at its peak, found before its first step, and what follows: whether the base stays in
its blocks, which activations are computed again, whether batches are cut in parts, or that it can't be done
here.

Weights are held by then. Activations are found by a trial: the largest batch goes forward and back through the
first layers, as many as there are kinds, while every allocation is recorded (room.py); the other layers need
what their kind needs. Of a batch that the trial has no room for a part is tried. What the trial leaves is
thrown away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn

from tinsmith.errors import InputError
from tinsmith.formats.weights import weight_format
from tinsmith.spec import Spec
from tinsmith.train.batches.sequences import cut
from tinsmith.train.footprint import room
from tinsmith.train.footprint.recompute import LEVELS, WORDS, is_recomputed, set_level
from tinsmith.train.model.devices import CPU

if TYPE_CHECKING:
    from torch import Tensor

    from tinsmith.train.batches.packing import Packing
    from tinsmith.train.batches.sequences import TokenSequence
    from tinsmith.train.model.network import Network

_GB = 1e9
# Of the memory that is free, what training may take: allocators waste some, and others are there.
_SHARE = 0.95
# Bytes that a step takes of a token for each input and output of a matrix, at most: of all families 4 to 15.
_BYTES = 16
_LOGIT_BYTES = 32  # of a token of the vocabulary for each answer's token, at most
_LITTLE = 1 << 28  # that a trial may take in any case


def keeps_packed(spec: Spec, stated: str, device: torch.device = CPU) -> tuple[bool, str]:
    """Whether the base's matrices stay in their blocks, and why, in words ("" where there is nothing to say).

    stated: what the recipe says, "auto", "quantized" or "float". Raises InputError where there are no blocks.
    """
    formats = {tensor.format for tensor in spec.tensors.values() if tensor.rows > 1}
    has_blocks = any(weight_format(format).block > 1 for format in formats)
    if stated == "quantized":
        if not has_blocks:
            known = ", ".join(sorted(formats))
            raise InputError(
                f'[base] weights = "quantized": the base holds its weights as {known}, not quantized; '
                "give a quantized GGUF file (tinsmith quantize makes one), or leave weights out"
            )
        return True, "base kept packed, as given"
    whole = room.of(device).total()
    if stated == "float" or not has_blocks or whole is None:
        return False, ""
    floats, held = 4 * spec.parameters, sum(memoryview(one.data).nbytes for one in spec.tensors.values())
    numbers = f"{floats / _GB:.1f} GB as floats, {held / _GB:.1f} GB packed, of {whole / _GB:.1f} GB memory"
    return (True, f"base kept packed: {numbers}") if floats > whole / 2 else (False, "")


@dataclass(frozen=True)
class Prediction:
    """Bytes at the peak: held is what the process holds by now, optimizer what the steps keep between them,
    activations the most that a step adds, gradients among it, checkpoint what writing one adds instead, drawing
    what answers take that are drawn between steps, which the C library seldom gives back."""

    held: int
    optimizer: int
    activations: int
    checkpoint: int = 0
    drawing: int = 0

    @property
    def peak(self) -> int:
        return self.held + self.optimizer + self.drawing + max(self.activations, self.checkpoint)

    def __str__(self) -> str:
        added = {"held": self.held, "optimizer": self.optimizer}
        if self.drawing:
            added["answers that are drawn"] = self.drawing
        if self.checkpoint > self.activations:
            added["checkpoint"] = self.checkpoint
        else:
            added["activations and gradients"] = self.activations
        return f"{self.peak / _GB:.2f} GB: " + ", ".join(
            f"{size / _GB:.2f} {what}" for what, size in added.items()
        )


@dataclass(frozen=True)
class Demand:
    """Of a method. kept: bytes of a parameter that the steps keep between them; copied: that a checkpoint takes
    on the device; drawing: as a Prediction has it; passes: how many a batch goes through side by side, each
    with gradients of its own, None where these are small; losses: what is learned of a batch, or what takes as
    much, None for the cross entropy of its answers; less: what takes less, in words."""

    kept: float = 8  # AdamW's moments
    copied: float = 0
    drawing: int = 0
    passes: Callable[[Sequence[TokenSequence]], int] | None = None
    losses: Callable[[Packing], Tensor] | None = None
    less: str = "give a smaller base, or a GGUF base in fewer bits"


_ADAPTER = Demand()


class Plan(NamedTuple):
    """words: what was chosen, "" where it is plain that nothing is wanting; predicted: None there, and where
    the system does not tell; part_tokens: of a part of a batch at most, None where batches stay whole."""

    words: str
    predicted: Prediction | None = None
    part_tokens: int | None = None


def plan(
    network: Network,
    batches: Sequence[Sequence[TokenSequence]],
    shared: int,
    keep_packed: bool,
    more: int = 0,
    splits: bool = False,
    demand: Demand = _ADAPTER,
) -> Plan:
    """Sets which layers are computed again: as few as memory allows, but for a packed base, where memory is
    dear, half of them in any case. Where all of them do not suffice, batches are cut.

    batches: all there will be; shared: as Network.pack takes it; more: bytes of weights that are made later;
    splits: whether a batch may be cut; demand: the method's. Raises InputError where no choice suffices.
    """
    place, first = room.of(network.device), LEVELS[keep_packed]
    held, free = place.held(), place.free()
    set_level(network.trunk, first)
    if held is None or free is None:
        return Plan(WORDS[first] if keep_packed else "")
    largest = max(batches, key=_tokens)
    layers: Any = network.trunk.layers
    if not keep_packed and held < free / 8:
        most = _sum(network, largest, held, demand, _most(network, [*layers], largest, shared), True)
        if most.peak - held <= _SHARE * free:
            return Plan("")
    place.give_back()
    held = place.held() or held
    for level in LEVELS[LEVELS.index(first) :]:
        set_level(network.trunk, level)
        predicted = predict(network, largest, shared, held + more, demand)
        if predicted.peak - held <= _SHARE * free:
            return Plan(f"peak {predicted}; {WORDS[level]}", predicted)
    limit = _tokens(largest)
    while splits and len(largest) > 1:
        limit = -(-limit // 2)
        largest = max((part for batch in batches for part in cut(batch, limit, shared)), key=_tokens)
        predicted = predict(network, largest, shared, held + more, demand, in_parts=True)
        if predicted.peak - held <= _SHARE * free:
            parts = f"batches in parts of {limit} tokens, whose gradients are added"
            return Plan(f"peak {predicted}; {WORDS[level]}; {parts}", predicted, limit)
    raise InputError(
        f"training would take {predicted} (with {WORDS[level]}, {_tokens(largest)} tokens at once), and "
        f"{free / _GB:.2f} GB more are free; lower batch_tokens or max_length, close other programs, "
        f"{demand.less}"
    )


def _tokens(batch: Sequence[TokenSequence]) -> int:
    return sum(map(len, batch))


def _rows(network: Network, batch: Sequence[TokenSequence], shared: int) -> int:
    """The tokens that go through the network."""
    if not network.packs:
        return len(batch) * max(map(len, batch))
    return shared + sum(len(one) - shared for one in batch)


def _most(network: Network, layers: Sequence[nn.Module], batch: Sequence[TokenSequence], shared: int) -> int:
    """What a batch may take at most in some layers and the head, without a trial; pictures as their tokens."""
    ends: int = sum(
        module.in_features + module.out_features
        for layer in layers
        for name, module in layer.named_modules()
        if hasattr(module, "in_features") and not [*module.children()] and ".lora_" not in name
    )
    if not network.packs:  # attention lays its weights out
        trunk: Any = network.trunk
        ends += len(layers) * trunk.config.num_attention_heads * max(map(len, batch))
    answers = sum(len(one.learned) for one in batch)
    return _BYTES * _rows(network, batch, shared) * ends + _LOGIT_BYTES * answers * len(network.head.data)


def predict(
    network: Network,
    batch: Sequence[TokenSequence],
    shared: int,
    held: int,
    demand: Demand = _ADAPTER,
    in_parts: bool = False,
) -> Prediction:
    """held: the bytes that the process holds, all weights among them; in_parts: whether gradients of earlier
    parts are held beside the batch's."""
    return _sum(network, batch, held, demand, _activations(network, batch, shared, demand), in_parts)


def _sum(
    network: Network,
    batch: Sequence[TokenSequence],
    held: int,
    demand: Demand,
    activations: int,
    in_parts: bool = False,
) -> Prediction:
    """activations: with the gradients of one pass."""
    count = sum(value.numel() for value in network.parameters().values())
    others = (demand.passes(batch) - 1 if demand.passes else 0) + in_parts
    step = activations + 4 * count * others
    return Prediction(held, int(demand.kept * count), step, int(demand.copied * count), demand.drawing)


def _activations(network: Network, batch: Sequence[TokenSequence], shared: int, demand: Demand) -> int:
    trunk: Any = network.trunk
    kinds = [_kind(layer) for layer in trunk.layers]
    first = max(kinds.index(kind) for kind in kinds) + 1
    part = _affordable(network, trunk.layers[:first], batch, shared)
    taken = _tried(network, part, shared, kinds, first, demand)
    if len(part) == len(batch):
        return taken
    # Beyond it on the line through what a part and half of it take.
    rows, wanted = _rows(network, part, shared), _rows(network, batch, shared)
    less, fewer = 0, 0
    if len(part) > 1:
        half = part[: len(part) // 2]
        less, fewer = _tried(network, half, shared, kinds, first, demand), _rows(network, half, shared)
    return taken + max(0, taken - less) * (wanted - rows) // (rows - fewer)


def _affordable(
    network: Network, layers: Sequence[nn.Module], batch: Sequence[TokenSequence], shared: int
) -> Sequence[TokenSequence]:
    """The batch, or as much of it as these layers surely have room for."""
    free, most = room.of(network.device).free(), _most(network, layers, batch, shared)
    allowed = max(_LITTLE, _SHARE * free) if free is not None else most
    if most <= allowed:
        return batch
    limit = int(allowed / most * _rows(network, batch, shared))
    return max(cut(batch, max(1, limit - shared), shared), key=_tokens)


def _tried(
    network: Network,
    batch: Sequence[TokenSequence],
    shared: int,
    kinds: Sequence[Any],
    first: int,
    demand: Demand,
) -> int:
    """By a trial of so many of the layers, of these kinds."""
    trunk: Any = network.trunk
    layers = list(trunk.layers)
    parameters = network.parameters().values()
    trunk.layers = nn.ModuleList(layers[:first])
    hooks, place = [], room.of(network.device)
    cards = [network.device] if network.device.type == "cuda" else []
    try:
        with torch.random.fork_rng(cards), place.measured() as measure:
            hooks += [layer.register_forward_pre_hook(measure.mark) for layer in layers[:first]]
            hooks.append(layers[first - 1].register_forward_hook(measure.mark))
            if not network.packs:  # the layer before which no prefix was is to keep what the others do
                embedding = trunk.get_input_embeddings()
                hooks.append(embedding.register_forward_hook(lambda *given: given[-1].requires_grad_()))
            network.model.train()
            packing = network.pack(batch, shared)
            losses = demand.losses(packing) if demand.losses else network.answer_losses(packing)[0]
            losses.mean().backward()  # type: ignore[no-untyped-call]
            del losses, packing
    finally:
        for hook in hooks:
            hook.remove()
        trunk.layers = nn.ModuleList(layers)
        for parameter in parameters:
            parameter.grad = None
        place.give_back()
    kept = {kinds[k]: after - before for k, (before, after) in enumerate(pairwise(measure.levels))}
    # Of the other layers there are activations first, and as these go, gradients.
    weights = (value for layer in layers[first:] for value in layer.parameters() if value.requires_grad)
    gradients = sum(value.nbytes for value in weights)
    return int(measure.peak + max(gradients, sum(kept[kind] for kind in kinds[first:])))


def _kind(layer: nn.Module) -> tuple[Any, ...]:
    """Of layers alike in their modules and sizes, and in whether they are computed again."""
    sizes = tuple((type(part).__name__, getattr(part, "out_features", 0)) for part in layer.modules())
    return sizes, is_recomputed(layer)
