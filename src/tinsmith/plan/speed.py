"""Speed by roofline: an op takes as long as reading what it reads, or as its multiply-adds, whichever is
longer.

A rate is what kernels reach, not what a data sheet promises; each instruction set states its own
(kernels/isa/<set>/set.h), plan.host measures it on the machine at hand.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tinsmith import _core
from tinsmith.compiler.program import Listing, Packed, Step
from tinsmith.formats.weights import weight_format
from tinsmith.plan.memory import place_bytes
from tinsmith.targets import Target

# Multiply-adds a core and clock that a set's kernels reach: int8 with many rows and with one, float32. x86-64:
# plan.host's own measurement on a Zen 5, whose wide units are halved for others. NEON: llvm-mca's cycles for
# Cortex-A72 and A76 (benchmarks/arm_mca.py). Cortex-M: counted instructions (benchmarks/cortex.py), where a
# gather takes longer than one. WebAssembly: an assumption, by what NEON does.
RATES = _core.RATES
# What an element of an op's first input or output costs, in the like of a float multiply-add.
_WEIGHT = {"NORM": 4, "QUANTIZE": 3, "GATED": 12, "ROPE": 2, "ROPE_TABLE": 20, "KV_APPEND": 3, "EMBED": 3}
_SYNC_NS = 1500.0  # an op's hand-over between threads
_CALL_CYCLES = 200.0  # an op's own cost
_MANY = 4  # rows from which on kernels work at their best, about
_BATCH = 512  # tokens of the prompt whose speed is predicted


@dataclass(frozen=True)
class Rates:
    """What a device does a second, all cores together.

    weights: bytes read of weights, by format, "" for every other; memory: of caches and states; many, one:
    multiply-adds of matmuls with many rows and with one, by format, "" for every other that reads int8, "f32"
    for every other that reads floats; floats, floats_many: of attention and recurrences; elements: worked on by
    one core in what is left; op, sync: seconds that an op takes besides, and what handing it to threads adds.
    """

    weights: dict[str, float]
    memory: float
    many: dict[str, float]
    one: dict[str, float]
    floats: float
    floats_many: float
    elements: float
    op: float
    sync: float
    notes: tuple[str, ...] = ()


@dataclass
class Cost:
    """Of one pass of all ops: bytes read of weights, of caches and of states; multiply-adds; seconds, in all
    and by what they go to."""

    weights: int = 0
    kv: int = 0
    states: int = 0
    macs: int = 0
    seconds: float = 0.0
    parts: dict[str, float] = field(default_factory=dict)

    def add(self, part: str, seconds: float) -> None:
        self.seconds += seconds
        self.parts[part] = self.parts.get(part, 0.0) + seconds


def rates_of(target: Target) -> Rates:
    """What a target's data give: its clock, cores and best instruction set."""
    cpu, memory = target.cpu, target.memory
    best_many, best_one, best_floats = RATES[cpu.isa[-1]]
    many = cpu.macs_per_clock or best_many
    one = best_one * many / best_many
    floats = cpu.floats_per_clock or best_floats
    clock = cpu.clock_mhz * 1e6
    all_cores = cpu.cores * clock
    read = memory.flash_bandwidth or memory.bandwidth
    notes = (
        f"{cpu.isa[-1]}: {many:g} int8 multiply-adds a core and clock with many rows, {one:g} with one, "
        f"{floats:g} of float32; {cpu.cores} cores at {cpu.clock_mhz:,} MHz",
        f"weights are read at {read / 1e9:g} GB/s"
        + (" from flash, in place" if memory.flash_bandwidth else "")
        + f", caches and states at {memory.bandwidth / 1e9:g} GB/s",
        "no weight stays in a processor's cache from one token to the next",
    )
    return Rates(
        weights={"": read},
        memory=memory.bandwidth,
        many={"": many * all_cores, "f32": floats * all_cores},
        one={"": one * all_cores, "f32": floats * all_cores},
        floats=floats * all_cores,
        floats_many=floats * all_cores,
        elements=floats * clock,
        op=_CALL_CYCLES / clock,
        sync=_SYNC_NS * 1e-9 if cpu.cores > 1 else 0.0,
        notes=notes,
    )


def one_pass(program: Listing, rates: Rates, *, rows: int, depth: int, kv: str) -> Cost:
    """The cost of `rows` tokens at once, after `depth` others."""
    cost = Cost()
    tensors = list(program.tensors.values())
    for op in program.ops:
        n = 1 if op.logit_rows else rows
        if op.kind in ("MATMUL", "LOGITS", "EXPERT_MATMUL"):
            _matmul(cost, program, op, tensors, rates, n)
        elif op.kind == "ATTENTION":
            _attention(cost, program, op, rates, n, depth, kv)
        elif op.kind in ("CONV", "DELTA", "SCAN"):
            _state(cost, program, op, rates, n)
        else:
            widths = [program.values[k][1] for k in (*op.inputs, *op.outputs) if k is not None]
            elements = _WEIGHT.get(op.kind, 2) * max(widths, default=0)
            cost.add("other", elements * n / rates.elements)
        cost.add("calls", rates.op)
    return cost


def _matmul(cost: Cost, program: Listing, op: Step, tensors: list[Packed], rates: Rates, rows: int) -> None:
    for tensor in (tensors[k] for k in op.tensors[:3] if k is not None):
        share = rows * 1.0
        size: float = tensor.bytes
        if op.kind == "EXPERT_MATMUL":
            # Of all experts' rows in one tensor, each token takes its chosen ones; many tokens need them all.
            chosen, out = op.u[0], op.outputs[0]
            assert out is not None
            experts = max(1, tensor.rows * chosen // program.values[out][1])
            share = rows * chosen / experts
            size = tensor.bytes * min(1.0, share)
        macs = tensor.rows * tensor.inputs * share
        table = rates.many if rows >= _MANY else rates.one
        cost.weights += round(size)
        cost.macs += round(macs)
        read = rates.weights.get(tensor.format) or rates.weights[""]
        kind = "" if weight_format(tensor.format).activations == "q8" else "f32"
        cost.add("matmul", max(size / read, macs / (table.get(tensor.format) or table[kind])))
    cost.add("calls", rates.sync)


def _attention(cost: Cost, program: Listing, op: Step, rates: Rates, rows: int, depth: int, kv: str) -> None:
    assert op.cache is not None
    cache = program.caches[op.cache]
    seen = depth + (rows + 1) / 2
    last = depth + rows
    if cache.window:
        seen, last = min(seen, cache.window), min(last, cache.window + rows)
    size = 2 * cache.heads * last * place_bytes(kv, cache.head_dim)
    macs = 2 * op.u[0] * cache.head_dim * seen * rows
    cost.kv += size
    cost.macs += round(macs)
    floats = rates.floats_many if rows >= _MANY else rates.floats
    cost.add("attention", max(size / rates.memory, macs / floats))
    cost.add("calls", rates.sync)


def _state(cost: Cost, program: Listing, op: Step, rates: Rates, rows: int) -> None:
    """A state is read and written once a pass, and every token works on all of it: a delta rule thrice, a
    selective state update twice."""
    assert op.cache is not None
    state = program.states[op.cache]
    elements = state.heads * state.rows * state.columns
    macs = elements * rows * {"CONV": 1, "DELTA": 3, "SCAN": 2}[op.kind]
    cost.states += 8 * elements
    cost.macs += macs
    cost.add("states", max(8 * elements / rates.memory, macs / rates.floats))
    cost.add("calls", rates.sync)


@dataclass(frozen=True)
class Speed:
    """Tokens a second: of a prompt of `prompt` tokens, of decoding after `depth` tokens. decode: what a token's
    pass reads and takes."""

    prompt: int
    prompt_tok_s: float
    depth: int
    decode_tok_s: float
    decode: Cost


def speed(program: Listing, rates: Rates, *, context: int, chunk: int, depth: int, kv: str) -> Speed:
    prompt = max(1, min(_BATCH, context - 1))
    took = sum(
        one_pass(program, rates, rows=min(chunk, prompt - done), depth=done, kv=kv).seconds
        for done in range(0, prompt, chunk)
    )
    decode = one_pass(program, rates, rows=1, depth=depth, kv=kv)
    return Speed(prompt, prompt / took, depth, 1 / decode.seconds, decode)
