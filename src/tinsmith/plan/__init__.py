"""Predicts a model on a device: its memory exactly, its speed by roofline."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from tinsmith.errors import InputError
from tinsmith.plan import memory, speed
from tinsmith.plan.contents import Contents
from tinsmith.plan.memory import IMAGE, Memory, Options, memory_of
from tinsmith.plan.speed import Rates, Speed
from tinsmith.targets import Target

__all__ = ["IMAGE", "Memory", "Options", "Plan", "Rates", "Speed", "make", "memory_of"]


@dataclass(frozen=True)
class Plan:
    """target: a name; format: of the weights; python_session: bytes of a session of tinsmith.load, with logits
    of a whole chunk, two more recurrent states and room for best-first search; image: width and height, for a
    model with image input; ram, storage: of the device; assumptions: of the speed, a line each; fits: whether
    the model does."""

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
    fits: bool

    def to_json(self) -> dict[str, Any]:
        fields = asdict(self)
        fields["memory"] |= {"storage": self.memory.file}
        fields["memory"]["session"]["bytes"] = self.memory.session.bytes
        return fields


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
        needed.fits(target.memory),
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
