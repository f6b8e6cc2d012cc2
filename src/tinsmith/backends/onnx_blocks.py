"""Keeps a GGUF's Q4_0 and Q8_0 blocks in an ONNX graph: onnxruntime's MatMulNBits and GatherBlockQuantized
compute with them, so the weights are not rounded again.

Both are blocks of 32 weights with one scale: scale * (q - 8) with four bits, scale * (q - 128) with eight. GGUF
has a float16 scale, and bytes with the nibbles of weights i and i + 16; ONNX, a float32 scale, and those of
weights 2 i and 2 i + 1.
"""

from __future__ import annotations

from typing import Any

from tinsmith import _core
from tinsmith.spec import Spec, Tensor

BLOCK = 32
BITS = {"Q4_0": 4, "Q8_0": 8}


def keep_blocks(model: Any, spec: Spec) -> int:
    """Replaces float32 products and lookups of a loaded ONNX model, which has the spec's dequantized weights,
    by ones with the spec's blocks. Returns their number."""
    keeper = _Keeper(model, spec)
    for node in list(model.graph.node):
        if node.op_type == "MatMul":
            keeper.product(node)
    for node in list(model.graph.node):
        if node.op_type == "Gather":
            keeper.lookup(node)
    keeper.drop_unused()
    return keeper.changed


class _Keeper:
    """Identifies a weight of the graph by its values: its rows are those of one tensor, or of several
    consecutive ones of one format."""

    def __init__(self, model: Any, spec: Spec) -> None:
        self.changed = 0
        self._graph = model.graph
        self._stored = {one.name: one for one in model.graph.initializer}
        self._known = _first_rows(spec)
        self._packed: dict[str, list[str]] = {}  # names of blocks and scales, by the float weight's

    def product(self, node: Any) -> None:
        """x · weight, [inputs, rows] float32."""
        layout = self._blocks(node.input[1], transposed=True)
        if layout is None:
            return
        bits, rows, inputs = layout
        more = {"K": inputs, "N": rows, "bits": bits, "block_size": BLOCK, "accuracy_level": 4}
        self._become(node, "MatMulNBits", [node.input[0], *self._packed[node.input[1]]], more)

    def lookup(self, node: Any) -> None:
        """Rows of a table [rows, inputs], or of a product's weight that is transposed to it."""
        import numpy
        from onnx import helper, numpy_helper

        transpose = next((one for one in self._graph.node if one.output[0] == node.input[0]), None)
        if transpose is not None and transpose.op_type != "Transpose":
            return
        name = node.input[0] if transpose is None else transpose.input[0]
        layout = self._blocks(name, transposed=transpose is not None)
        if layout is None:
            return
        bits, rows, inputs = layout
        blocks, scales = self._packed[name]
        sizes = numpy.array([rows, inputs * bits // 8], numpy.int64)
        shape = numpy_helper.from_array(sizes, f"{blocks}.shape")
        self._graph.initializer.append(shape)
        flat = helper.make_node("Reshape", [blocks, shape.name], [f"{blocks}.flat"], f"{node.name}/Reshape")
        self._graph.node.insert(0, flat)
        more = {"bits": bits, "block_size": BLOCK, "gather_axis": 0, "quantize_axis": 1}
        self._become(node, "GatherBlockQuantized", [flat.output[0], node.input[1], scales], more)
        if transpose is not None:
            self._graph.node.remove(transpose)

    def drop_unused(self) -> None:
        used = {name for node in self._graph.node for name in node.input}
        for name in self._packed.keys() - used:
            self._graph.initializer.remove(self._stored[name])

    def _become(self, node: Any, kind: str, inputs: list[str], attributes: dict[str, int]) -> None:
        from onnx import helper

        node.op_type, node.domain = kind, "com.microsoft"
        node.input[:] = inputs
        del node.attribute[:]
        node.attribute.extend(helper.make_attribute(name, value) for name, value in attributes.items())
        self.changed += 1

    def _blocks(self, name: str, *, transposed: bool) -> tuple[int, int, int] | None:
        """The bits, rows and inputs of a float weight that has blocks; adds their names to `_packed`."""
        from onnx import numpy_helper

        weight = self._stored.get(name)
        if weight is None or len(weight.dims) != 2:
            return None
        rows, inputs = reversed(weight.dims) if transposed else weight.dims
        if inputs % BLOCK:
            return None
        floats = numpy_helper.to_array(weight)
        tensors = self._tensors_of(floats.T if transposed else floats)
        if not tensors or len({tensor.format for tensor in tensors}) > 1:
            return None
        if name not in self._packed:
            names = [f"{name}.blocks", f"{name}.scales"]
            self._graph.initializer.extend(map(numpy_helper.from_array, packed(tensors), names))
            self._packed[name] = names
        return BITS[tensors[0].format], rows, inputs

    def _tensors_of(self, rows: Any) -> list[Tensor]:
        """The tensors that make up a float32 matrix [rows, inputs]; empty where none do."""
        tensors: list[Tensor] = []
        at = 0
        while at < len(rows):
            for tensor in self._known.get(rows[at].tobytes(), []):
                floats = _core.dequantize(tensor.format, tensor.data, tensor.rows, tensor.inputs)
                if rows[at : at + tensor.rows].tobytes() == floats:
                    tensors.append(tensor)
                    at += tensor.rows
                    break
            else:
                return []
        return tensors


def _first_rows(spec: Spec) -> dict[bytes, list[Tensor]]:
    """Matrices in these formats, by their first row as float32."""
    by_row: dict[bytes, list[Tensor]] = {}
    for tensor in spec.tensors.values():
        if tensor.rows > 1 and tensor.format in BITS:
            data = memoryview(tensor.data).cast("B")
            row = _core.dequantize(tensor.format, data[: len(data) // tensor.rows], 1, tensor.inputs)
            by_row.setdefault(row, []).append(tensor)
    return by_row


def packed(tensors: list[Tensor]) -> tuple[Any, Any]:
    """uint8 [rows, blocks, bytes] and float32 scales [rows, blocks]."""
    import numpy

    rows, blocks = sum(tensor.rows for tensor in tensors), tensors[0].inputs // BLOCK
    data = numpy.frombuffer(b"".join(tensor.data for tensor in tensors), numpy.uint8).reshape(rows, blocks, -1)
    scales = numpy.ascontiguousarray(data[:, :, :2]).view(numpy.float16)[:, :, 0].astype(numpy.float32)
    values = data[:, :, 2:]
    if BITS[tensors[0].format] == 8:
        return values ^ 0x80, scales  # from two's complement to an offset of 128
    nibbles = numpy.concatenate([values & 15, values >> 4], axis=2)
    return nibbles[:, :, 0::2] | nibbles[:, :, 1::2] << 4, scales
