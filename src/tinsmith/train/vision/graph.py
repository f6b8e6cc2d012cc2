"""A vision model's graph by torch's operations, with gradients: the core's computation on an image's patches,
for every encoder and projector."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from tinsmith.compiler.vision import matrices_of
from tinsmith.graph import ACTIVATIONS, GRIDS, Graph, Op, Value
from tinsmith.spec import Tensor as SpecTensor
from tinsmith.train.tensors import from_float32, to_float32

_CONSTANTS = ("ROPE_TABLE",)  # kinds of op whose tensors are not weights
_GELU = {"gelu": "tanh", "gelu_erf": "none"}


class GraphModule(nn.Module):
    """A matrix is a Linear at its role, with its bias; any other weight is a parameter there. matrices: the
    adaptable ones."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.ops, self.matrices = graph.ops, matrices_of(graph)
        self._constants: dict[str, Tensor] = {}
        self._biases: dict[str, str] = {}  # by the role of the matrix
        for op in graph.ops:
            for place, role in enumerate(op.tensors):
                if role is not None:
                    self._hold(role, op, place, graph.tensors[role])

    def _hold(self, role: str, op: Op, place: int, tensor: SpecTensor) -> None:
        values = torch.from_numpy(to_float32(tensor))
        if op.kind in _CONSTANTS:
            self._constants[role] = values[0]
            return
        path, _, name = role.rpartition(".")
        owner: nn.Module = self
        for part in path.split(".") if path else ():
            if part not in owner._modules:
                owner.add_module(part, nn.Module())
            owner = owner.get_submodule(part)
        if op.kind == "MATMUL" and place >= 3:
            matrix = op.tensors[place - 3]
            assert matrix is not None
            self._biases[matrix] = role
            self.get_submodule(matrix).bias = nn.Parameter(values[0])
            return
        if op.kind != "MATMUL":
            owner.register_parameter(name, nn.Parameter(values if tensor.rows > 1 else values[0]))
            return
        linear = nn.Linear(tensor.inputs, tensor.rows, bias=False, device="meta")
        linear.weight = nn.Parameter(values)
        owner.add_module(name, linear)

    def weights(self) -> dict[str, SpecTensor]:
        """By role, F32."""
        names = {f"{matrix}.bias": bias for matrix, bias in self._biases.items()}
        stored = self.state_dict().items()
        weights = {names.get(name, name.removesuffix(".weight")): value for name, value in stored}
        return {
            role: from_float32((value if value.ndim > 1 else value[None]).cpu().numpy())
            for role, value in weights.items()
        }

    def forward(self, patches: Tensor, height: int, width: int) -> Tensor:
        """patches: float32 [images, height * width, floats of a patch], pixel by pixel, to [images, states,
        width of a state]."""
        run = _Run(self, patches, height, width)
        values: dict[Value | None, Tensor] = {}
        *ops, states = self.ops
        for op in ops:
            inputs = [values[value] for value in op.inputs if value is not None]
            outputs = getattr(run, op.kind.lower())(op, *inputs)
            values |= zip(op.outputs, [outputs] if isinstance(outputs, Tensor) else outputs, strict=True)
        return values[states.inputs[0]]

    def vector(self, op: Op, place: int) -> Tensor:
        """A tensor of an op that is no matrix."""
        role = op.tensors[place]
        assert role is not None
        return self._constants[role] if role in self._constants else self.get_parameter(role)


@dataclass
class _Run:
    """Images of one shape on their way through the ops. Each kind of op has a method, from its inputs to its
    outputs: [images, rows, width] each."""

    module: GraphModule
    pixels: Tensor
    height: int
    width: int
    cached: dict[int | None, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def patches(self, op: Op) -> Tensor:
        return self.pixels

    def matmul(self, op: Op, x: Tensor, residual: Tensor | None = None) -> list[Tensor]:
        made = [self.module.get_submodule(role)(x) for role in op.tensors[:3] if role is not None]
        return made if residual is None else [made[0] + residual, *made[1:]]

    def position(self, op: Op, x: Tensor) -> Tensor:
        table = self.module.vector(op, 0)
        side, grid = int(len(table) ** 0.5 + 0.5), GRIDS[op.u[0]]
        down, across = (_places(grid, edge, side).to(table) for edge in (self.height, self.width))
        with torch.autocast(table.device.type, enabled=False):
            rows = torch.einsum("ys,xt,std->yxd", down, across, table.view(side, side, -1)).flatten(0, 1)
        return x + rows

    def norm(self, op: Op, x: Tensor) -> Tensor:
        weight = self.module.vector(op, 0)
        if len(op.tensors) > 1:
            return functional.layer_norm(x, weight.shape, weight, self.module.vector(op, 1), op.f[0])
        return functional.rms_norm(x, weight.shape, weight, op.f[0])

    def rope_table(self, op: Op) -> Tensor:
        """[height * width, frequencies]: by a patch's row (stream 1) or its column (2)."""
        frequencies, streams = (self.module.vector(op, place).to(self.pixels) for place in (0, 1))
        place = torch.arange(self.height * self.width, device=streams.device)[:, None]
        return torch.where(streams == 1, place // self.width, place % self.width) * frequencies

    def rope(self, op: Op, x: Tensor, angle: Tensor) -> Tensor:
        half = angle.shape[-1]
        heads = torch.unflatten(x, -1, (op.u[0], -1))
        a, b, rest = heads[..., :half], heads[..., half : 2 * half], heads[..., 2 * half :]
        cos, sin = angle.cos()[:, None], angle.sin()[:, None]
        return torch.cat([a * cos - b * sin, b * cos + a * sin, rest], -1).flatten(-2)

    def kv_append(self, op: Op, keys: Tensor, values: Tensor) -> list[Tensor]:
        self.cached[op.cache] = keys, values
        return []

    def attention(self, op: Op, queries: Tensor) -> Tensor:
        """All patches of an image attend to all."""
        given = (queries, *self.cached[op.cache])
        q, k, v = (torch.unflatten(one, -1, (op.u[0], -1)).transpose(1, 2) for one in given)
        out = functional.scaled_dot_product_attention(q, k, v, scale=op.f[0])
        return out.transpose(1, 2).flatten(-2)

    def gated(self, op: Op, x: Tensor) -> Tensor:
        return functional.gelu(x, approximate=_GELU[ACTIVATIONS[op.u[0]]])

    def merge(self, op: Op, x: Tensor) -> Tensor:
        side, is_mean = op.u
        x = torch.unflatten(x, 1, (self.height // side, side, self.width // side, side))
        squares = x.transpose(2, 3).flatten(3, 4).flatten(1, 2)  # [images, squares, patches of one, width]
        return squares.mean(2) if is_mean else squares.flatten(2)

    def join(self, op: Op, *parts: Tensor) -> Tensor:
        return torch.cat(parts, -1)


def _places(grid: str, count: int, side: int) -> Tensor:
    """The interpolation weight of each table position for each of `count` patches, [count, side]; op_vision.c
    defines it."""
    own, other = torch.arange(count)[:, None], torch.arange(side)[None]
    if grid == "nearest":
        return (own * side // count == other).float()
    if grid == "corners":
        return (1 - (own * (side - 1) / max(count - 1, 1) - other).abs()).clamp(min=0)
    step = side / count
    weights = (1 - ((other + 0.5) - (own + 0.5) * step).abs() / max(step, 1.0)).clamp(min=0)
    return weights / weights.sum(1, keepdim=True)
