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
        for op in self.ops:
            getattr(run, op.kind.lower())(op)
        return run.values[self.ops[-1].inputs[0]]

    def linear(self, role: str, x: Tensor) -> Tensor:
        out: Tensor = self.get_submodule(role)(x)
        return out

    def vector(self, role: str) -> Tensor:
        return self._constants[role] if role in self._constants else self.get_parameter(role)


@dataclass
class _Run:
    """Images of one shape on their way through the ops, with a method for each kind. values: [images, rows,
    width] each."""

    module: GraphModule
    pixels: Tensor
    height: int
    width: int
    values: dict[Value | None, Tensor] = field(default_factory=dict)
    cached: dict[int | None, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def patches(self, op: Op) -> None:
        self.values[op.outputs[0]] = self.pixels

    def matmul(self, op: Op) -> None:
        x = self.values[op.inputs[0]]
        residual = op.inputs[1] if len(op.inputs) > 1 else None
        for place, out in enumerate(op.outputs):
            role = op.tensors[place]
            assert role is not None
            y = self.module.linear(role, x)
            self.values[out] = y if residual is None or place else y + self.values[residual]

    def position(self, op: Op) -> None:
        table = self._vector(op, 0)
        side, grid = int(len(table) ** 0.5 + 0.5), GRIDS[op.u[0]]
        down, across = (_places(grid, edge, side).to(table) for edge in (self.height, self.width))
        with torch.autocast(table.device.type, enabled=False):
            rows = torch.einsum("ys,xt,std->yxd", down, across, table.view(side, side, -1)).flatten(0, 1)
        self.values[op.outputs[0]] = self.values[op.inputs[0]] + rows

    def norm(self, op: Op) -> None:
        x, weight = self.values[op.inputs[0]], self._vector(op, 0)
        if len(op.tensors) > 1:
            y = functional.layer_norm(x, weight.shape, weight, self._vector(op, 1), op.f[0])
        else:
            y = functional.rms_norm(x, weight.shape, weight, op.f[0])
        self.values[op.outputs[0]] = y

    def rope_table(self, op: Op) -> None:
        """[height * width, frequencies]: by a patch's row (stream 1) or its column (2)."""
        frequencies, streams = (self._vector(op, place).to(self.pixels) for place in (0, 1))
        place = torch.arange(self.height * self.width, device=streams.device)[:, None]
        places = torch.where(streams == 1, place // self.width, place % self.width)
        self.values[op.outputs[0]] = places * frequencies

    def rope(self, op: Op) -> None:
        x, angle = (self.values[value] for value in op.inputs)
        half = angle.shape[-1]
        heads = torch.unflatten(x, -1, (op.u[0], -1))
        a, b, rest = heads[..., :half], heads[..., half : 2 * half], heads[..., 2 * half :]
        cos, sin = angle.cos()[:, None], angle.sin()[:, None]
        self.values[op.outputs[0]] = torch.cat([a * cos - b * sin, b * cos + a * sin, rest], -1).flatten(-2)

    def kv_append(self, op: Op) -> None:
        self.cached[op.cache] = self.values[op.inputs[0]], self.values[op.inputs[1]]

    def attention(self, op: Op) -> None:
        """All patches of an image attend to all."""
        given = (self.values[op.inputs[0]], *self.cached[op.cache])
        q, k, v = (torch.unflatten(one, -1, (op.u[0], -1)).transpose(1, 2) for one in given)
        out = functional.scaled_dot_product_attention(q, k, v, scale=op.f[0])
        self.values[op.outputs[0]] = out.transpose(1, 2).flatten(-2)

    def gated(self, op: Op) -> None:
        form = _GELU[ACTIVATIONS[op.u[0]]]
        self.values[op.outputs[0]] = functional.gelu(self.values[op.inputs[0]], approximate=form)

    def merge(self, op: Op) -> None:
        side, is_mean = op.u
        x = torch.unflatten(self.values[op.inputs[0]], 1, (self.height // side, side, self.width // side, side))
        squares = x.transpose(2, 3).flatten(3, 4).flatten(1, 2)  # [images, squares, patches of one, width]
        self.values[op.outputs[0]] = squares.mean(2) if is_mean else squares.flatten(2)

    def join(self, op: Op) -> None:
        self.values[op.outputs[0]] = torch.cat([self.values[value] for value in op.inputs], -1)

    def states(self, op: Op) -> None:
        """The result, which `forward` reads."""

    def _vector(self, op: Op, place: int) -> Tensor:
        role = op.tensors[place]
        assert role is not None
        return self.module.vector(role)


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
