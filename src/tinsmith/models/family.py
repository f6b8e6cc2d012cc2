"""What a model family must say of itself, and the registry of those there are.

A family is one module of this folder with an instance of a Family subclass named `family`: its
hyper-parameters in a Hugging Face config and in GGUF metadata, and the names of its tensors in both. Adding a
module adds the family; no table lists them.
"""

from __future__ import annotations

import pkgutil
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from tinsmith.errors import UnsupportedError
from tinsmith.fields import Fields, shortest_float32
from tinsmith.spec import Hyper, Tensor
from tinsmith.tensor_names import Change, TensorName

if TYPE_CHECKING:
    from tinsmith.formats.safetensors import Tensor as Stored
    from tinsmith.graph import GraphBuilder

# Fields, TensorName and the like are part of what a family's module is written with.
__all__ = [
    "Change",
    "Family",
    "Fields",
    "StandIn",
    "TensorName",
    "by_gguf_architecture",
    "by_hf_architecture",
    "by_name",
    "by_text_model",
    "families",
    "shortest_float32",
    "without_ignored",
]


@dataclass(frozen=True)
class StandIn:
    """Another family, or the same; the config as it is there; the folder's tensors by the names and with the
    values that they have there; and what to tell the user."""

    family: Family
    config: dict[str, Any]
    changed: Callable[[Mapping[str, Stored]], dict[str, Stored]]
    notes: tuple[str, ...] = ()


class Family(ABC):
    """An architecture. The readers raise FormatError for a missing or nonsensical hyper-parameter and
    UnsupportedError for a feature that the family's graph does not compute."""

    name: ClassVar[str]
    hf_architectures: ClassVar[tuple[str, ...]]
    gguf_architecture: ClassVar[str]
    # The model types by which configs of multimodal models name it as their text_config's.
    text_models: ClassVar[tuple[str, ...]] = ()
    # Tensors of parts that are left out on purpose, by a regular expression of their whole name, and what to
    # tell the user of it.
    ignored_hf: ClassVar[tuple[tuple[str, str], ...]] = ()
    ignored_gguf: ClassVar[tuple[tuple[str, str], ...]] = ()

    @abstractmethod
    def hyper_from_hf(self, config: Mapping[str, Any]) -> Hyper:
        """From config.json."""

    @abstractmethod
    def hyper_to_hf(self, h: Any) -> dict[str, Any]:
        """The whole config.json but for token ids and the tensors' type."""

    @abstractmethod
    def hyper_from_gguf(self, meta: Mapping[str, Any], *, tied: bool) -> Hyper:
        """From metadata as plain values, and the float32 vectors of no layer by their tensor's name, as
        lists: what GGUF keeps of a rotation. tied: the file has no head of its own."""

    @abstractmethod
    def hyper_to_gguf(self, h: Any) -> dict[str, Any]:
        """The keys under the architecture's prefix; int is stored as UINT32, float as FLOAT32."""

    @abstractmethod
    def hyper_from_facts(self, facts: Mapping[str, Any], where: str) -> Hyper:
        """From a tin's manifest, which has the fields by name, tuples as lists."""

    @abstractmethod
    def tensors(self, h: Any) -> list[TensorName]:
        """Every tensor of the family at this size, in the order a file has them."""

    def stand_in(self, config: Mapping[str, Any]) -> StandIn | None:
        """What reads a folder of this config in the family's place, as it has the same computation."""
        return None

    def derive(self, h: Any) -> dict[str, Tensor]:
        """By role, the tensors that follow from the hyper-parameters: those whose TensorName has no hf."""
        return {}

    def ignored_in_folder(self, h: Any) -> tuple[tuple[str, str], ...]:
        """As ignored_hf, which it is where it does not depend on the size."""
        return self.ignored_hf

    def ignored_in_gguf(self, h: Any) -> tuple[tuple[str, str], ...]:
        """As ignored_gguf, which it is where it does not depend on the size."""
        return self.ignored_gguf

    def context(self, h: Hyper) -> int:
        """The longest text that the graph computes as the model would, in tokens."""
        return h.context

    def with_mtp(self, h: Hyper, layers: int, where: str) -> Hyper:
        """The same with so many of the layers that predict further tokens (multi-token prediction), 0 or 1.
        Raises UnsupportedError for 1 where it has none, or several."""
        if layers:
            raise UnsupportedError(f"{where}: {self.name} has no multi-token prediction layer; leave out mtp")
        return h

    def predicts(self, h: Any) -> bool:
        """Whether it has such a layer, which mtp_graph computes."""
        return False

    def notes(self, h: Any) -> tuple[str, ...]:
        """What to tell the user of a model of this size, a line each."""
        return ()

    @abstractmethod
    def graph(self, h: Any, g: GraphBuilder) -> None:
        """The forward pass, from the embedding to the logits. Of a model that predicts further, the last state
        is the hidden state that the logits are of, and the last cache what mtp_graph attends to."""

    def mtp_graph(self, h: Any, g: GraphBuilder) -> None:
        """From a token, and the hidden state before it as the one state, to the logits of what follows it."""
        raise NotImplementedError


@cache
def families() -> tuple[Family, ...]:
    """Every family there is, by name."""
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
    """The names of a file's tensors that are not left out on purpose, and a note for each reason to do so."""
    kept: list[str] = []
    counts: dict[str, int] = {}
    for name in stored:
        note = next((note for pattern, note in ignored if re.fullmatch(pattern, name)), None)
        if note is None:
            kept.append(name)
        else:
            counts[note] = counts.get(note, 0) + 1
    return kept, tuple(f"{note} ({count} tensors)" for note, count in counts.items())
