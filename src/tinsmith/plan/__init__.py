"""Predicts a model on a device: its memory exactly, its speed by roofline."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from tinsmith.errors import InputError
from tinsmith.plan import memory, speed
from tinsmith.plan.contents import Contents
from tinsmith.plan.memory import IMAGE, Memory, Options
from tinsmith.plan.speed import Rates, Speed
from tinsmith.targets import Target

__all__ = ["IMAGE", "Memory", "Options", "Plan", "Rates", "Speed", "make", "memory_of"]

# Bytes of the runtime's code and tables with all instruction sets of an architecture, by kernels/tin_all.c at
# -O2; what a program does not call is left out by the linker.
CODE = {"x86_64": 441_000, "aarch64": 295_000, "riscv64": 154_000, "wasm32": 190_000, "thumb": 143_000}


@dataclass(frozen=True)
class Plan:
    """target: a name; format: of the weights; python_session: bytes of a session of tinsmith.load, with logits
    of a whole chunk, two more recurrent states and room for best-first search; image: width and height, for a
    model with image input; ram, storage: of the device; assumptions: of the speed, a line each."""

    target: str
    model: str
    format: str
    kv: str
    memory: Memory
    python_session: int
    image: tuple[int, int]
    ram: int
    storage: int
    speed: Speed
    assumptions: tuple[str, ...]

    @property
    def fits(self) -> bool:
        return self.memory.fits(self.ram, self.storage)

    def to_json(self) -> dict[str, Any]:
        fields = asdict(self)
        fields["memory"]["session"]["bytes"] = self.memory.session.bytes
        return {**fields, "fits": self.fits}


def memory_of(contents: Contents, target: Target, options: Options) -> Memory:
    in_place = target.memory.flash_bandwidth is not None
    chunk = options.chunk or min(target.defaults.chunk or contents.program.chunk, contents.program.chunk)
    if target.firmware is not None:  # an image's one session has room for any of the file's adapters
        options = replace(options, adapter_rank=contents.adapter_rank)
    return memory.of(
        contents,
        replace(options, chunk=chunk),
        arch=target.cpu.arch,
        in_place=in_place,
        firmware=target.firmware is not None,
        code=CODE[target.cpu.arch],
    )


def context_of(contents: Contents, target: Target, context: int = 0) -> int:
    """The tokens of a session: those asked for, or the target's default, at most the model's."""
    return context or min(target.defaults.context or contents.program.context, contents.program.context)


def make(
    contents: Contents, target: Target, options: Options, *, depth: int = 0, rates: Rates | None = None
) -> Plan:
    """options: with the context filled in. depth: tokens before the one whose decoding speed is predicted;
    rates: measured, where the target is this machine. Raises InputError for what a session can't be."""
    program = contents.program
    needed = memory_of(contents, target, options)
    if not 0 <= depth < needed.session.context:
        raise InputError(f"a depth of {depth} tokens; give less than the session's {needed.session.context}")
    rates = rates or speed.rates_of(target)
    chunk = needed.session.chunk
    predicted = speed.speed(
        program, rates, context=needed.session.context, chunk=chunk, depth=depth, kv=options.kv
    )
    wide = Options(needed.session.context, chunk, chunk, options.kv, checkpoints=2, searches=True)
    wide = memory.with_images(contents, wide)
    return Plan(
        target.name,
        contents.name,
        contents.format,
        options.kv,
        needed,
        memory.session(program, wide, contents.mtp).bytes,
        options.image,
        target.memory.ram,
        target.memory.storage,
        predicted,
        (*rates.notes, *_reads(predicted, options.kv)),
    )


def _reads(predicted: Speed, kv: str) -> tuple[str, ...]:
    cost = predicted.decode
    parts = ", ".join(f"{name} {share / cost.seconds:.0%}" for name, share in cost.parts.items())
    return (
        f"a decoded token reads {cost.weights / 1e6:,.1f} MB of weights, {cost.kv / 1e6:,.2f} MB of {kv} keys "
        f"and values after {predicted.depth} tokens, {cost.states / 1e6:,.2f} MB of states; "
        f"{cost.macs / 1e6:,.1f} million multiply-adds",
        f"its time goes to {parts}",
        "an op takes the longer of reading and multiplying; ops follow each other without overlap",
    )
