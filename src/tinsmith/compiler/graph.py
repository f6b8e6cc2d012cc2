"""What a family computes: ops over named values, before any device is known.

A family's `graph(hyper, g)` calls the methods of GraphBuilder; each adds one op and returns its output, a Value
of shape (tokens, width). The op kinds are those of kernels/ops.def.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tinsmith.models.spec import Tensor

# In the order of TINI_ACT_*: what `gated` does to its gate. "gelu" is the form by tanh.
ACTIVATIONS = ("silu", "gelu", "sigmoid", "none")


@dataclass(eq=False)
class Value:
    """Working memory: a row of `width` elements a token. type: "F32", or "Q8" (int8 blocks with a scale)."""

    width: int
    type: str = "F32"


@dataclass(eq=False)
class Op:
    """One op of the list. Operands stand in the slots that kernels/ops.def describes; None is an empty slot."""

    kind: str
    inputs: list[Value | None] = field(default_factory=list)
    outputs: list[Value | None] = field(default_factory=list)
    tensors: list[str | None] = field(default_factory=list)
    cache: int | None = None
    u: tuple[int, ...] = ()
    f: tuple[float, ...] = ()
    logit_rows: bool = False  # only the rows whose logits are wanted


@dataclass(frozen=True)
class Cache:
    """A layer's key-value cache. window: how many of the latest positions attention sees; 0 for all."""

    heads: int
    head_dim: int
    window: int = 0


@dataclass
class Graph:
    """ops in order; tensors: every weight and constant that they name."""

    tensors: dict[str, Tensor]
    ops: list[Op] = field(default_factory=list)
    caches: list[Cache] = field(default_factory=list)


class GraphBuilder:
    """The op vocabulary as a family writes it. tensors: a spec's, by role."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.graph = Graph(dict(tensors))

    def _add(self, op: Op) -> None:
        self.graph.ops.append(op)

    def _constant(self, name: str, values: Sequence[float]) -> str:
        data = struct.pack(f"<{len(values)}f", *values)
        self.graph.tensors[name] = Tensor("F32", 1, len(values), data)
        return name

    def embed(self, table: str, scale: float = 1.0) -> Value:
        out = Value(self.graph.tensors[table].inputs)
        self._add(Op("EMBED", outputs=[out], tensors=[table], f=(scale,)))
        return out

    def norm(
        self, x: Value, weight: str, eps: float, *, heads: int = 1, residual: Value | None = None
    ) -> Value:
        """RMS norm over the row, or over each of its heads, times weight (+ residual)."""
        out = Value(x.width)
        self._add(Op("NORM", [x, residual], [out], [weight], u=(heads,), f=(eps,)))
        return out

    def matmul(self, x: Value, weight: str, *, residual: Value | None = None, bias: str | None = None) -> Value:
        """x · weightᵀ (+ bias) (+ residual)."""
        out = Value(self.graph.tensors[weight].rows)
        self._add(Op("MATMUL", [x, residual], [out], [weight, None, None, bias]))
        return out

    def matmuls(self, x: Value, *weights: str, biases: Sequence[str | None] = ()) -> tuple[Value, ...]:
        """Two or three products of one input, as one op."""
        outs = [Value(self.graph.tensors[weight].rows) for weight in weights]
        slots = [*weights, *[None] * (3 - len(weights)), *biases]
        self._add(Op("MATMUL", [x], [*outs], slots))
        return tuple(outs)

    def rope_table(self, frequencies: Sequence[float], factor: float = 1.0) -> Value:
        """Cosines and sines of position * frequency, for `rope`, times a factor."""
        out = Value(2 * len(frequencies))
        name = self._constant(f"rope.{sum(op.kind == 'ROPE_TABLE' for op in self.graph.ops)}", frequencies)
        self._add(Op("ROPE_TABLE", [], [out], [name], f=(factor,)))
        return out

    def rope(self, x: Value, table: Value, heads: int) -> Value:
        """Rotary position embedding of each head's first values, in place: pairs (i, i + half)."""
        self._add(Op("ROPE", [x, table], [x], u=(heads,)))
        return x

    def cache(self, heads: int, head_dim: int, window: int = 0) -> int:
        self.graph.caches.append(Cache(heads, head_dim, window))
        return len(self.graph.caches) - 1

    def kv_append(self, cache: int, key: Value, value: Value) -> None:
        self._add(Op("KV_APPEND", [key, value], cache=cache))

    def attention(self, cache: int, query: Value, heads: int, scale: float, cap: float = 0.0) -> Value:
        """Causal attention of `heads` query heads over the cache, which already holds these tokens. cap:
        scores s become cap * tanh(s / cap)."""
        out = Value(query.width)
        self._add(Op("ATTENTION", [query], [out], cache=cache, u=(heads,), f=(scale, cap)))
        return out

    def gated(self, gate: Value, up: Value, act: str = "silu") -> Value:
        """act(gate) * up, act one of ACTIVATIONS."""
        out = Value(gate.width)
        self._add(Op("GATED", [gate, up], [out], u=(ACTIVATIONS.index(act),)))
        return out

    def add(self, x: Value, y: Value, scale: float = 1.0) -> Value:
        """x + scale * y."""
        out = Value(x.width)
        self._add(Op("ADD", [x, y], [out], f=(scale,)))
        return out

    def slice(self, x: Value, begin: int, width: int, groups: int = 1) -> Value:
        """The elements begin to begin + width of each of the row's groups, joined."""
        out = Value(groups * width)
        self._add(Op("SLICE", [x], [out], u=(groups, begin)))
        return out

    def logits(self, x: Value, head: str, *, cap: float = 0.0, scale: float = 1.0) -> None:
        """x · headᵀ, times scale, then capped as attention's scores."""
        self._add(Op("LOGITS", [x], [], [head], f=(cap, scale)))
