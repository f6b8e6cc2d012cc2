"""A checkpoint's vision half to a second program in the tin, and its weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinsmith import _core
from tinsmith.compiler.passes import lower
from tinsmith.compiler.program import Program, write_program
from tinsmith.compiler.weights import pack_weights
from tinsmith.errors import UnsupportedError
from tinsmith.formats import tin
from tinsmith.graph import Graph, GraphBuilder, Value
from tinsmith.spec import Vision
from tinsmith.vision.facts import to_facts
from tinsmith.vision.parts import parts_of

PROGRAM, WEIGHTS = "vision/program.bin", "vision/weights.bin"


def graph_of(vision: Vision) -> tuple[Graph, Value]:
    """What tower and connector compute, as they say it, and the states that it ends in."""
    tower, connector = parts_of(vision)
    builder = GraphBuilder(vision.tensors, images=True)
    x = connector.graph(vision.sizes, vision.joint, builder, tower.graph(vision.sizes, builder))
    builder.states(x)
    return builder.graph, x


def compile_vision(vision: Vision) -> tuple[Graph, Program]:
    """All patches of an image go through a tower at once: its context is its chunk."""
    most = vision.pictures.patches(vision.sizes.patch, vision.joint.merge)
    if most > _core.MAX_CHUNK:
        raise UnsupportedError(f"images of {most} patches; the native runtime takes at most {_core.MAX_CHUNK}")
    graph, states = graph_of(vision)
    lower(graph)
    return graph, write_program(graph, vocab=states.width, context=most, chunk=most)


def vision_entries(
    vision: Vision, advance: Callable[[int], None] | None = None
) -> tuple[list[tuple[str, tin.Data]], dict[str, Any]]:
    """The entries that images are seen with, and their part of the manifest."""
    graph, program = compile_vision(vision)
    entries: list[tuple[str, tin.Data]] = [
        (PROGRAM, program.data),
        (WEIGHTS, tin.Pieces(program.weight_bytes, pack_weights(graph, program, advance))),
    ]
    most = vision.pictures.patches(vision.sizes.patch, vision.joint.merge)
    return entries, {"vision": to_facts(vision) | {"patches": most}}
