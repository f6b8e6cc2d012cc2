"""What each format costs each matrix of a vision model, measured on answers about images; and the formats that
lose least in the bytes that a preset's would take.

The float model reads examples with images. With one matrix of its encoder or projector in a format the rows of
their images change, and with them what it predicts of the answers: the mean KL divergence of that is the loss.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor as Floats

from tinsmith.compiler.vision import graph_of
from tinsmith.data.readers import Example
from tinsmith.formats.weights import in_gguf, weight_format
from tinsmith.quant import vision as quant_vision
from tinsmith.quant.assign import Choice, assign
from tinsmith.quant.presets import Mix
from tinsmith.search import sensitivity, text
from tinsmith.search.floats import divergence
from tinsmith.search.grams import Gatherer, Grams
from tinsmith.spec import Spec, Tensor, Vision
from tinsmith.system.progress import Display
from tinsmith.train.batches.packing import Packing
from tinsmith.train.batches.sequences import Tokenization, TokenSequence
from tinsmith.train.model import devices, network
from tinsmith.train.tensors import to_float32

SHOWN = 256  # examples with images, the first, of which some are measured on
TOKENS = 1024  # of images, that losses are measured on
NAME = "sensitivity-vision.json"


def read(spec: Spec, examples: Iterable[Example], task: str, system: str) -> list[TokenSequence]:
    """Those that show images, as the model takes them; it has a vision model. Raises what Tokenization does."""
    tokenize = Tokenization(spec, text.tokenizer(spec), task, system, spec.hyper.context, "context")
    shown = list(islice((one for one in examples if one.images), SHOWN))
    return [sequence for _, sequence in tokenize.fitting(shown)]


def some(sequences: Sequence[TokenSequence], most: int = TOKENS) -> list[TokenSequence]:
    """Those with images, evenly spread, whose images have about so many tokens together; one at least."""
    shown = [one for one in sequences if one.images]
    sizes = [sum(tile.down * tile.across for tile in one.tiles) for one in shown]
    count = min(len(shown), max(1, most * len(shown) // max(1, sum(sizes))))
    return [shown[k * len(shown) // count] for k in range(count)]


class Answers:
    """What the float model predicts of answers about images, and what goes into its vision model's matrices
    there. parts: by the role of a matrix of the vision model, those of its graph that are made of it."""

    def __init__(self, spec: Spec, sequences: Sequence[TokenSequence], advance: Callable[[int], None]) -> None:
        assert spec.vision
        self.vision: Vision = spec.vision
        self.network = network.whole(spec, devices.matrices(spec, devices.CPU)[0])
        self.network.model.eval()
        self._model = self.network.vision
        self._plain = graph_of(self.vision)[0].tensors
        self.parts = {role: self._parts(role) for role in quant_vision.matrices(self.vision)}
        self._known: list[tuple[Packing, Floats]] = []
        gatherer, rows = Gatherer(), 0
        modules = {role: self._model.get_submodule(role) for role in self._model.matrices}
        with torch.inference_mode(), gatherer.watching(modules):
            for number, sequence in enumerate(sequences, 1):
                packing = self.network.pack([sequence], 0)
                self._known.append((packing, self._logprobs(packing)))
                rows += sum(tile.down * tile.across for tile in sequence.tiles)
                advance(number)
        seen = gatherer.grams(rows)
        sites = {role: seen.sites[parts[0]] for role, parts in self.parts.items()}
        self.grams = Grams(sites, seen.held, seen.count)

    def divergence(self, tensors: dict[str, Tensor]) -> float:
        """Of the answers' tokens, in nats each, with these tensors in the place of the vision model's own."""
        total, count = 0.0, 0
        with torch.inference_mode(), self._replaced(tensors):
            for packing, wanted in self._known:
                total += divergence(wanted, self._logprobs(packing)).double().sum().item()
                count += len(wanted)
        return total / count

    def _logprobs(self, packing: Packing) -> Floats:
        return self.network.logits(self.network.answer_states(packing)).log_softmax(-1)

    def _graph(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return graph_of(replace(self.vision, tensors={**self.vision.tensors, **tensors}))[0].tensors

    def _parts(self, role: str) -> list[str]:
        own = self.vision.tensors[role]
        other = replace(own, data=(~np.frombuffer(own.data, np.uint8)).tobytes())
        graph = self._graph({role: other})
        return [name for name in self._model.matrices if graph[name].data != self._plain[name].data]

    @contextmanager
    def _replaced(self, tensors: dict[str, Tensor]) -> Iterator[None]:
        graph, before = self._graph(tensors), {}
        try:
            for name in (name for role in tensors for name in self.parts[role]):
                module: Any = self._model.get_submodule(name)
                before[name] = module.weight.data
                module.weight.data = torch.from_numpy(to_float32(graph[name]))
            yield
        finally:
            for name, data in before.items():
                self._model.get_submodule(name).weight.data = data


def choose(spec: Spec, mix: Mix, sequences: Sequence[TokenSequence], folder: Path, display: Display) -> Mix:
    """The mix with formats of the vision model's matrices: of all that take no more bytes than what the mix has
    for them otherwise, those that lose least. folder: keeps what is measured."""
    assert spec.vision
    vision, sequences = spec.vision, some(sequences)
    with display.bar("images", len(sequences)) as bar:
        answers = Answers(spec, sequences, bar.update)
    encode = sensitivity.Encoder(vision, answers.grams, None, weighed=False)
    losses = sensitivity.Sensitivity(folder / NAME, _digest(spec, sequences))
    given = quant_vision.formats_of(vision, mix)
    names = {
        role: [name for name in sensitivity.candidates(vision.tensors[role]) if in_gguf(name) == name]
        for role in answers.parts
    }
    sensitivity.measure(losses, names, answers.divergence, encode, display, "vision model")

    def size(role: str, format: str) -> int:
        tensor = vision.tensors[role]
        return weight_format(format).size(tensor.rows * tensor.inputs)

    items = [[Choice(size(role, one), losses.losses(role)[one]) for one in names[role]] for role in names]
    chosen = assign(items, sum(size(role, given[role]) for role in names))
    formats_of = {role: names[role][k] for role, k in zip(names, chosen, strict=True)}
    lost = answers.divergence({role: encode(role, name) for role, name in formats_of.items()})
    counts = ", ".join(f"{count} {name}" for name, count in Counter(formats_of.values()).most_common())
    display.line(f"vision model: {lost:.5f} nats an answer's token, by {len(sequences)} examples: {counts}")
    return replace(mix, vision=formats_of)


def _digest(spec: Spec, sequences: Sequence[TokenSequence]) -> str:
    """Of all that the losses depend on."""
    assert spec.vision
    rows = [(*one.prompt, *one.answer) for one in sequences]
    shown = {"images": [image.identity for one in sequences for image in one.images]}
    both = {**spec.tensors, **{f"vision.{role}": tensor for role, tensor in spec.vision.tensors.items()}}
    facts = hashlib.sha256(repr((spec.vision.sizes, spec.vision.joint, spec.vision.image_rules)).encode())
    return sensitivity.digest(replace(spec, tensors=both), rows, shown | {"vision": facts.hexdigest()})
