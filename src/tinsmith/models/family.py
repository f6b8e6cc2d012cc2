"""The interface of a model family, and their registry.

A family is one module of this folder with an instance of a Family subclass named `family`: its hyper-parameters
in a Hugging Face config and in GGUF metadata, the names of its tensors in both, and its forward pass. Adding a
module adds the family; no table lists them.
"""

from __future__ import annotations

import pkgutil
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, ClassVar

from tinsmith.errors import UnsupportedError
from tinsmith.fields import Fields as Fields
from tinsmith.fields import shortest_float32 as shortest_float32
from tinsmith.formats.safetensors import Tensor as Stored
from tinsmith.graph import GraphBuilder
from tinsmith.spec import Hyper, Tensor
from tinsmith.tensor_names import Change as Change
from tinsmith.tensor_names import TensorName as TensorName


@dataclass(frozen=True)
class StandIn:
    """A family, the config for it, the conversion of the folder's tensors to its names and values, and notes
    for the user."""

    family: Family
    config: dict[str, Any]
    changed: Callable[[Mapping[str, Stored]], dict[str, Stored]]
    notes: tuple[str, ...] = ()


class Family(ABC):
    """An architecture. The readers raise FormatError for a missing or invalid hyper-parameter and
    UnsupportedError for a feature that the family's graph does not compute. `h` is an instance of the family's
    class of hyper-parameters.

    text_models: model types of text_config in multimodal configs. ignored_hf, ignored_gguf: tensors left out on
    purpose, by a regular expression of their whole name, and a note for the user."""

    name: ClassVar[str]
    hf_architectures: ClassVar[tuple[str, ...]]
    gguf_architecture: ClassVar[str]
    text_models: ClassVar[tuple[str, ...]] = ()
    ignored_hf: ClassVar[tuple[tuple[str, str], ...]] = ()
    ignored_gguf: ClassVar[tuple[tuple[str, str], ...]] = ()

    @abstractmethod
    def hyper_from_hf(self, config: Mapping[str, Any]) -> Hyper:
        """From config.json."""

    @abstractmethod
    def hyper_to_hf(self, h: Any) -> dict[str, Any]:
        """The whole config.json except token ids and the tensors' type."""

    @abstractmethod
    def hyper_from_gguf(self, meta: Mapping[str, Any], *, tied: bool) -> Hyper:
        """From metadata as plain values, plus GGUF's RoPE vectors as lists, by tensor name. tied: the file has
        no separate head."""

    @abstractmethod
    def hyper_to_gguf(self, h: Any) -> dict[str, Any]:
        """The keys under the architecture's prefix; int is stored as UINT32, float as FLOAT32."""

    @abstractmethod
    def hyper_from_facts(self, facts: Mapping[str, Any], where: str) -> Hyper:
        """From a tin's manifest: the fields by name, tuples as lists."""

    @abstractmethod
    def tensors(self, h: Any) -> list[TensorName]:
        """Every tensor of the family at this size, in file order."""

    def stand_in(self, config: Mapping[str, Any]) -> StandIn | None:
        """The equivalent family that reads a folder of this config instead, if any."""
        return None

    def derive(self, h: Any) -> dict[str, Tensor]:
        """By role, the tensors that follow from the hyper-parameters: those whose TensorName has no hf."""
        return {}

    def ignored_in_folder(self, h: Any) -> tuple[tuple[str, str], ...]:
        """ignored_hf, if it depends on the size."""
        return self.ignored_hf

    def ignored_in_gguf(self, h: Any) -> tuple[tuple[str, str], ...]:
        """ignored_gguf, if it depends on the size."""
        return self.ignored_gguf

    def context(self, h: Hyper) -> int:
        """The longest text that the graph computes correctly, in tokens."""
        return h.context

    def with_mtp(self, h: Hyper, layers: int, where: str) -> Hyper:
        """h with 0 or 1 multi-token prediction layers. Raises UnsupportedError for 1 if it has none or
        several."""
        if layers:
            raise UnsupportedError(f"{where}: {self.name} has no multi-token prediction layer; leave out mtp")
        return h

    def predicts(self, h: Any) -> bool:
        """Whether it has a multi-token prediction layer, which mtp_graph computes."""
        return False

    def notes(self, h: Any) -> tuple[str, ...]:
        """Notes for the user of a model of this size, a line each."""
        return ()

    @abstractmethod
    def graph(self, h: Any, g: GraphBuilder) -> None:
        """The forward pass, from the embedding to the logits. With multi-token prediction, the last state is
        the hidden state of the logits, and mtp_graph attends to the last cache."""

    def mtp_graph(self, h: Any, g: GraphBuilder) -> None:
        """From a token and the hidden state before it, the only state, to the logits of the token after."""
        raise NotImplementedError


@cache
def families() -> tuple[Family, ...]:
    """All families, ordered by name."""
    package = import_module("tinsmith.models")
    result = []
    for module in pkgutil.iter_modules(package.__path__):
        candidate = getattr(import_module(f"{package.__name__}.{module.name}"), "family", None)
        if isinstance(candidate, Family):
            result.append(candidate)
    return tuple(sorted(result, key=lambda family: family.name))


def by_name(name: str) -> Family:
    return _find(name, lambda family: (family.name,), "family", "this model")


def by_gguf_architecture(architecture: str, where: str) -> Family:
    return _find(architecture, lambda family: (family.gguf_architecture,), "GGUF architecture", where)


def by_hf_architecture(architecture: str, where: str) -> Family:
    return _find(architecture, lambda family: family.hf_architectures, "Hugging Face architecture", where)


def by_text_model(model_type: str, where: str) -> Family:
    return _find(model_type, lambda family: family.text_models, "text_config of model type", where)


def _find(name: str, names: Callable[[Family], tuple[str, ...]], kind: str, where: str) -> Family:
    for family in families():
        if name in names(family):
            return family
    known = ", ".join(name for family in families() for name in names(family))
    raise UnsupportedError(f"{where}: {kind} {name!r} is not supported; supported: {known}")


def without_ignored(
    stored: Iterable[str], ignored: tuple[tuple[str, str], ...]
) -> tuple[list[str], tuple[str, ...]]:
    """The names of a file's tensors except ignored ones, and a note for each reason."""
    kept: list[str] = []
    counts: Counter[str] = Counter()
    for name in stored:
        note = next((note for pattern, note in ignored if re.fullmatch(pattern, name)), None)
        if note is None:
            kept.append(name)
        else:
            counts[note] += 1
    return kept, tuple(f"{note} ({count} tensors)" for note, count in counts.items())
