"""What a model family must say of itself, and the registry of those there are.

A family is one module of this folder with an instance of a Family subclass named `family`: its
hyper-parameters in a Hugging Face config and in GGUF metadata, and the names of its tensors in both. Adding a
module adds the family; no table lists them.
"""

from __future__ import annotations

import pkgutil
import re
import reprlib
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from tinsmith.errors import FormatError, UnsupportedError
from tinsmith.spec import Hyper, Tensor

if TYPE_CHECKING:
    from tinsmith.formats.safetensors import Tensor as Stored
    from tinsmith.graph import GraphBuilder


Change = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class TensorName:
    """A tensor's role, its name in both kinds of file, and its size [rows, inputs] (a vector has rows == 1).

    A spec holds a tensor as GGUF does, so that a file in any block format goes in and out unchanged; but where
    rotary_heads is set, GGUF stores the rows permuted for interleaved rotation, that number of heads in them.

    hf: "" for a tensor that no Hugging Face folder has: it follows from the hyper-parameters (Family.derive).
    experts: the number of matrices [rows, inputs] of a mixture of experts, which GGUF and the spec hold as one
    tensor; a Hugging Face folder has one for each, the expert's number in the place of hf's `*`.
    hf_shape: the shape in a Hugging Face folder where that is not (rows, inputs), or (inputs,) for a vector.
    from_hf, to_hf: how a folder's values (or their order) become the spec's, and back.
    gguf_more: names of further tensors in GGUF where it has several, all of one size, for what is one in a
    folder and the spec: `gguf` is the first rows, these follow. gguf_dims: GGUF's shape, innermost dimension
    first, where that is not (inputs, rows), or (inputs,) for a vector. first_row: of a part (gguf_parts).
    """

    role: str
    hf: str
    gguf: str
    rows: int
    inputs: int
    rotary_heads: int | None = None
    experts: int = 0
    hf_shape: tuple[int, ...] | None = None
    from_hf: Change | None = None
    to_hf: Change | None = None
    gguf_more: tuple[str, ...] = ()
    gguf_dims: tuple[int, ...] | None = None
    first_row: int = 0

    @property
    def gguf_parts(self) -> tuple[TensorName, ...]:
        """What GGUF has of it, one tensor each: its rows from first to last."""
        if not self.gguf_more:
            return (self,)
        names = (self.gguf, *self.gguf_more)
        rows = self.rows // len(names)
        return tuple(
            replace(self, gguf=name, gguf_more=(), rows=rows, first_row=k * rows)
            for k, name in enumerate(names)
        )

    @property
    def all_rows(self) -> int:
        """Of the spec's tensor: those of all experts."""
        return self.rows * max(self.experts, 1)

    @property
    def gguf_shape(self) -> tuple[int, ...]:
        """Innermost dimension first, as GGUF has it."""
        if self.experts:
            return (self.inputs, self.rows, self.experts)
        return self.gguf_dims or ((self.inputs,) if self.rows == 1 else (self.inputs, self.rows))

    @property
    def file_order(self) -> Sequence[int]:
        """GGUF's row i of each run of len(file_order) rows is the spec's row file_order[i] of that run: within
        each rotated head 0, half, 1, half + 1, …"""
        if self.rotary_heads is None:
            return (0,)
        head = self.rows // self.rotary_heads
        return [i // 2 + i % 2 * (head // 2) for i in range(head)]

    @property
    def folder_names(self) -> tuple[str, ...]:
        """Of its parts in a Hugging Face folder, which are its rows from first to last."""
        if not self.experts:
            return (self.hf,) if self.hf else ()
        return tuple(self.hf.replace("*", str(expert)) for expert in range(self.experts))

    @property
    def folder_shape(self) -> tuple[int, ...]:
        """Of each of them, outermost dimension first."""
        return self.hf_shape or ((self.inputs,) if self.rows == 1 else (self.rows, self.inputs))

    def from_folder(self, tensor: Tensor) -> Tensor:
        """The spec's tensor of a Hugging Face folder's, which has a float format."""
        return self.from_hf(tensor) if self.from_hf else tensor

    def to_folder(self, tensor: Tensor) -> Tensor:
        """The inverse of from_folder, for a tensor in a float format."""
        return self.to_hf(tensor) if self.to_hf else tensor


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
    def hyper_to_hf(self, h: Hyper) -> dict[str, Any]:
        """The whole config.json but for token ids and the tensors' type."""

    @abstractmethod
    def hyper_from_gguf(self, meta: Mapping[str, Any], *, tied: bool) -> Hyper:
        """From metadata as plain values, and the float32 vectors of no layer by their tensor's name, as
        lists: what GGUF keeps of a rotation. tied: the file has no head of its own."""

    @abstractmethod
    def hyper_to_gguf(self, h: Hyper) -> dict[str, Any]:
        """The keys under the architecture's prefix; int is stored as UINT32, float as FLOAT32."""

    @abstractmethod
    def hyper_from_facts(self, facts: Mapping[str, Any], where: str) -> Hyper:
        """From a tin's manifest, which has the fields by name, tuples as lists."""

    @abstractmethod
    def tensors(self, h: Hyper) -> list[TensorName]:
        """Every tensor of the family at this size, in the order a file has them."""

    def stand_in(self, config: Mapping[str, Any]) -> StandIn | None:
        """What reads a folder of this config in the family's place, as it has the same computation."""
        return None

    def derive(self, h: Hyper) -> dict[str, Tensor]:
        """By role, the tensors that follow from the hyper-parameters: those whose TensorName has no hf."""
        return {}

    def ignored_in_folder(self, h: Hyper) -> tuple[tuple[str, str], ...]:
        """As ignored_hf, which it is where it does not depend on the size."""
        return self.ignored_hf

    def ignored_in_gguf(self, h: Hyper) -> tuple[tuple[str, str], ...]:
        """As ignored_gguf, which it is where it does not depend on the size."""
        return self.ignored_gguf

    def context(self, h: Hyper) -> int:
        """The longest text that the graph computes as the model would, in tokens."""
        return h.context

    def notes(self, h: Hyper) -> tuple[str, ...]:
        """What to tell the user of a model of this size, a line each."""
        return ()

    @abstractmethod
    def graph(self, h: Hyper, g: GraphBuilder) -> None:
        """The forward pass, from the embedding to the logits."""


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


class Fields:
    """Typed access to a config or to metadata; an error names the key, what it is and what it should be.

    prefix: what all keys that are asked for begin with.
    """

    def __init__(self, values: Mapping[str, Any], where: str, prefix: str = "") -> None:
        self.values = values
        self.where = where
        self.prefix = prefix

    def get(self, key: str, default: Any = None) -> Any:
        return self.values.get(self.prefix + key, default)

    def named(self, key: str) -> str:
        """How an error begins: where the key is, the key, and what is given."""
        return f"{self.where}: {self.prefix}{key} is {reprlib.repr(self.get(key))}"

    def count(self, key: str, default: int | None = None, most: int = (1 << 31) - 1) -> int:
        given = self.get(key)
        if given is None:
            given = default
        if isinstance(given, bool) or not isinstance(given, int) or not 0 < given <= most:
            raise FormatError(f"{self.named(key)}; it must be a whole number from 1 to {most}")
        return given

    def length(self, key: str) -> int:
        given = self.get(key)
        if not isinstance(given, list):
            raise FormatError(f"{self.named(key)}; it must be a list")
        return len(given)

    def real(self, key: str, default: float | None = None) -> float:
        given = self.get(key)
        if given is None:
            given = default
        if isinstance(given, bool) or not isinstance(given, (int, float)) or not 0 < given < float("inf"):
            raise FormatError(f"{self.named(key)}; it must be a positive number")
        return float(given)

    def count_or_0(self, key: str) -> int:
        """0 where the key is absent, null or 0."""
        return self.count(key) if self.get(key) else 0

    def real_or_0(self, key: str) -> float:
        """0 where the key is absent, null or 0."""
        return self.real(key) if self.get(key) else 0.0

    def refuse(self, key: str, *allowed: Any) -> None:
        """UnsupportedError unless the key is absent, null or one of `allowed`."""
        given = self.get(key)
        if given is not None and given not in allowed:
            known = ", ".join(repr(one) for one in allowed)
            raise UnsupportedError(f"{self.named(key)}, which is not supported; supported: {known}")


def shortest_float32(stored: float) -> float:
    """The shortest decimal that rounds to the same float32: 1e-05 for 9.999999747378752e-06."""
    packed = struct.pack("<f", stored)
    for digits in range(1, 10):
        short = float(f"{stored:.{digits}g}")
        if struct.pack("<f", short) == packed:
            return short
    return stored
