"""Compiled adapters of random factors, and prefixes, for tests that need no training."""

from __future__ import annotations

import random
import struct
from pathlib import Path

from tinsmith.compiler import adapter
from tinsmith.compiler.adapter import LowRank
from tinsmith.compiler.program import read_program
from tinsmith.formats.tin import Tin

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
        if role.rpartition(".")[2] in layers
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
