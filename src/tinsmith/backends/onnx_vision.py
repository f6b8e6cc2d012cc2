"""Exports a vision model to ONNX: encoder and projector in one graph, from our own graph.

onnxruntime-genai's model builder exports the language model alone. `pixel_values`, float32 [images, 3, rows,
columns], resized and normalized, become `image_features`, float32 [images, tokens, width], where an image is a
tile or a whole image. Attention is onnxruntime's MultiHeadAttention; products of quantized weights, its
MatMulNBits; the rest are standard ops.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tinsmith.backends.onnx_blocks import BITS, BLOCK, packed
from tinsmith.compiler.vision import graph_of
from tinsmith.formats.weights import to_float32
from tinsmith.graph import ACTIVATIONS, Graph, Op, Value
from tinsmith.quant import vision as quant_vision
from tinsmith.spec import Tensor, Vision
from tinsmith.vision.image_rules import Square, Tiles

MODEL = "vision.onnx"
INPUT, OUTPUT = "pixel_values", "image_features"
# The preset by an export's precision; `same` keeps the weights.
PRESETS = {"int4": "Q4_0", "int8": "Q8_0", "fp16": "F16", "fp32": "F32"}
_OPSET, _IR = 23, 11
_MICROSOFT = "com.microsoft"


def why_not(vision: Vision) -> str | None:
    """The reason why a vision model can't be exported; None for one that can."""
    if isinstance(vision.image_rules, Square | Tiles):
        return None
    return "its images have any shape, and positions are resized to it; an ONNX graph has a fixed shape"


def export(vision: Vision, folder: Path, precision: str) -> None:
    """Writes vision.onnx and its data, of a vision model without a reason in `why_not`. precision: as for the
    language model."""
    import onnx

    vision = quant_vision.apply(vision, PRESETS[precision]) if precision in PRESETS else vision
    model = _Writer(vision).model()
    data = f"{MODEL}.data"
    # The threshold keeps shapes in the graph itself, as they must be.
    onnx.save(model, folder / MODEL, save_as_external_data=True, location=data, size_threshold=256)
    (folder / data).chmod((folder / MODEL).stat().st_mode)  # onnx makes it the owner's alone


class _Writer:
    """A public method writes the nodes of the op of that name. Nodes are named like their outputs."""

    def __init__(self, vision: Vision) -> None:
        self._graph: Graph
        self._graph, states = graph_of(vision)
        self._patch, self._side = vision.sizes.patch, vision.sizes.side
        self._tokens, self._width = (vision.sizes.side // vision.joint.merge) ** 2, states.width
        self._nodes: list[Any] = []
        self._stored: dict[str, Any] = {}
        self._names: dict[Value, str] = {}
        self._keys: dict[int | None, tuple[str, str]] = {}  # a cache's latest keys and values

    def model(self) -> Any:
        from onnx import TensorProto, helper

        for op in self._graph.ops:
            getattr(self, op.kind.lower())(op)
        edge = self._side * self._patch
        given = helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["images", 3, edge, edge])
        made = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["images", self._tokens, self._width])
        graph = helper.make_graph(self._nodes, "vision", [given], [made], list(self._stored.values()))
        opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(_MICROSOFT, 1)]
        return helper.make_model(graph, ir_version=_IR, opset_imports=opsets, producer_name="tinsmith")

    def _node(self, kind: str, inputs: list[str], domain: str = "", out: str = "", **attributes: Any) -> str:
        from onnx import helper

        out = out or f"{kind}.{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [out], out, domain=domain, **attributes))
        return out

    def _constant(self, name: str, array: Any) -> str:
        from onnx import numpy_helper

        if name not in self._stored:
            self._stored[name] = numpy_helper.from_array(array, name)
        return name

    def _sizes(self, *sizes: int) -> str:
        import numpy

        return self._constant("sizes." + "x".join(map(str, sizes)), numpy.array(sizes, numpy.int64))

    def _floats(self, role: str, *, transposed: bool = False) -> str:
        """A tensor as float32, one row as a vector. transposed: [inputs, rows]. F16 weights stay, behind a
        cast, which onnxruntime computes once."""
        import numpy
        from onnx import TensorProto

        tensor = self._graph.tensors[role]
        is_half = tensor.format == "F16"
        if role in self._stored:
            return f"{role}.wide" if is_half else role
        data, kind = (tensor.data, numpy.float16) if is_half else (to_float32(tensor).data, numpy.float32)
        array = numpy.frombuffer(data, kind).reshape(tensor.rows, tensor.inputs)
        array = array[0] if tensor.rows == 1 else numpy.ascontiguousarray(array.T) if transposed else array
        name = self._constant(role, array)
        return self._node("Cast", [name], out=f"{name}.wide", to=TensorProto.FLOAT) if is_half else name

    def _put(self, op: Op, name: str, place: int = 0) -> None:
        value = op.outputs[place]
        assert value is not None
        self._names[value] = name

    def _in(self, op: Op, place: int) -> str:
        value = op.inputs[place]
        assert value is not None
        return self._names[value]

    def patches(self, op: Op) -> None:
        """A patch's floats are [row][column][channel]."""
        side, patch = self._side, self._patch
        x = self._node("Reshape", [INPUT, self._sizes(-1, 3, side, patch, side, patch)])
        x = self._node("Transpose", [x], perm=[0, 2, 4, 3, 5, 1])
        self._put(op, self._node("Reshape", [x, self._sizes(-1, side**2, 3 * patch**2)]))

    def matmul(self, op: Op) -> None:
        residual = op.inputs[1] if len(op.inputs) > 1 else None
        for place in range(len(op.outputs)):
            role = op.tensors[place]
            assert role is not None
            y = self._product(self._in(op, 0), role, self._graph.tensors[role])
            bias = op.tensors[3 + place] if len(op.tensors) > 3 + place else None
            if bias:
                y = self._node("Add", [y, self._floats(bias)])
            if residual and not place:
                y = self._node("Add", [y, self._names[residual]])
            self._put(op, y, place)

    def _product(self, x: str, role: str, tensor: Tensor) -> str:
        if tensor.format not in BITS:
            return self._node("MatMul", [x, self._floats(role, transposed=True)])
        arrays = packed([tensor])
        names = [
            self._constant(f"{role}.{part}", a) for part, a in zip(("blocks", "scales"), arrays, strict=True)
        ]
        more: dict[str, Any] = {"K": tensor.inputs, "N": tensor.rows, "bits": BITS[tensor.format]}
        more |= {"block_size": BLOCK, "accuracy_level": 4}
        return self._node("MatMulNBits", [x, *names], _MICROSOFT, **more)

    def position(self, op: Op) -> None:
        """An image has as many patches as the table has positions, so it is not resized."""
        assert op.tensors[0] is not None
        self._put(op, self._node("Add", [self._in(op, 0), self._floats(op.tensors[0])]))

    def norm(self, op: Op) -> None:
        roles = [role for role in op.tensors if role]
        given = [self._in(op, 0), *map(self._floats, roles)]
        kind = "LayerNormalization" if len(roles) == 2 else "RMSNormalization"
        self._put(op, self._node(kind, given, axis=-1, epsilon=op.f[0]))

    def kv_append(self, op: Op) -> None:
        self._keys[op.cache] = self._in(op, 0), self._in(op, 1)

    def attention(self, op: Op) -> None:
        given = [self._in(op, 0), *self._keys[op.cache]]
        self._put(op, self._node("MultiHeadAttention", given, _MICROSOFT, num_heads=op.u[0], scale=op.f[0]))

    def gated(self, op: Op) -> None:
        assert op.inputs[1] is None
        form = {"gelu": "tanh", "gelu_erf": "none"}[ACTIVATIONS[op.u[0]]]
        self._put(op, self._node("Gelu", [self._in(op, 0)], approximate=form))

    def merge(self, op: Op) -> None:
        """The rows of each square, concatenated or averaged."""
        side, is_mean = op.u
        value = op.inputs[0]
        assert value is not None
        across, width = self._side // side, value.width
        x = self._node("Reshape", [self._in(op, 0), self._sizes(-1, across, side, across, side, width)])
        x = self._node("Transpose", [x], perm=[0, 1, 3, 2, 4, 5])
        shape = (-1, across**2, side**2, width) if is_mean else (-1, across**2, side**2 * width)
        x = self._node("Reshape", [x, self._sizes(*shape)])
        self._put(op, self._node("ReduceMean", [x, self._sizes(2)], keepdims=0) if is_mean else x)

    def states(self, op: Op) -> None:
        self._node("Identity", [self._in(op, 0)], out=OUTPUT)
