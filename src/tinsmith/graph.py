"""A family's computation: ops over named values, independent of any device.

A family's `graph(hyper, g)` calls the methods of GraphBuilder; each adds one op and returns its output, a Value
of shape (tokens, width). Encoders and projectors do the same with values of shape (patches, width), or (states,
width) after merging patches. The op kinds are those of kernels/ops.def.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tinsmith import _core
from tinsmith.errors import UnsupportedError
from tinsmith.formats.weights import to_float32
from tinsmith.spec import Tensor

# In the order of TINI_ACT_*: activations of `gated`. "gelu" uses tanh, "gelu_erf" is exact.
ACTIVATIONS = ("silu", "gelu", "sigmoid", "none", "gelu_erf")
# In the order of TINI_GRID_*: interpolation of a position table (kernels/core/vm/program.h).
GRIDS = ("nearest", "corners", "smooth")


@dataclass(eq=False)
class Value:
    """Working memory: a row of `width` elements per token. type: "F32", or "Q8" (int8 blocks with a scale).
    share: divisor of the program's number of rows, more than 1 after merging patches."""

    width: int
    type: str = "F32"
    share: int = 1


@dataclass(eq=False)
class Op:
    """One op of the list. Operands fill the slots described in kernels/ops.def; None is an empty slot."""

    kind: str
    inputs: list[Value | None] = field(default_factory=list)
    outputs: list[Value | None] = field(default_factory=list)
    tensors: list[str | None] = field(default_factory=list)
    cache: int | None = None  # index of the op's cache or state
    u: tuple[int, ...] = ()
    f: tuple[float, ...] = ()
    logit_rows: bool = False  # only rows whose logits are wanted, or rows of merged patches


@dataclass(frozen=True)
class Cache:
    """A layer's key-value cache. window: number of latest positions for attention; 0 for all."""

    heads: int
    head_dim: int
    window: int = 0


@dataclass(frozen=True)
class State:
    """An op's memory of all earlier tokens: float32 of shape (heads, rows, columns), initially zeros."""

    heads: int
    rows: int
    columns: int


@dataclass
class Graph:
    """ops in order; tensors: every weight and constant that they name."""

    tensors: dict[str, Tensor]
    ops: list[Op] = field(default_factory=list)
    caches: list[Cache] = field(default_factory=list)
    states: list[State] = field(default_factory=list)


class GraphBuilder:
    """The op vocabulary of a family. tensors: a spec's, by role. images: whether image rows occur among the
    tokens; ops for images do nothing without them."""

    def __init__(self, tensors: Mapping[str, Tensor], images: bool = False) -> None:
        self.graph = Graph(dict(tensors))
        self.images = images

    def _op(
        self,
        kind: str,
        width: int,
        *inputs: Value | None,
        tensors: Sequence[str | None] = (),
        cache: int | None = None,
        u: tuple[int, ...] = (),
        f: tuple[float, ...] = (),
    ) -> Value:
        """Adds an op with one output of this width."""
        out = Value(width)
        self.graph.ops.append(Op(kind, [*inputs], [out], [*tensors], cache, u, f))
        return out

    def _add(self, op: Op) -> None:
        self.graph.ops.append(op)

    def constant(self, name: str, values: Sequence[float]) -> str:
        """A float32 vector beside the spec's tensors; returns its name."""
        data = struct.pack(f"<{len(values)}f", *values)
        self.graph.tensors[name] = Tensor("F32", 1, len(values), data)
        return name

    def embed(self, table: str, scale: float = 1.0) -> Value:
        return self._op("EMBED", self.graph.tensors[table].inputs, tensors=[table], f=(scale,))

    def norm(
        self, x: Value, weight: str, eps: float, *, heads: int = 1, residual: Value | None = None
    ) -> Value:
        """RMS norm over the row, or over each of its heads, times weight (+ residual)."""
        return self._op("NORM", x.width, x, residual, tensors=[weight], u=(heads,), f=(eps,))

    def layer_norm(self, x: Value, weight: str, bias: str, eps: float) -> Value:
        """(x - mean) / deviation * weight + bias."""
        return self._op("NORM", x.width, x, None, tensors=[weight, bias], u=(1,), f=(eps,))

    def matmul(self, x: Value, weight: str, *, residual: Value | None = None, bias: str | None = None) -> Value:
        """x · weightᵀ (+ bias) (+ residual)."""
        rows = self.graph.tensors[weight].rows
        return self._op("MATMUL", rows, x, residual, tensors=[weight, None, None, bias])

    def matmuls(self, x: Value, *weights: str, biases: Sequence[str | None] = ()) -> tuple[Value, ...]:
        """Two or three products of one input, as one op."""
        outs = [Value(self.graph.tensors[weight].rows) for weight in weights]
        slots = [*weights, *[None] * (3 - len(weights)), *biases]
        self._add(Op("MATMUL", [x], [*outs], slots))
        return tuple(outs)

    def rope_table(
        self, frequencies: Sequence[float], factor: float = 1.0, streams: Sequence[int] | None = None
    ) -> Value:
        """Cosines and sines of position * frequency, for `rope`, times a factor. streams: the position for each
        frequency in an image, of its time (0), row (1) or column (2); None: the token's position."""
        number = sum(op.kind == "ROPE_TABLE" for op in self.graph.ops)
        names = [self.constant(f"rope.{number}", frequencies)]
        if streams is not None and self.images:
            names.append(self.constant(f"rope.{number}.streams", streams))
        return self._op("ROPE_TABLE", 2 * len(frequencies), tensors=names, f=(factor,))

    def rope(self, x: Value, table: Value, heads: int) -> Value:
        """Rotary position embedding of each head's first values, in place: pairs (i, i + half)."""
        self._add(Op("ROPE", [x, table], [x], u=(heads,)))
        return x

    def patch_rope_table(self, rows: Sequence[float], columns: Sequence[float]) -> Value:
        """rope_table by a patch's place: first frequencies of its row, then those of its column."""
        streams = [1.0] * len(rows) + [2.0] * len(columns)
        names = [self.constant("rope.patches", [*rows, *columns]), self.constant("rope.streams", streams)]
        return self._op("ROPE_TABLE", 2 * len(streams), tensors=names, f=(1.0,))

    def cache(self, heads: int, head_dim: int, window: int = 0) -> int:
        self.graph.caches.append(Cache(heads, head_dim, window))
        return len(self.graph.caches) - 1

    def kv_append(self, cache: int, key: Value, value: Value) -> None:
        self._add(Op("KV_APPEND", [key, value], cache=cache))

    def attention(
        self, cache: int, query: Value, heads: int, scale: float, cap: float = 0.0, *, images: bool = False
    ) -> Value:
        """Causal attention of `heads` query heads over the cache, which already contains these tokens. cap:
        scores s become cap * tanh(s / cap). images: rows of one image attend to all of it."""
        flags = (heads, 1) if images and self.images else (heads,)
        return self._op("ATTENTION", query.width, query, cache=cache, u=flags, f=(scale, cap))

    def gated(self, gate: Value, up: Value, act: str = "silu") -> Value:
        """act(gate) * up, act one of ACTIVATIONS. Each element of a narrower gate scales an equal part of
        up."""
        return self._op("GATED", up.width, gate, up, u=(ACTIVATIONS.index(act),))

    def act(self, x: Value, act: str) -> Value:
        """act(x), act one of ACTIVATIONS."""
        return self._op("GATED", x.width, x, None, u=(ACTIVATIONS.index(act),))

    def route(self, logits: Value, chosen: int, *, normalize: bool, scale: float = 1.0) -> Value:
        """The `chosen` experts of each row with the highest logits, and their weights times scale: the softmax
        over all experts, or (normalize) over the chosen."""
        width, numbers = chosen * _core.ROUTE_WIDTH, (chosen, int(normalize))
        return self._op("ROUTE", width, logits, u=numbers, f=(scale,))

    def route_sigmoid(
        self, logits: Value, bias: str, chosen: int, *, normalize: bool, scale: float, added: float
    ) -> Value:
        """route by each expert's sigmoid: sigmoid + bias chooses, the weights are without bias; normalize: over
        the sum of the chosen + added."""
        width, numbers = chosen * _core.ROUTE_WIDTH, (chosen, int(normalize))
        return self._op("ROUTE_SIGMOID", width, logits, tensors=[bias], u=numbers, f=(scale, added))

    def expert_gather(self, x: Value, routes: Value) -> Value:
        """Each row of x once for each of its experts: the input of `expert_matmul`."""
        chosen = routes.width // _core.ROUTE_WIDTH
        return self._op("EXPERT_GATHER", chosen * x.width, x, routes, u=(chosen,))

    def expert_matmul(self, parts: Value, routes: Value, weight: str, experts: int) -> Value:
        """Each part times its expert's matrix; weight: all experts' matrices, concatenated by rows."""
        chosen, rows = routes.width // _core.ROUTE_WIDTH, self.graph.tensors[weight].rows // experts
        if rows % _core.TILE:
            raise UnsupportedError(f"{weight}: an expert has {rows} rows; supported: multiples of {_core.TILE}")
        return self._op("EXPERT_MATMUL", chosen * rows, parts, routes, tensors=[weight], u=(chosen,))

    def expert_sum(self, parts: Value, routes: Value, residual: Value) -> Value:
        """The weighted sum of each row's parts + residual."""
        chosen = routes.width // _core.ROUTE_WIDTH
        return self._op("EXPERT_SUM", residual.width, parts, routes, residual, u=(chosen, 0))

    def shared_expert(self, part: Value, gate: Value, residual: Value) -> Value:
        """sigmoid(first element of gate) * part + residual."""
        return self._op("EXPERT_SUM", residual.width, part, gate, residual, u=(1, 1))

    def dot(self, x: Value, weight: str) -> Value:
        """x · weight, a vector, in the first element."""
        vector = self.graph.tensors[weight]
        # A matmul takes a matrix: the vector and a row of zeros.
        data = bytes(vector.data) + bytes(4 * vector.inputs)
        self.graph.tensors[weight] = Tensor("F32", 2, vector.inputs, data)
        return self.matmul(x, weight)

    def add(self, x: Value, y: Value, scale: float = 1.0) -> Value:
        """x + scale * y."""
        return self._op("ADD", x.width, x, y, f=(scale,))

    def scaled(self, x: Value, factor: str) -> Value:
        """x times a tensor of one number."""
        return self._op("SCALE", x.width, x, tensors=[factor])

    def slice(self, x: Value, begin: int, width: int, groups: int = 1) -> Value:
        """Elements begin to begin + width of each of the row's groups, joined."""
        return self._op("SLICE", groups * width, x, u=(groups, begin))

    def join(self, x: Value, y: Value) -> Value:
        """The elements of x, then those of y."""
        return self._op("JOIN", x.width + y.width, x, y)

    def given(self, x: Value, part: int) -> Value:
        """Adds a part of an image's input states to its rows of x, in place. Part 0 replaces the embedding;
        all parts are as wide as x."""
        if self.images:
            self._add(Op("GIVEN", [x], [x], u=(part,)))
        return x

    def before(self, x: Value) -> Value:
        """x of the previous token; zeros for the first. Its width is a multiple of 16."""
        taps = struct.pack("<2f", 1.0, 0.0) * x.width
        self.graph.tensors["before"] = Tensor("F32", x.width, 2, taps)
        return self.conv(x, "before")

    def _state(self, heads: int, rows: int, columns: int) -> int:
        self.graph.states.append(State(heads, rows, columns))
        return len(self.graph.states) - 1

    def conv(
        self, x: Value, weight: str, act: Literal["none", "silu"] = "none", bias: str | None = None
    ) -> Value:
        """Causal convolution of each channel (+ bias). weight: [channels, taps], the last tap for the token
        itself; channels are a multiple of 16."""
        taps = self.graph.tensors[weight] = to_float32(self.graph.tensors[weight])
        state = self._state(1, taps.inputs - 1, x.width)
        return self._op("CONV", x.width, x, tensors=[weight, bias], cache=state, u=(int(act == "silu"),))

    def delta_rule(
        self,
        queries_keys: Value,
        values: Value,
        decay: Value,
        beta: Value,
        *,
        rate: str,
        bias: str,
        key_dim: int,
        value_dim: int,
        scale: float,
    ) -> Value:
        """The gated delta rule over a state of shape (value heads, key_dim, value_dim). The state decays by
        exp(rate * softplus(decay + bias)) and adds values by sigmoid(beta), both one number per value head.

        queries_keys: the queries of all key heads, then their keys. values: ends with the values of all value
        heads; others may precede them. Value head h reads key head h % key heads. key_dim is a multiple of 4,
        value_dim of 16.
        """
        heads = decay.width
        key_heads = queries_keys.width // (2 * key_dim)
        return self._op(
            "DELTA",
            heads * value_dim,
            queries_keys,
            values,
            decay,
            beta,
            tensors=[rate, bias],
            cache=self._state(heads, key_dim, value_dim),
            u=(key_heads,),
            f=(scale,),
        )

    def scan(
        self, x: Value, steps: Value, *, rate: str, bias: str, skip: str, groups: int, state_dim: int
    ) -> Value:
        """Mamba-2's selective state update (Dao and Gu, 2024) over a state of shape (heads, state_dim,
        head_dim), + skip * x. With step = softplus(steps + bias), one number per head, the state decays by
        exp(rate * step) and adds x times step.

        x: x of all heads, then B of all groups, then C of all groups. Head h reads group
        h // (heads / groups). state_dim is a multiple of 4, a head's width of 16.
        """
        width = x.width - 2 * groups * state_dim
        state = self._state(steps.width, state_dim, width // steps.width)
        return self._op("SCAN", width, x, steps, tensors=[rate, bias, skip], cache=state, u=(groups,))

    def logits(self, x: Value, head: str, *, cap: float = 0.0, scale: float = 1.0) -> None:
        """x · headᵀ times scale, then capped like attention's scores."""
        self._add(Op("LOGITS", [x], [], [head], f=(cap, scale)))

    def patches(self, width: int) -> Value:
        """The pixels of each patch: floats [row][column][red, green, blue]."""
        return self._op("PATCHES", width)

    def positions(self, x: Value, table: str, grid: str) -> Value:
        """x + the table's row for each patch's place. The table is a square, resized to the image by grid, one
        of GRIDS."""
        return self._op("POSITION", x.width, x, tensors=[table], u=(GRIDS.index(grid),))

    def merge(self, x: Value, side: int, *, mean: bool = False) -> Value:
        """Joins the rows of each square of side × side patches, or takes their mean; later ops work on
        squares."""
        return self._op("MERGE", x.width if mean else x.width * side**2, x, u=(side, int(mean)))

    def states(self, x: Value) -> None:
        """The output of an encoder."""
        self._add(Op("STATES", [x], []))
