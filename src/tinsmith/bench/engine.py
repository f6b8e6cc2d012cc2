"""What a runtime must do to be measured. Its module is loaded in a process of its own."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from tinsmith.errors import InputError
from tinsmith.runtime.engine import NATIVE

# Back ends by the names of the command line, and the modules that drive them.
PEERS = {"llama.cpp": "llama", "onnxruntime": "onnx"}
ENGINES = {NATIVE: "native", **PEERS}


class Engine(Protocol):
    """An open model. Seconds are of the computing alone: no loading, no tokenizing."""

    context: int
    facts: dict[str, Any]
    """What the results say of it; `format` where its weights are in another than the file's."""

    def prepare(self, threads: int, depth: int, prompt: int, generate: int) -> dict[str, Any]:
        """Holds `depth` tokens in the cache and has run once; `prompt` or `generate` more have room.

        Returns the settings that it chose, for the results."""

    def decode(self) -> float:
        """Seconds for `generate` greedy steps of one token behind the `depth` tokens."""

    def prompt(self) -> float:
        """Seconds for `prompt` tokens at once behind the `depth` tokens, the last one's logits wanted."""


def find_source(name: str, path: Path) -> Path:
    """What the engine opens for the weights of `path`, made if need be. Nothing is measured here.

    Raises MissingExtraError for a peer that is not installed, InputError or UnsupportedError where it has no
    file with these weights.
    """
    source: Path = path if name == NATIVE else _module(name).find_source(path)
    return source


def open_engine(name: str, source: Path, isa: str | None, duty_cycle: int = 100) -> Engine:
    """source: of find_source. isa, duty_cycle: of the native engine; the others choose their own."""
    module = _module(name)
    engine: Engine = module.open_model(source, isa, duty_cycle) if name == NATIVE else module.open_model(source)
    return engine


def _module(name: str) -> ModuleType:
    return import_module(f"tinsmith.bench.{ENGINES[name]}")


def filler(count: int, vocab: int) -> list[int]:
    """Tokens to compute with: the time does not depend on which they are, so any that differ will do."""
    return [(7919 * k + 13) % vocab for k in range(count)]


def check_room(context: int, depth: int, prompt: int, generate: int) -> None:
    """Raises InputError where the model's context is too short for a measurement."""
    most = max(prompt, generate)
    if depth + most > context:
        raise InputError(
            f"depth {depth} and {most} tokens more do not fit the model's context of {context}; give a smaller "
            "--depth, --prompt or --generate"
        )
