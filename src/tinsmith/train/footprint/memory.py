"""Predicts the peak memory of training before its first step, and chooses how to fit it: quantized base
weights, recomputed activations, or batches in parts.

A trial measures the memory of activations: the largest batch runs forward and backward through the first
layers, at least one of each kind, while every allocation is recorded (room.py). Other layers count as those of
their kind. A batch too large for the trial is tried in part. The trial's results are dropped.

Recomputed activations are not kept: the backward pass makes them again (Chen et al., "Training Deep Nets with
Sublinear Memory Cost", arXiv 1604.06174).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tinsmith.errors import InputError
from tinsmith.formats.weights import weight_format
from tinsmith.spec import Spec
from tinsmith.train.batches.packing import Packing
from tinsmith.train.batches.sequences import TokenSequence, cut
from tinsmith.train.footprint import room
from tinsmith.train.model.devices import CPU
from tinsmith.train.model.network import Network

_GB = 1e9
_SHARE = 0.95  # of the free memory: allocators waste some, and other programs run
# Upper bounds of a step's bytes: per token, for each input and output of a matrix (4 to 15 measured over all
# families), and per answer token for each token of the vocabulary.
_BYTES, _LOGIT_BYTES = 16, 32
_LITTLE = 1 << 28  # bytes that a trial may always take

Level = Literal["none", "half", "all"]  # of the layers, whose activations are recomputed
WORDS: dict[Level, str] = {
    "none": "all activations kept",
    "half": "every second layer's activations recomputed",
    "all": "all activations recomputed",
}
LEVELS = tuple(WORDS)


def keeps_packed(spec: Spec, stated: str, device: torch.device = CPU) -> tuple[bool, str]:
    """Whether the base's matrices stay quantized, and the reason in words, "" if none. stated: the recipe's
    "auto", "quantized" or "float". Raises InputError for a base without quantized weights."""
    formats = {tensor.format for tensor in spec.tensors.values() if tensor.rows > 1}
    has_blocks = any(weight_format(format).block > 1 for format in formats)
    if stated == "quantized":
        if not has_blocks:
            raise InputError(
                f'[base] weights = "quantized": the base\'s weights are {", ".join(sorted(formats))}, not '
                "quantized; give a quantized GGUF file (tinsmith quantize makes one), or leave weights out"
            )
        return True, "quantized base weights, as given"
    whole = room.of(device).total()
    if stated == "float" or not has_blocks or whole is None:
        return False, ""
    floats, stored = 4 * spec.parameters, sum(memoryview(one.data).nbytes for one in spec.tensors.values())
    sizes = f"{stored / _GB:.1f} GB instead of {floats / _GB:.1f} GB as floats, of {whole / _GB:.1f} GB memory"
    return (True, f"quantized base weights: {sizes}") if floats > whole / 2 else (False, "")


@dataclass(frozen=True)
class Prediction:
    """Bytes at the peak. in_use: by the process now; optimizer: kept between steps; activations: the most
    that a step adds, with gradients; checkpoint: what writing one adds instead; drawing: for answers drawn
    between steps, which the C library seldom returns."""

    in_use: int
    optimizer: int
    activations: int
    checkpoint: int = 0
    drawing: int = 0

    @property
    def peak(self) -> int:
        return self.in_use + self.optimizer + self.drawing + max(self.activations, self.checkpoint)

    def __str__(self) -> str:
        parts = {"in use": self.in_use, "optimizer": self.optimizer}
        if self.drawing:
            parts["drawn answers"] = self.drawing
        if self.checkpoint > self.activations:
            parts["checkpoint"] = self.checkpoint
        else:
            parts["activations and gradients"] = self.activations
        sizes = ", ".join(f"{size / _GB:.2f} {name}" for name, size in parts.items())
        return f"{self.peak / _GB:.2f} GB: {sizes}"


@dataclass(frozen=True)
class Demand:
    """A method's needs.

    kept: bytes per parameter between steps; copied: bytes per parameter that a checkpoint takes on the device;
    drawing: as in Prediction; passes: the number of a batch's passes side by side, each with its own gradients,
    None if these are small; losses: of a batch, or work with as much memory, None for its answers' cross
    entropy; less: advice for less memory.
    """

    kept: float = 8  # AdamW's moments
    copied: float = 0
    drawing: int = 0
    passes: Callable[[Sequence[TokenSequence]], int] | None = None
    losses: Callable[[Packing], Tensor] | None = None
    less: str = "give a smaller base, or a GGUF base in fewer bits"


class Plan(NamedTuple):
    """words: the choice, "" if everything fits; predicted: None then, and if the system reports no memory;
    part_tokens: the most tokens of a part of a batch, None if batches stay whole."""

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
    demand: Demand | None = None,
) -> Plan:
    """Chooses the recomputed layers: as few as memory allows, but at least half for a quantized base when
    memory is short. If recomputing all is not enough, cuts batches.

    batches: all of the run; shared: as for Network.pack; more: bytes of weights that are made later; splits:
    whether a batch may be cut. Raises InputError if no choice fits.
    """
    demand = demand or Demand()
    predictor = Predictor(network, shared, demand)
    place, first = room.of(network.device), LEVELS[keep_packed]
    in_use, free = place.in_use(), place.free()
    set_level(network.trunk, first)
    if in_use is None or free is None:
        return Plan(WORDS[first] if keep_packed else "")
    largest = max(batches, key=_tokens)
    layers: Any = network.trunk.layers
    if not keep_packed and in_use < free / 8:
        most = predictor.total(largest, in_use, predictor.most([*layers], largest), in_parts=True)
        if most.peak - in_use <= _SHARE * free:
            return Plan("")
    place.give_back()
    in_use = place.in_use() or in_use
    for level in LEVELS[LEVELS.index(first) :]:
        set_level(network.trunk, level)
        predicted = predictor.predict(largest, in_use + more)
        if predicted.peak - in_use <= _SHARE * free:
            return Plan(f"peak {predicted}; {WORDS[level]}", predicted)
    limit = _tokens(largest)
    while splits and len(largest) > 1:
        limit = -(-limit // 2)
        largest = max((part for batch in batches for part in cut(batch, limit, shared)), key=_tokens)
        predicted = predictor.predict(largest, in_use + more, in_parts=True)
        if predicted.peak - in_use <= _SHARE * free:
            parts = f"batches in parts of {limit} tokens, whose gradients are added"
            return Plan(f"peak {predicted}; {WORDS[level]}; {parts}", predicted, limit)
    raise InputError(
        f"training would take {predicted} (with {WORDS[level]}, {_tokens(largest)} tokens at once), and "
        f"{free / _GB:.2f} GB more are free; lower batch_tokens or max_length, close other programs, "
        f"{demand.less}"
    )


def _tokens(batch: Sequence[TokenSequence]) -> int:
    return sum(map(len, batch))


@dataclass(frozen=True)
class Predictor:
    """Predicts the memory of a network's steps. shared: as for Network.pack."""

    network: Network
    shared: int
    demand: Demand = field(default_factory=Demand)

    def predict(self, batch: Sequence[TokenSequence], in_use: int, *, in_parts: bool = False) -> Prediction:
        """in_use: bytes in use by the process, all weights included; in_parts: whether the gradients of earlier
        parts lie beside the batch's."""
        return self.total(batch, in_use, self._activations(batch), in_parts=in_parts)

    def total(
        self, batch: Sequence[TokenSequence], in_use: int, activations: int, *, in_parts: bool = False
    ) -> Prediction:
        """activations: with the gradients of one pass."""
        demand = self.demand
        count = sum(value.numel() for value in self.network.parameters().values())
        others = (demand.passes(batch) - 1 if demand.passes else 0) + in_parts
        step = activations + 4 * count * others
        return Prediction(in_use, int(demand.kept * count), step, int(demand.copied * count), demand.drawing)

    def most(self, layers: Sequence[nn.Module], batch: Sequence[TokenSequence]) -> int:
        """An upper bound for a batch in some layers and the head, without a trial; images count as their
        tokens."""
        network = self.network
        ends: int = sum(
            module.in_features + module.out_features
            for layer in layers
            for name, module in layer.named_modules()
            if hasattr(module, "in_features") and not [*module.children()] and ".lora_" not in name
        )
        if not network.packs:  # attention materializes its weights
            trunk: Any = network.trunk
            ends += len(layers) * trunk.config.num_attention_heads * max(map(len, batch))
        answers = sum(len(one.learned) for one in batch)
        return _BYTES * self._rows(batch) * ends + _LOGIT_BYTES * answers * len(network.head.data)

    def _rows(self, batch: Sequence[TokenSequence]) -> int:
        """Tokens that go through the network."""
        if not self.network.packs:
            return len(batch) * max(map(len, batch))
        return self.shared + sum(len(one) - self.shared for one in batch)

    def _activations(self, batch: Sequence[TokenSequence]) -> int:
        trunk: Any = self.network.trunk
        kinds = [_kind(layer) for layer in trunk.layers]
        first = max(kinds.index(kind) for kind in kinds) + 1
        part = self._affordable(trunk.layers[:first], batch)
        taken = self._trial(part, kinds, first)
        if len(part) == len(batch):
            return taken
        # Extrapolates the line through the part and half of it.
        rows, wanted = self._rows(part), self._rows(batch)
        less, fewer = 0, 0
        if len(part) > 1:
            half = part[: len(part) // 2]
            less, fewer = self._trial(half, kinds, first), self._rows(half)
        return taken + max(0, taken - less) * (wanted - rows) // (rows - fewer)

    def _affordable(
        self, layers: Sequence[nn.Module], batch: Sequence[TokenSequence]
    ) -> Sequence[TokenSequence]:
        """The batch, or the largest part of it that is sure to fit these layers."""
        free, most = room.of(self.network.device).free(), self.most(layers, batch)
        allowed = max(_LITTLE, _SHARE * free) if free is not None else most
        if most <= allowed:
            return batch
        limit = int(allowed / most * self._rows(batch))
        return max(cut(batch, max(1, limit - self.shared), self.shared), key=_tokens)

    def _trial(self, batch: Sequence[TokenSequence], kinds: Sequence[Any], first: int) -> int:
        """Runs the first of the layers, of these kinds."""
        network, losses_of = self.network, self.demand.losses
        trunk: Any = network.trunk
        layers = list(trunk.layers)
        trunk.layers = nn.ModuleList(layers[:first])
        hooks, place = [], room.of(network.device)
        cards = [network.device] if network.device.type == "cuda" else []
        try:
            with torch.random.fork_rng(cards), place.measured() as measure:
                hooks += [layer.register_forward_pre_hook(measure.mark) for layer in layers[:first]]
                hooks.append(layers[first - 1].register_forward_hook(measure.mark))
                if not network.packs:  # a first layer without a trained prefix has to keep what others keep
                    embedding = trunk.get_input_embeddings()
                    hooks.append(embedding.register_forward_hook(lambda *given: given[-1].requires_grad_()))
                network.model.train()
                packing = network.pack(batch, self.shared)
                losses = losses_of(packing) if losses_of else network.answer_losses(packing)[0]
                losses.mean().backward()  # type: ignore[no-untyped-call]
                del losses, packing
        finally:
            for hook in hooks:
                hook.remove()
            trunk.layers = nn.ModuleList(layers)
            for parameter in network.parameters().values():
                parameter.grad = None
            place.give_back()
        kept = {kinds[k]: after - before for k, (before, after) in enumerate(pairwise(measure.levels))}
        # Activations of the other layers come first; as these are freed, gradients follow.
        weights = (value for layer in layers[first:] for value in layer.parameters() if value.requires_grad)
        gradients = sum(value.nbytes for value in weights)
        return int(measure.peak + max(gradients, sum(kept[kind] for kind in kinds[first:])))


def set_level(trunk: nn.Module, level: Level) -> None:
    """Chooses the trunk's layers whose activations are recomputed."""
    layers: Any = trunk.layers
    for number, layer in enumerate(layers):
        layer.__dict__.pop("forward", None)
        if level == "all" or (level == "half" and number % 2):
            layer.forward = partial(_recomputed, layer.forward)


def _recomputed(plain: Any, *args: Any, **options: Any) -> Any:
    if torch.is_grad_enabled():
        return checkpoint(plain, *args, use_reentrant=False, **options)
    return plain(*args, **options)


def _kind(layer: nn.Module) -> tuple[Any, ...]:
    """Equal for layers with the same modules, sizes and recomputation."""
    sizes = tuple((type(part).__name__, getattr(part, "out_features", 0)) for part in layer.modules())
    return sizes, "forward" in layer.__dict__
