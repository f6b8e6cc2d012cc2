"""Whether a model fits a device, and if not, the nearest format and context that do."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import product

from tinsmith.errors import InputError
from tinsmith.format_names import AUTO, FORMATS
from tinsmith.plan import memory_of
from tinsmith.plan.contents import Base, Contents
from tinsmith.plan.memory import Memory, Options
from tinsmith.spec import Spec
from tinsmith.targets import Target

_LEAST_CONTEXT = 16  # tokens; fewer have no room for a question and an answer


def context_for(spec: Spec, devices: Sequence[Target], context: int = 0) -> int:
    """The tokens of a session: `context`, or else the least of the devices' defaults, at most the model's own;
    0 for the model's own."""
    defaults = [device.defaults.context for device in devices if device.defaults.context]
    return context or (min(*defaults, spec.hyper.context) if defaults else 0)


def check(base: Base, formats: Sequence[str], context: int, devices: Sequence[Target]) -> None:
    """Raises InputError for the first format that does not fit a device with a session of `context` tokens; it
    names the nearest that fits. AUTO always fits: see room."""
    for name, target in product([name for name in formats if name != AUTO], devices):
        contents = base.contents(name)
        options = Options(context=context)
        memory = memory_of(contents, target, options)
        if not memory.fits(target.memory):
            numbers = "; ".join(_too_much(memory, target))
            raise InputError(
                f"{contents.name}: {name} with a context of {memory.session.context:,} does not fit "
                f"{target.name}: {numbers}. {_advice(base, contents, memory, target)}"
            )


def room(base: Base, context: int, devices: Sequence[Target]) -> int | None:
    """Bytes that the matrices may take in every device, beside the parts whose size does not depend on formats;
    None without a device."""
    from tinsmith import quant
    from tinsmith.formats.tin import PAGE
    from tinsmith.formats.weights import weight_format

    contents, spec = base.contents("Q8_0"), base.spec
    own = 0
    for role, name in quant.encoder(spec, "Q8_0").formats.items():
        tensor = spec.tensors[role]
        if tensor.rows > 1:
            own += weight_format(name).size(tensor.rows * tensor.inputs)
    limits = []
    for target in devices:
        memory = memory_of(contents, target, Options(context=context))
        held = own if memory.ram > own else 0  # weights that are read in place take no RAM
        limits.append(target.memory.storage - (memory.file - own) - PAGE)
        limits.append(target.memory.ram - (memory.ram - held))
    return min(limits, default=None)


def _too_much(memory: Memory, target: Target) -> Iterator[str]:
    if memory.file > target.memory.storage:
        yield f"the file takes {memory.file:,} bytes and it stores {target.memory.storage:,}"
    if memory.ram > target.memory.ram:
        session = memory.session
        yield (
            f"RAM takes {memory.ram:,} bytes, of which a session {session.bytes:,} with {session.kv:,} of "
            f"keys and values, and it has {target.memory.ram:,}"
        )


def _advice(base: Base, contents: Contents, memory: Memory, target: Target) -> str:
    """The widest format, from this one on, with the longest context that fits."""
    others = sorted(map(base.contents, FORMATS), key=lambda other: -other.program.weight_bytes)
    narrower = [other for other in others if other.program.weight_bytes < contents.program.weight_bytes]
    for other in (contents, *narrower):
        fitting = _longest(other, memory.session.context, target)
        if fitting:
            return (
                f"The nearest that fits: {other.format} with a context of {fitting.session.context:,} (file "
                f"{fitting.file:,} bytes, RAM {fitting.ram:,})"
            )
    smallest = min(others, key=lambda other: other.file)
    least = memory_of(smallest, target, Options(context=min(_LEAST_CONTEXT, smallest.program.context)))
    return (
        f"Nothing of this model does: {smallest.format} with a context of {least.session.context} takes a file "
        f"of {least.file:,} bytes and RAM of {least.ram:,}; take a smaller base or a larger device"
    )


def _longest(contents: Contents, most: int, target: Target) -> Memory | None:
    """With the longest context up to `most` that fits."""

    def memory(context: int) -> Memory:
        return memory_of(contents, target, Options(context=context))

    contexts = range(min(_LEAST_CONTEXT, most), most + 1)
    count = bisect_left(contexts, True, key=lambda context: not memory(context).fits(target.memory))
    return memory(contexts[count - 1]) if count else None
