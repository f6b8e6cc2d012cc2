"""What a tower and a connector must say of themselves, and the registry of those there are.

A tower is one module of this folder with an instance of Tower named `tower`, a connector one with an instance
of Connector named `connector`. A connector knows which tower it joins, since the checkpoints that have it do.
Adding a module adds the part; no table lists them.
"""

from __future__ import annotations

import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from tinsmith.errors import UnsupportedError
from tinsmith.spec import ConnectorSizes, Pictures, TowerSizes, Vision
from tinsmith.tensor_names import TensorName

if TYPE_CHECKING:
    from tinsmith.graph import GraphBuilder, Value


class Tower(ABC):
    """A vision transformer. Its tensors' hf is relative to where a checkpoint keeps the tower; their gguf is
    whole. Readers raise FormatError for what is missing or nonsensical, UnsupportedError for what the graph
    does not compute."""

    name: ClassVar[str]

    @abstractmethod
    def from_hf(self, config: Mapping[str, Any]) -> TowerSizes:
        """From a config's vision_config."""

    @abstractmethod
    def to_hf(self, sizes: Any) -> dict[str, Any]:
        """The vision_config."""

    @abstractmethod
    def tensors(self, sizes: Any) -> list[TensorName]:
        """Every tensor at this size, in the order a file has them."""

    @abstractmethod
    def graph(self, sizes: Any, g: GraphBuilder) -> Value:
        """The states of an image's patches; tensors go by their roles."""

    def patches(self, sizes: Any) -> int:
        """Most of an image: as many as there are positions."""
        return int(sizes.side) ** 2


class Connector(ABC):
    """What follows a tower. Its tensors' roles begin with `connector.`; their hf is relative to
    hf_connector."""

    name: ClassVar[str]
    tower: ClassVar[str]
    hf_architectures: ClassVar[tuple[str, ...]]
    # Where a folder keeps the two: what their tensors' names begin with. The first is written, all are read.
    hf_tower: ClassVar[tuple[str, ...]]
    hf_connector: ClassVar[tuple[str, ...]]
    # What its architectures' own config class has for what a vision_config leaves out.
    vision_defaults: ClassVar[Mapping[str, Any]] = {}

    @abstractmethod
    def from_hf(self, config: Mapping[str, Any], dim: int) -> ConnectorSizes:
        """From the whole config of a checkpoint whose language model is `dim` wide."""

    @abstractmethod
    def tokens(self, config: Mapping[str, Any]) -> dict[str, int]:
        """From the whole config."""

    @abstractmethod
    def pictures(self, processor: Mapping[str, Any]) -> Pictures:
        """From preprocessor_config.json."""

    @abstractmethod
    def tensors(self, sizes: TowerSizes, joint: Any) -> list[TensorName]:
        """Every tensor at this size, in the order a file has them."""

    @abstractmethod
    def graph(self, joint: Any, g: GraphBuilder, x: Value) -> Value:
        """The language model's embeddings of a tower's states."""


@cache
def towers() -> dict[str, Tower]:
    return {part.name: part for part in _parts("tower", Tower)}


@cache
def connectors() -> dict[str, Connector]:
    return {part.name: part for part in _parts("connector", Connector)}


def by_architecture(architecture: str) -> Connector | None:
    """The connector of a Hugging Face architecture; None where it has no vision half that is known."""
    return next((one for one in connectors().values() if architecture in one.hf_architectures), None)


def tensors_of(vision: Vision) -> list[TensorName]:
    """Of tower and connector, with their whole names."""
    tower, connector = parts_of(vision)
    own = _within(connector.hf_tower[0], tower.tensors(vision.sizes))
    return own + _within(connector.hf_connector[0], connector.tensors(vision.sizes, vision.joint))


def parts_of(vision: Vision) -> tuple[Tower, Connector]:
    if vision.tower not in towers() or vision.connector not in connectors():
        raise UnsupportedError(
            f"tower {vision.tower!r} with connector {vision.connector!r} is not supported; towers: "
            f"{', '.join(sorted(towers()))}; connectors: {', '.join(sorted(connectors()))}"
        )
    return towers()[vision.tower], connectors()[vision.connector]


def _within(prefix: str, names: list[TensorName]) -> list[TensorName]:
    return [replace(name, hf=prefix + name.hf) for name in names]


def _parts(name: str, kind: type) -> list[Any]:
    package = import_module("tinsmith.vision")
    modules = (import_module(f"{package.__name__}.{m.name}") for m in pkgutil.iter_modules(package.__path__))
    found = (getattr(module, name, None) for module in modules)
    return sorted((part for part in found if isinstance(part, kind)), key=lambda part: part.name)
