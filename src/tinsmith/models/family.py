"""What a model family must say of itself, and the registry of those there are.

A family is one module of this folder with an instance of a Family subclass named `family`: its
hyper-parameters in a Hugging Face config and in GGUF metadata, and the names of its tensors in both. Adding a
module adds the family; no table lists them.
"""

from __future__ import annotations

import pkgutil
import reprlib
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from tinsmith.errors import FormatError, UnsupportedError
from tinsmith.models.spec import Hyper

if TYPE_CHECKING:
    from tinsmith.compiler.graph import GraphBuilder


@dataclass(frozen=True)
class TensorName:
    """A tensor's role, its name in both kinds of file, and its size [rows, inputs] (a vector has rows == 1).

    rotary_heads: where GGUF stores the rows permuted for interleaved rotation, the number of heads in them.
    """

    role: str
    hf: str
    gguf: str
    rows: int
    inputs: int
    rotary_heads: int | None = None


class Family(ABC):
    """An architecture. The readers raise FormatError for a missing or nonsensical hyper-parameter and
    UnsupportedError for a feature that the family's graph does not compute."""

    name: ClassVar[str]
    hf_architectures: ClassVar[tuple[str, ...]]
    gguf_architecture: ClassVar[str]

    @abstractmethod
    def hyper_from_hf(self, config: Mapping[str, Any]) -> Hyper:
        """From config.json."""

    @abstractmethod
    def hyper_to_hf(self, h: Hyper) -> dict[str, Any]:
        """The whole config.json but for token ids and the tensors' type."""

    @abstractmethod
    def hyper_from_gguf(self, meta: Mapping[str, Any], *, tied: bool) -> Hyper:
        """From metadata as plain values. tied: the file has no head of its own."""

    @abstractmethod
    def hyper_to_gguf(self, h: Hyper) -> dict[str, Any]:
        """The keys under the architecture's prefix; int is stored as UINT32, float as FLOAT32."""

    @abstractmethod
    def tensors(self, h: Hyper) -> list[TensorName]:
        """Every tensor of the family at this size, in the order a file has them."""

    @abstractmethod
    def graph(self, h: Hyper, g: GraphBuilder) -> None:
        """The forward pass, from the embedding to the logits."""


@cache
def families() -> tuple[Family, ...]:
    """Every family there is, by name."""
    package = import_module("tinsmith.models")
    found = []
    for module in pkgutil.iter_modules(package.__path__):
        candidate = getattr(import_module(f"{package.__name__}.{module.name}"), "family", None)
        if isinstance(candidate, Family):
            found.append(candidate)
    return tuple(sorted(found, key=lambda family: family.name))


def by_name(name: str) -> Family:
    return _find(name, lambda family: (family.name,), "family", "this model")


def by_gguf_architecture(architecture: str, where: str) -> Family:
    return _find(architecture, lambda family: (family.gguf_architecture,), "GGUF architecture", where)


def by_hf_architecture(architecture: str, where: str) -> Family:
    return _find(architecture, lambda family: family.hf_architectures, "Hugging Face architecture", where)


def _find(name: str, names: Callable[[Family], tuple[str, ...]], kind: str, where: str) -> Family:
    for family in families():
        if name in names(family):
            return family
    known = ", ".join(name for family in families() for name in names(family))
    raise UnsupportedError(f"{where}: {kind} {name!r} is not supported; supported: {known}")


class Fields:
    """Typed access to a config or to metadata; an error names the key, what it is and what it should be."""

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self.values = values
        self.where = where

    def count(self, key: str, default: int | None = None) -> int:
        given = self.values.get(key)
        if given is None:
            given = default
        if isinstance(given, bool) or not isinstance(given, int) or not 0 < given < 1 << 31:
            raise FormatError(
                f"{self.where}: {key} is {reprlib.repr(given)}; it must be a positive whole number"
            )
        return given

    def length(self, key: str) -> int:
        given = self.values.get(key)
        if not isinstance(given, list):
            raise FormatError(f"{self.where}: {key} is {reprlib.repr(given)}; it must be a list")
        return len(given)

    def real(self, key: str, default: float | None = None) -> float:
        given = self.values.get(key)
        if given is None:
            given = default
        if isinstance(given, bool) or not isinstance(given, (int, float)) or not 0 < given < float("inf"):
            raise FormatError(f"{self.where}: {key} is {reprlib.repr(given)}; it must be a positive number")
        return float(given)

    def refuse(self, key: str, *allowed: Any) -> None:
        """UnsupportedError unless the key is absent, null or one of `allowed`."""
        given = self.values.get(key)
        if given is not None and given not in allowed:
            known = ", ".join(repr(one) for one in allowed)
            raise UnsupportedError(
                f"{self.where}: {key} is {reprlib.repr(given)}, which is not supported; supported: {known}"
            )


def shortest_float32(stored: float) -> float:
    """The shortest decimal that rounds to the same float32: 1e-05 for 9.999999747378752e-06."""
    packed = struct.pack("<f", stored)
    for digits in range(1, 10):
        short = float(f"{stored:.{digits}g}")
        if struct.pack("<f", short) == packed:
            return short
    return stored
