"""A GGUF's blocks in a graph: onnxruntime computes with exactly these weights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.models.tiny_models import in_format
from tinsmith import _core
from tinsmith.backends.onnx_blocks import keep_blocks
from tinsmith.models import Spec, Tensor

np = pytest.importorskip("numpy")
ort = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

ROWS, INPUTS = 48, 64


def matrix(kind: str, rows: int, seed: int) -> Tensor:
    floats = np.random.default_rng(seed).normal(size=(rows, INPUTS)).astype(np.float32)
    return Tensor(kind, rows, INPUTS, _core.quantize(kind, floats.tobytes(), rows, INPUTS))


def floats_of(tensor: Tensor) -> Any:
    data = _core.dequantize(tensor.format, tensor.data, tensor.rows, tensor.inputs)
    return np.frombuffer(data, np.float32).reshape(tensor.rows, tensor.inputs)


def graph(table: Any, product: Any, *, tied: bool) -> Any:
    """x = table[ids]; y = x · productᵀ. tied: the table is the product's weight, transposed."""
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Gather", ["turned" if tied else "table", "ids"], ["x"], "lookup"),
        helper.make_node("MatMul", ["x", "weight"], ["y"], "product"),
    ]
    stored = [numpy_helper.from_array(np.ascontiguousarray(product.T), "weight")]
    if tied:
        nodes.insert(0, helper.make_node("Transpose", ["weight"], ["turned"], perm=[1, 0]))
    else:
        stored.append(numpy_helper.from_array(table, "table"))
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", "y")]
    ids = helper.make_tensor_value_info("ids", TensorProto.INT64, ["n"])
    made = helper.make_graph(nodes, "g", [ids], outputs, stored)
    versions = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(made, opset_imports=versions, ir_version=10)


def run(model: Any, ids: Any) -> list[Any]:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    outputs: list[Any] = session.run(None, {"ids": ids})
    return outputs


@pytest.fixture
def empty(spec: Spec) -> Spec:
    return replace(spec, tensors={})


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("kind", ["Q4_0", "Q8_0"])
def test_products_and_lookups_are_of_the_same_weights(empty: Spec, kind: str, tied: bool) -> None:
    table, product = matrix(kind, ROWS, 1), matrix(kind, ROWS, 2)
    if tied:
        table = product
    model = graph(floats_of(table), floats_of(product), tied=tied)
    ids = np.arange(ROWS)
    assert keep_blocks(model, replace(empty, tensors={"embed": table, "head": product})) == 2
    assert {node.op_type for node in model.graph.node} == {"Reshape", "GatherBlockQuantized", "MatMulNBits"}
    assert all(stored.data_type != 1 or "scales" in stored.name for stored in model.graph.initializer)
    looked_up, products = run(model, ids)
    assert np.array_equal(looked_up, floats_of(table))
    exact = floats_of(table) @ floats_of(product).T
    # Activations are rounded to int8: a step of 1/127 of a row's largest, once a block.
    assert np.abs(products - exact).max() <= 0.02 * np.abs(exact).max()


def test_rows_of_several_tensors_are_one_product(empty: Spec) -> None:
    parts = {role: matrix("Q4_0", rows, rows) for role, rows in (("q", 32), ("k", 16), ("v", 16))}
    together = np.concatenate([floats_of(tensor) for tensor in parts.values()])
    table = np.random.default_rng(3).normal(size=(4, INPUTS)).astype(np.float32)
    model = graph(table, together, tied=False)
    assert keep_blocks(model, replace(empty, tensors=parts)) == 1
    assert (
        np.abs(run(model, np.arange(4))[1] - table @ together.T).max()
        <= 0.02 * np.abs(table @ together.T).max()
    )


def test_other_weights_stay_as_they_are(empty: Spec) -> None:
    first, second = matrix("Q4_0", 16, 1), matrix("Q8_0", 16, 2)
    mixed = np.concatenate([floats_of(first), floats_of(second)])  # of two formats
    model = graph(mixed + 1, mixed, tied=False)
    before = model.SerializeToString()
    assert keep_blocks(model, replace(empty, tensors={"a": first, "b": second})) == 0
    assert model.SerializeToString() == before


def test_a_spec_without_such_blocks_has_none_to_keep(spec: Spec) -> None:
    for kind in ("F32", "Q4_1"):
        quantized = in_format(spec, kind)
        model = graph(floats_of(quantized.tensors["embed"]), floats_of(quantized.tensors["head"]), tied=False)
        assert keep_blocks(model, quantized) == 0
