"""The lowered graph and its memory plan, for every family, in every weight format."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from tests.models.tiny_models import small, tiny_spec
from tinsmith import _core
from tinsmith.compiler.build import compile_graph
from tinsmith.compiler.passes import mark_merged, merge_early, plan_memory, row_bytes
from tinsmith.formats.weights import WEIGHT_FORMATS
from tinsmith.graph import Graph, GraphBuilder, Value
from tinsmith.models import Spec, Tensor
from tinsmith.models.family import families


def graph_of(family_name: str, pick: object) -> Graph:
    """A family's lowered graph with each matrix in the format that `pick(role)` names; data are not read."""
    family = next(family for family in families() if family.name == family_name)
    spec: Spec = tiny_spec(family, hidden_size=64, intermediate_size=96)
    tensors = {
        role: tensor if small(tensor) else Tensor(pick(role), tensor.rows, tensor.inputs, b"")  # type: ignore[operator]
        for role, tensor in spec.tensors.items()
    }
    return compile_graph(replace(spec, tensors=tensors))


NAMES = [family.name for family in families()]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("weights", WEIGHT_FORMATS)
def test_matmuls_read_what_their_weights_need(name: str, weights: str) -> None:
    graph = graph_of(name, lambda role: weights)
    matmuls = [op for op in graph.ops if op.kind in ("MATMUL", "EXPERT_MATMUL", "LOGITS")]
    assert weights in {graph.tensors[op.tensors[0]].format for op in matmuls if op.tensors[0]}
    for op in matmuls:
        source, tensor = op.inputs[0], op.tensors[0]
        assert source
        assert tensor
        assert source.type.lower() == WEIGHT_FORMATS[graph.tensors[tensor].format].activations


@pytest.mark.parametrize("name", NAMES)
def test_mixed_formats_split_a_joint_matmul(name: str) -> None:
    formats = list(WEIGHT_FORMATS)
    source = random.Random(3)
    graph = graph_of(name, lambda role: source.choice(formats))
    for op in graph.ops:
        if op.kind == "MATMUL":
            kinds = {WEIGHT_FORMATS[graph.tensors[t].format].activations for t in op.tensors[:3] if t}
            assert len(kinds) == 1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("weights", ["F32", "Q4_0"])
def test_a_value_is_quantized_once(name: str, weights: str) -> None:
    graph = graph_of(name, lambda role: weights)
    made = [out for op in graph.ops for out in op.outputs if out is not None and out.type == "Q8"]
    assert len(made) == len(set(made))
    assert bool(made) == (weights == "Q4_0")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("weights", ["F32", "Q4_0"])
def test_values_alive_together_never_overlap(name: str, weights: str) -> None:
    graph = graph_of(name, lambda role: weights)
    offsets, size = plan_memory(graph)
    place: dict[int, Value] = {}  # what each 64-byte line of the arena holds
    last = {value: k for k, op in enumerate(graph.ops) for value in [*op.inputs, *op.outputs] if value}
    for k, op in enumerate(graph.ops):
        for value in op.inputs:
            if value is not None:
                assert all(place[line] is value for line in lines(value, offsets[value])), (k, op.kind)
        for out in op.outputs:
            if out is None:
                continue
            for line in lines(out, offsets[out]):
                held = place.get(line)
                assert held in (None, out) or last[held] <= k, (k, op.kind)
                place[line] = out
    assert size == max(lines(value, offsets[value]).stop for value in offsets) * _core.ALIGNMENT


def lines(value: Value, offset: int) -> range:
    assert offset % _core.ALIGNMENT == 0
    return range(offset // _core.ALIGNMENT, -(-(offset + row_bytes(value)) // _core.ALIGNMENT))


@pytest.mark.parametrize("name", NAMES)
def test_rows_without_logits_are_skipped_after_the_last_cache(name: str) -> None:
    graph = graph_of(name, lambda role: "Q8_0")
    kept = [k for k, op in enumerate(graph.ops) if op.kind in ("KV_APPEND", "CONV", "DELTA", "SCAN")]
    assert [op.logit_rows for op in graph.ops] == [k > kept[-1] for k in range(len(graph.ops))]


def test_what_is_of_merged_patches_comes_before_the_next_layer() -> None:
    """So the states that it is made of need not be kept, and an image takes less memory."""
    tensors = {"layer": Tensor("F32", 64, 64, b""), "down": Tensor("F32", 16, 256, b"")}
    g = GraphBuilder(tensors)
    states = [g.patches(64)]
    for _ in range(4):
        states.append(g.matmul(states[-1], "layer", residual=states[-1]))
    row, *rest = (g.matmul(g.merge(x, 2), "down") for x in reversed(states[1:]))
    for part in rest:
        row = g.join(row, part)
    g.states(row)
    mark_merged(g.graph)
    late = plan_memory(g.graph)[1]
    merge_early(g.graph)
    assert plan_memory(g.graph)[1] < 0.7 * late
    kinds = " ".join(op.kind for op in g.graph.ops)
    assert kinds == "PATCHES" + " MATMUL MERGE MATMUL" * 4 + " JOIN" * 3 + " STATES"
    known: set[Value] = set()
    for op in g.graph.ops:
        assert known.issuperset(value for value in op.inputs if value is not None)
        known.update(value for value in op.outputs if value is not None)
        assert op.logit_rows == all(value.share == 4 for value in op.outputs if value is not None)
