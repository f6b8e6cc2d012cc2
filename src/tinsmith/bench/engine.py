"""What a runtime must do to be measured. Its module is loaded in a process of its own."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from tinsmith.errors import InputError
from tinsmith.runtime.engine import NATIVE

# Back ends by the names of the command line, and the modules that drive them.
PEERS = {"llama.cpp": "llama", "onnxruntime": "onnx"}
ENGINES = {NATIVE: "native", **PEERS}


def module(name: str) -> ModuleType:
    """An engine's module, loaded in a process of its own, has two functions:

    find_source(path): what the engine opens for the weights of `path`, made if need be; nothing is measured.
    Raises MissingExtraError for a peer that is not installed, InputError or UnsupportedError where it has no
    file with these weights.

    open_model(source, isa, duty_cycle): the open model; the last two are for the native engine. It has
    `context`, `facts` for the results (`format` where its weights are in another than the file's), and three
    methods, timing the computing alone. prepare(threads, depth, prompt, generate) computes `depth` tokens and
    runs once. decode() times `generate` greedy steps behind the `depth` tokens; prompt(), `prompt` tokens at
    once.
    """
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
