"""Passes that rewrite a graph without changing its results, and the graph's memory plan."""

from __future__ import annotations

from collections.abc import Sequence

from tinsmith import _core
from tinsmith.formats.weights import weight_format
from tinsmith.graph import Graph, Op, Value

# Ops whose second output is the quantized form of the first.
_QUANTIZES = ("NORM", "GATED")
# Ops whose first output may overwrite this input: each reads an element before it writes there.
_IN_PLACE = {
    "MATMUL": 1,
    "GATED": 0,
    "ATTENTION": 0,
    "ATTENTION_WHOLE": 0,
    "ADD": 0,
    "SCALE": 0,
    "EXPERT_SUM": 2,
    "POSITION": 0,
}
# Ops that need every row, since they store what later tokens read.
_STORES = ("KV_APPEND", "CONV", "DELTA", "SCAN")
# An encoder's ops on its cache, and their integer variants.
_WHOLE = {"KV_APPEND": "KV_WHOLE", "ATTENTION": "ATTENTION_WHOLE"}
_Q8_BLOCK, _Q8_BYTES = 32, 40


def lower(graph: Graph) -> None:
    """All passes, in order."""
    quantize_activations(graph)
    if graph.ops[-1].kind == "STATES":  # an encoder
        mark_merged(graph)
        merge_early(graph)
    else:
        mark_logit_rows(graph)


def quantize_activations(graph: Graph) -> None:
    """Gives every matmul the type of input that its weights' format needs.

    The op that makes the input also quantizes it where it can; otherwise a QUANTIZE op follows. A value is
    quantized once, however many matmuls read it.
    """
    quantized: dict[Value, Value] = {}
    ops: list[Op] = []
    for op in graph.ops:
        if op.kind in ("MATMUL", "EXPERT_MATMUL", "LOGITS"):
            for part in _split(graph, op):
                if _reads_q8(graph, part):
                    source = part.inputs[0]
                    assert source is not None
                    part.inputs[0] = _quantize(ops, quantized, source)
                ops.append(part)
        else:
            ops.append(op)
    read = {value for op in ops for value in op.inputs}
    graph.ops = [op for op in ops if op.kind != "EXPERT_GATHER" or op.outputs[0] in read]


def _format_reads_q8(graph: Graph, tensor: str) -> bool:
    return weight_format(graph.tensors[tensor].format).activations == "q8"


def _reads_q8(graph: Graph, op: Op) -> bool:
    tensor = op.tensors[0]
    assert tensor is not None
    return _format_reads_q8(graph, tensor)


def _split(graph: Graph, op: Op) -> list[Op]:
    """The op, or one op a weight where its weights need different types of input."""
    weights = [tensor for tensor in op.tensors[:3] if tensor is not None]
    if len({_format_reads_q8(graph, weight) for weight in weights}) == 1:
        return [op]
    biases = [*op.tensors[3:], None, None, None][: len(weights)]
    return [
        Op("MATMUL", [op.inputs[0]], [out], [weight, None, None, bias])
        for weight, bias, out in zip(weights, biases, op.outputs, strict=True)
    ]


def _quantize(ops: list[Op], quantized: dict[Value, Value], source: Value) -> Value:
    if source in quantized:
        return quantized[source]
    quantized[source] = out = Value(source.width, "Q8")
    maker = next(op for op in reversed(ops) if source in op.outputs)
    if maker.kind in _QUANTIZES:
        maker.outputs.append(out)
    elif maker.kind == "EXPERT_GATHER":
        # Quantize a row once, not once for each of its experts.
        gathered, routes = maker.inputs
        assert gathered is not None
        inner = _quantize(ops, quantized, gathered)
        ops.append(Op("EXPERT_GATHER", [inner, routes], [out], u=maker.u))
    else:
        ops.append(Op("QUANTIZE", [source], [out]))
    return out


def makes_keys_of_integers(graph: Graph) -> bool:
    """Whether all matrices that make keys, values and queries read integers."""
    maker = {value: op for op in graph.ops for value in op.outputs if op.kind != "ROPE"}
    makers = [maker[value] for op in graph.ops if op.kind in _WHOLE for value in _values(op.inputs)]
    return bool(makers) and all(op.kind == "MATMUL" and _reads_q8(graph, op) for op in makers)


def attend_by_integers(graph: Graph) -> None:
    """Has an encoder store keys and values as int8, and attend with integer products."""
    for op in graph.ops:
        if op.kind in _WHOLE:
            op.kind, op.u = _WHOLE[op.kind], op.u[:1]


def mark_logit_rows(graph: Graph) -> None:
    """Marks the ops after the last cache or state: they compute only the rows whose logits are wanted."""
    last = max((k for k, op in enumerate(graph.ops) if op.kind in _STORES), default=-1)
    for op in graph.ops[last + 1 :]:
        op.logit_rows = True


def mark_merged(graph: Graph) -> None:
    """Marks an encoder's ops after the merge of patches: they have one row a square of patches."""
    side = next((op.u[0] for op in graph.ops if op.kind == "MERGE"), 1)
    merged: set[Value] = set()
    for op in graph.ops:
        op.logit_rows = op.kind in ("MERGE", "STATES") or not merged.isdisjoint(_values(op.inputs))
        for value in _values(op.outputs) if op.logit_rows else ():
            value.share = side**2
            merged.add(value)


def merge_early(graph: Graph) -> None:
    """Moves ops on merged patches as early as possible: their results are smaller than the early layers' states
    that they read."""
    waiting = [op for op in graph.ops if op.logit_rows]
    ops: list[Op] = []
    made: set[Value] = set()
    for op in graph.ops:
        if op.logit_rows:
            continue
        ops.append(op)
        made.update(_values(op.outputs))
        for later in list(waiting):
            if made.issuperset(_values(later.inputs)):
                waiting.remove(later)
                ops.append(later)
                made.update(_values(later.outputs))
    graph.ops = ops


def _values(slots: Sequence[Value | None]) -> list[Value]:
    return [value for value in slots if value is not None]


def row_bytes(value: Value) -> int:
    """The value's bytes in an arena for one row."""
    bytes = value.width * 4 if value.type == "F32" else value.width // _Q8_BLOCK * _Q8_BYTES
    return -(-bytes // value.share)


def plan_memory(graph: Graph) -> tuple[dict[Value, int], int]:
    """Each value's offset in the arena, and the arena's size, in bytes a row: with n rows both are n times as
    large. Live values never overlap; the largest first, each at the lowest free offset (greedy by size:
    Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference", 2020)."""
    first: dict[Value, int] = {}
    last: dict[Value, int] = {}
    for k, op in enumerate(graph.ops):
        for value in _values([*op.inputs, *op.outputs]):
            first.setdefault(value, k)
            last[value] = k
    spans: list[tuple[int, int, int, list[Value]]] = []
    for members in _share(graph, last):
        size = -(-max(row_bytes(value) for value in members) // _core.ALIGNMENT) * _core.ALIGNMENT
        spans.append((size, min(first[v] for v in members), max(last[v] for v in members), members))
    spans.sort(key=lambda span: (-span[0], span[1]))

    placed: list[tuple[int, int, int, int]] = []  # offset, size, begin, end
    offsets: dict[Value, int] = {}
    for size, begin, end, members in spans:
        offset = 0
        for taken, length, start, stop in sorted(placed):
            if start <= end and begin <= stop and taken < offset + size and offset < taken + length:
                offset = taken + length
        placed.append((offset, size, begin, end))
        offsets.update(dict.fromkeys(members, offset))
    return offsets, max((offset + size for offset, size, _, _ in placed), default=0)


def _share(graph: Graph, last: dict[Value, int]) -> list[list[Value]]:
    """Groups of values at one offset: an output joins the input that it may overwrite, unless that is read
    again."""
    group: dict[Value, list[Value]] = {}
    for k, op in enumerate(graph.ops):
        slot = _IN_PLACE.get(op.kind)
        source = op.inputs[slot] if slot is not None and slot < len(op.inputs) else None
        for n, out in enumerate(op.outputs):
            if out is None or out in group:
                continue
            if n == 0 and source is not None and last[source] == k and source.width == out.width:
                group[source].append(out)
                group[out] = group[source]
            else:
                group[out] = [out]
    return list({id(members): members for members in group.values()}.values())
