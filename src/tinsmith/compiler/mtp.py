"""The graph of a model's layer for multi-token prediction: a second program in the tin, with the same
weights."""

from __future__ import annotations

from tinsmith.compiler.passes import lower
from tinsmith.compiler.program import tensors_of
from tinsmith.graph import Graph, GraphBuilder
from tinsmith.models import family
from tinsmith.spec import Spec

PROGRAM = "mtp/program.bin"


def add_mtp(spec: Spec, graph: Graph) -> Graph | None:
    """The layer's graph; adds its tensors to those of the model's graph. None for a spec without such a
    layer."""
    if not family.by_name(spec.family).predicts(spec.hyper):
        return None
    builder = GraphBuilder(spec.tensors, images=spec.vision is not None)
    family.by_name(spec.family).mtp_graph(spec.hyper, builder)
    lower(builder.graph)
    own = tensors_of(graph)
    more = {name: builder.graph.tensors[name] for name in tensors_of(builder.graph) if name not in own}
    builder.graph.tensors = graph.tensors = graph.tensors | more
    return builder.graph
