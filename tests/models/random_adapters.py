"""Adapters of random factors, compiled or in peft's format, and prefixes, for tests that need no training."""

from __future__ import annotations

import json
import random
import struct
from pathlib import Path

from tinsmith.compiler import adapter
from tinsmith.compiler.adapter import LowRank
from tinsmith.compiler.program import read_program
from tinsmith.formats import safetensors
from tinsmith.formats.tin import Tin
from tinsmith.models import family
from tinsmith.spec import Spec
from tinsmith.train.adapters import peft_folder as adapters

LAYERS = ("q", "k", "v", "o", "gate", "up", "down")


def random_adapter(
    tin: Path, path: Path, format: str = adapter.FORMATS[0], rank: int = 6, layers: tuple[str, ...] = LAYERS
) -> Path:
    """For the model in a tin, as a file."""
    path.write_bytes(compiled(tin, format, rank, layers))
    return path


def compiled(
    tin: Path | memoryview,
    format: str = adapter.FORMATS[0],
    rank: int = 6,
    layers: tuple[str, ...] = LAYERS,
    seed: int = 5,
) -> bytes:
    """For the model in a tin: factors of the matrices of these names in every layer."""
    program, chance = read_program(Tin(tin).entry("program.bin")), random.Random(seed)

    def floats(count: int) -> bytes:
        return struct.pack(f"<{count}f", *(chance.uniform(-1, 1) for _ in range(count)))

    factors = {
        role: LowRank(held.rows, held.inputs, rank, 0.1, floats(rank * held.inputs), floats(rank * held.rows))
        for role, held in program.tensors.items()
        if role.startswith("layers.") and role.rpartition(".")[2] in layers
    }
    return adapter.compile_adapter(factors, program, format)


def random_prefix(tin: Path | memoryview, length: int, seed: int = 5) -> bytes:
    """For the model in a tin, compiled."""
    program, chance = read_program(Tin(tin).entry("program.bin")), random.Random(seed)

    def floats(count: int) -> bytes:
        return struct.pack(f"<{count}f", *(chance.gauss(0, 1) for _ in range(count)))

    caches = [floats(2 * one.heads * length * one.head_dim) for one in program.caches]
    states = [floats(one.heads * one.rows * one.columns) for one in program.states]
    return adapter.compile_prefix(length, caches, states, program)


def folder(
    spec: Spec, path: Path, template: str | None = None, source: str | None = None, rank: int = 6
) -> Path:
    """A folder in peft's format with random factors of LAYERS. template: the chat template that it says it was
    trained under; source: the SHA-256 of the base that it says."""
    chance, tensors = random.Random(rank), {}
    for name in family.by_name(spec.family).tensors(spec.hyper):
        if name.role.rpartition(".")[2] in LAYERS:
            for part, shape in (("A", (rank, name.inputs)), ("B", (name.all_rows, rank))):
                floats = [chance.uniform(-1, 1) for _ in range(shape[0] * shape[1])]
                key = f"base_model.model.{name.hf.removesuffix('.weight')}.lora_{part}.weight"
                data = struct.pack(f"<{len(floats)}f", *floats)
                tensors[key] = safetensors.Tensor("F32", shape, memoryview(data))
    path.mkdir(parents=True)
    safetensors.write(path / adapters.WEIGHTS, tensors)
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": rank / 10}
    (path / adapters.CONFIG).write_text(json.dumps(config))
    if template is not None:
        (path / adapters.TEMPLATE).write_text(template)
    if source is not None:
        (path / adapters.BASE).write_text(json.dumps({"sha256": source}))
    return path
