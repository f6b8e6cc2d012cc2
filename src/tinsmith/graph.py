"""What a family computes: ops over named values, before any device is known.

A family's `graph(hyper, g)` calls the methods of GraphBuilder; each adds one op and returns its output, a Value
of shape (tokens, width). So do an encoder's and a projector's, whose values are of shape (patches, width) and,
once patches are merged, (states, width). The op kinds are those of kernels/ops.def.
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

# In the order of TINI_ACT_*: what `gated` does to its gate. "gelu" is the form by tanh, "gelu_erf" the exact.
ACTIVATIONS = ("silu", "gelu", "sigmoid", "none", "gelu_erf")
# In the order of TINI_GRID_*: how a table of positions is resized (kernels/core/vm/program.h).
GRIDS = ("nearest", "corners", "smooth")


@dataclass(eq=False)
class Value:
    """Working memory: a row of `width` elements a token. type: "F32", or "Q8" (int8 blocks with a scale).
    share: of how many of the program's rows it has one, after patches were merged."""

    width: int
    type: str = "F32"
    share: int = 1


@dataclass(eq=False)
class Op:
    """One op of the list. Operands stand in the slots that kernels/ops.def describes; None is an empty slot."""

    kind: str
    inputs: list[Value | None] = field(default_factory=list)
    outputs: list[Value | None] = field(default_factory=list)
    tensors: list[str | None] = field(default_factory=list)
    cache: int | None = None  # of the op's cache, or of its state
    u: tuple[int, ...] = ()
    f: tuple[float, ...] = ()
    logit_rows: bool = False  # only the rows whose logits are wanted, or those of merged patches


@dataclass(frozen=True)
class Cache:
    """A layer's key-value cache. window: how many of the latest positions attention sees; 0 for all."""

    heads: int
    head_dim: int
    window: int = 0


@dataclass(frozen=True)
class State:
    """What an op keeps of all tokens before: float32 of shape (heads, rows, columns), zeros at first."""

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
    """The op vocabulary as a family writes it. tensors: a spec's, by role."""

    def __init__(self, tensors: Mapping[str, Tensor], images: bool = False) -> None:
        """images: whether rows of images come among the tokens; what a family says of them counts only then."""
        self.graph = Graph(dict(tensors))
        self.images = images

    def _add(self, op: Op) -> None:
        self.graph.ops.append(op)

    def constant(self, name: str, values: Sequence[float]) -> str:
        """A float32 vector beside the spec's tensors; returns its name."""
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

    def layer_norm(self, x: Value, weight: str, bias: str, eps: float) -> Value:
        """x less its mean, divided by its deviation, times weight + bias."""
        out = Value(x.width)
        self._add(Op("NORM", [x, None], [out], [weight, bias], u=(1,), f=(eps,)))
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

    def rope_table(
        self, frequencies: Sequence[float], factor: float = 1.0, streams: Sequence[int] | None = None
    ) -> Value:
        """Cosines and sines of position * frequency, for `rope`, times a factor. streams: of each frequency,
        whether an image's row has the position of its time (0), its row (1) or its column (2); without, its
        own."""
        out = Value(2 * len(frequencies))
        number = sum(op.kind == "ROPE_TABLE" for op in self.graph.ops)
        names: list[str | None] = [self.constant(f"rope.{number}", frequencies)]
        if streams is not None and self.images:
            names.append(self.constant(f"rope.{number}.streams", streams))
        self._add(Op("ROPE_TABLE", [], [out], names, f=(factor,)))
        return out

    def rope(self, x: Value, table: Value, heads: int) -> Value:
        """Rotary position embedding of each head's first values, in place: pairs (i, i + half)."""
        self._add(Op("ROPE", [x, table], [x], u=(heads,)))
        return x

    def patch_rope_table(self, rows: Sequence[float], columns: Sequence[float]) -> Value:
        """As rope_table, by a patch's place: first frequencies of its row, then those of its column."""
        out = Value(2 * (len(rows) + len(columns)))
        names: list[str | None] = [
            self.constant("rope.patches", [*rows, *columns]),
            self.constant("rope.streams", [1.0] * len(rows) + [2.0] * len(columns)),
        ]
        self._add(Op("ROPE_TABLE", [], [out], names, f=(1.0,)))
        return out

    def cache(self, heads: int, head_dim: int, window: int = 0) -> int:
        self.graph.caches.append(Cache(heads, head_dim, window))
        return len(self.graph.caches) - 1

    def kv_append(self, cache: int, key: Value, value: Value) -> None:
        self._add(Op("KV_APPEND", [key, value], cache=cache))

    def attention(
        self, cache: int, query: Value, heads: int, scale: float, cap: float = 0.0, *, images: bool = False
    ) -> Value:
        """Causal attention of `heads` query heads over the cache, which already holds these tokens. cap:
        scores s become cap * tanh(s / cap). images: what is of one image sees all of it."""
        out = Value(query.width)
        numbers = (heads, 1) if images and self.images else (heads,)
        self._add(Op("ATTENTION", [query], [out], cache=cache, u=numbers, f=(scale, cap)))
        return out

    def gated(self, gate: Value, up: Value, act: str = "silu") -> Value:
        """act(gate) * up, act one of ACTIVATIONS. A gate that is narrower has an element for each of as many
        parts of up."""
        out = Value(up.width)
        self._add(Op("GATED", [gate, up], [out], u=(ACTIVATIONS.index(act),)))
        return out

    def act(self, x: Value, act: str) -> Value:
        """act(x), act one of ACTIVATIONS."""
        out = Value(x.width)
        self._add(Op("GATED", [x, None], [out], u=(ACTIVATIONS.index(act),)))
        return out

    def route(self, logits: Value, chosen: int, *, normalize: bool, scale: float = 1.0) -> Value:
        """The `chosen` experts of each row with the highest logits, and their weights: of the softmax over all
        experts, or (normalize) over the chosen, times scale."""
        out = Value(chosen * _core.ROUTE_WIDTH)
        self._add(Op("ROUTE", [logits], [out], u=(chosen, int(normalize)), f=(scale,)))
        return out

    def route_sigmoid(
        self,
        logits: Value,
        bias: str,
        chosen: int,
        *,
        normalize: bool,
        scale: float = 1.0,
        added: float = 0.0,
    ) -> Value:
        """As route, by each expert's sigmoid: the `chosen` highest once the bias is added, which weights are
        without; normalize: over the sum of the chosen + added."""
        out = Value(chosen * _core.ROUTE_WIDTH)
        numbers = (chosen, int(normalize))
        self._add(Op("ROUTE_SIGMOID", [logits], [out], [bias], u=numbers, f=(scale, added)))
        return out

    def expert_gather(self, x: Value, routes: Value) -> Value:
        """Each row of x for each of its experts: what `expert_matmul` takes."""
        chosen = routes.width // _core.ROUTE_WIDTH
        out = Value(chosen * x.width, x.type)
        self._add(Op("EXPERT_GATHER", [x, routes], [out], u=(chosen,)))
        return out

    def expert_matmul(self, parts: Value, routes: Value, weight: str, experts: int) -> Value:
        """Each part times its expert's matrix; weight: those of all experts, one below the other."""
        chosen, rows = routes.width // _core.ROUTE_WIDTH, self.graph.tensors[weight].rows // experts
        if rows % _core.TILE:
            raise UnsupportedError(
                f"{weight}: an expert has {rows} rows; the native runtime needs a multiple of {_core.TILE}"
            )
        out = Value(chosen * rows)
        self._add(Op("EXPERT_MATMUL", [parts, routes], [out], [weight], u=(chosen,)))
        return out

    def expert_sum(self, parts: Value, routes: Value, residual: Value) -> Value:
        """The weighted sum of each row's parts + residual."""
        out = Value(residual.width)
        chosen = routes.width // _core.ROUTE_WIDTH
        self._add(Op("EXPERT_SUM", [parts, routes, residual], [out], u=(chosen, 0)))
        return out

    def shared_expert(self, part: Value, gate: Value, residual: Value) -> Value:
        """sigmoid(gate) * part + residual. gate: its first element is read."""
        out = Value(residual.width)
        self._add(Op("EXPERT_SUM", [part, gate, residual], [out], u=(1, 1)))
        return out

    def dot(self, x: Value, weight: str) -> Value:
        """x · weight, a vector, in the first element."""
        vector = self.graph.tensors[weight]
        # A matmul takes a matrix: the vector and a row of zeros.
        data = bytes(vector.data) + bytes(4 * vector.inputs)
        self.graph.tensors[weight] = Tensor("F32", 2, vector.inputs, data)
        return self.matmul(x, weight)

    def add(self, x: Value, y: Value, scale: float = 1.0) -> Value:
        """x + scale * y."""
        out = Value(x.width)
        self._add(Op("ADD", [x, y], [out], f=(scale,)))
        return out

    def scaled(self, x: Value, factor: str) -> Value:
        """x times a tensor of one number."""
        out = Value(x.width)
        self._add(Op("SCALE", [x], [out], [factor]))
        return out

    def slice(self, x: Value, begin: int, width: int, groups: int = 1) -> Value:
        """The elements begin to begin + width of each of the row's groups, joined."""
        out = Value(groups * width)
        self._add(Op("SLICE", [x], [out], u=(groups, begin)))
        return out

    def join(self, x: Value, y: Value) -> Value:
        """The elements of x, then those of y."""
        out = Value(x.width + y.width)
        self._add(Op("JOIN", [x, y], [out]))
        return out

    def given(self, x: Value, part: int) -> Value:
        """x, in place, + of an image's rows that part of what is given for them; the first, 0, stands in the
        place of an embedding, and all are as wide."""
        if self.images:
            self._add(Op("GIVEN", [x], [x], u=(part,)))
        return x

    def before(self, x: Value) -> Value:
        """x as it was at the token before; zeros at the first one. Its width is a multiple of 16."""
        taps = struct.pack("<2f", 1.0, 0.0) * x.width
        self.graph.tensors["before"] = Tensor("F32", x.width, 2, taps)
        return self.conv(x, "before")

    def _state(self, heads: int, rows: int, columns: int) -> int:
        self.graph.states.append(State(heads, rows, columns))
        return len(self.graph.states) - 1

    def conv(
        self, x: Value, weight: str, act: Literal["none", "silu"] = "none", bias: str | None = None
    ) -> Value:
        """Causal convolution of each channel by itself (+ bias). weight: [channels, taps], the last tap for the
        token itself; channels are a multiple of 16."""
        taps = self.graph.tensors[weight] = to_float32(self.graph.tensors[weight])
        out = Value(x.width)
        state = self._state(1, taps.inputs - 1, x.width)
        self._add(Op("CONV", [x], [out], [weight, bias], cache=state, u=(int(act == "silu"),)))
        return out

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
        """The gated delta rule over a state of shape (value heads, key_dim, value_dim), which decays by
        exp(rate * softplus(decay + bias)) and takes up values by sigmoid(beta), both a number a value head.

        queries_keys: every key head's query, then every key head's key. values: its last elements are every
        value head's; others may stand before them. Value head h reads key head h % key heads. key_dim is a
        multiple of 4, value_dim of 16.
        """
        heads = decay.width
        out = Value(heads * value_dim)
        state = self._state(heads, key_dim, value_dim)
        inputs: list[Value | None] = [queries_keys, values, decay, beta]
        key_heads = queries_keys.width // (2 * key_dim)
        self._add(Op("DELTA", inputs, [out], [rate, bias], cache=state, u=(key_heads,), f=(scale,)))
        return out

    def scan(
        self, x: Value, steps: Value, *, rate: str, bias: str, skip: str, groups: int, state_dim: int
    ) -> Value:
        """The selective state update of Mamba-2 (Dao and Gu, 2024) over a state of shape (heads, state_dim,
        head_dim), which decays by exp(rate * step) and takes up x by step, step = softplus(steps + bias), a
        number a head; + skip * x.

        x: every head's x, then every group's B, then every group's C. Head h reads group h // (heads / groups).
        state_dim is a multiple of 4, a head's width of 16.
        """
        width = x.width - 2 * groups * state_dim
        out = Value(width)
        state = self._state(steps.width, state_dim, width // steps.width)
        self._add(Op("SCAN", [x, steps], [out], [rate, bias, skip], cache=state, u=(groups,)))
        return out

    def logits(self, x: Value, head: str, *, cap: float = 0.0, scale: float = 1.0) -> None:
        """x · headᵀ, times scale, then capped as attention's scores."""
        self._add(Op("LOGITS", [x], [], [head], f=(cap, scale)))

    def patches(self, width: int) -> Value:
        """The pixels of each patch: floats [row][column][red, green, blue]."""
        out = Value(width)
        self._add(Op("PATCHES", [], [out]))
        return out

    def positions(self, x: Value, table: str, grid: str) -> Value:
        """x + a row of the table of each patch's place: one a place of a square, resized to the image, grid one
        of GRIDS."""
        out = Value(x.width)
        self._add(Op("POSITION", [x], [out], [table], u=(GRIDS.index(grid),)))
        return out

    def merge(self, x: Value, side: int, *, mean: bool = False) -> Value:
        """Of each square of side by side patches all rows joined, or their mean; what follows is of squares."""
        out = Value(x.width if mean else x.width * side**2)
        self._add(Op("MERGE", [x], [out], u=(side, int(mean))))
        return out

    def states(self, x: Value) -> None:
        """What an encoder ends in."""
        self._add(Op("STATES", [x], []))
