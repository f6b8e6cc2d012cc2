"""A model's layer that predicts a further token (multi-token prediction), to a second program in the tin, which
reads the same weights."""

from __future__ import annotations

from tinsmith.compiler.passes import lower
from tinsmith.compiler.program import Program, tensors_of, write_program
from tinsmith.graph import Graph, GraphBuilder
from tinsmith.models import family
from tinsmith.spec import Spec

PROGRAM = "mtp/program.bin"


def add_mtp(spec: Spec, graph: Graph) -> Graph | None:
    """What the layer computes, its tensors put beside those of the model's own graph; None: the spec has
    none."""
    if not family.by_name(spec.family).predicts(spec.hyper):
        return None
    builder = GraphBuilder(spec.tensors, images=spec.vision is not None)
    family.by_name(spec.family).mtp_graph(spec.hyper, builder)
    lower(builder.graph)
    own = tensors_of(graph)
    more = {name: builder.graph.tensors[name] for name in tensors_of(builder.graph) if name not in own}
    builder.graph.tensors = graph.tensors = graph.tensors | more
    return builder.graph


def both_tensors(graph: Graph, mtp: Graph | None) -> list[str]:
    """What weights.bin holds: those of both."""
    return list(dict.fromkeys([*tensors_of(graph), *(tensors_of(mtp) if mtp else ())]))


def write_mtp(mtp: Graph, *, vocab: int, context: int, tensors: list[str]) -> Program:
    """A token goes through it alone."""
    return write_program(mtp, vocab=vocab, context=context, chunk=1, tensors=tensors)
