"""A checkpoint's vision model to a second program in the tin, its weights, and the rules of images in
prompts."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any

from tinsmith import _core
from tinsmith.compiler.passes import attend_by_integers, lower, makes_keys_of_integers
from tinsmith.compiler.program import pack_weights, read_program, write_program
from tinsmith.errors import UnsupportedError
from tinsmith.formats import tin
from tinsmith.graph import Graph, GraphBuilder, Value
from tinsmith.spec import Buffer, Tensor, Tokenizer, Vision
from tinsmith.tokenizer.packed import token_text
from tinsmith.vision import pixels
from tinsmith.vision.facts import to_facts
from tinsmith.vision.parts import parts_of, tensors_of

PROGRAM, WEIGHTS, IMAGES = "vision/program.bin", "vision/weights.bin", "vision/images.bin"
_MAGIC, _VERSION = 0x53434950, 1  # kernels/core/vision/written.h
_HEAD = "<2I"


def graph_of(vision: Vision) -> tuple[Graph, Value]:
    """The graph of encoder and projector, before any pass, and the states that it ends in."""
    encoder, projector = parts_of(vision)
    builder = GraphBuilder(vision.tensors, images=True)
    x = projector.graph(vision.sizes, vision.joint, builder, encoder.graph(vision.sizes, builder))
    builder.states(x)
    return builder.graph, x


def matrices_of(graph: Graph) -> list[str]:
    """The roles of the matrices in encoder and projector that multiply states: all but the patches'."""
    patches = {op.outputs[0] for op in graph.ops if op.kind == "PATCHES"}
    products = (op for op in graph.ops if op.kind == "MATMUL" and op.inputs[0] not in patches)
    return [role for op in products for role in op.tensors[:3] if role is not None]


def own_tensors(vision: Vision, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The vision model's own tensors, from its graph's. Raises KeyError for a missing one."""
    encoder, projector = parts_of(vision)
    made = dict(tensors)
    encoder.from_graph(vision.sizes, made)
    projector.from_graph(vision.joint, made)
    return {name.role: made[name.role] for name in tensors_of(vision)}


def compile_vision(vision: Vision) -> tuple[Graph, bytes]:
    """An encoder computes all patches of an image at once: its context is its chunk."""
    most = most_patches(vision)
    if most > _core.MAX_CHUNK:
        raise UnsupportedError(f"images of {most} patches; the native runtime takes at most {_core.MAX_CHUNK}")
    graph, states = graph_of(vision)
    lower(graph)
    if (vision.kv or ("q8" if makes_keys_of_integers(graph) else "f16")) == "q8":
        attend_by_integers(graph)
    return graph, write_program(graph, vocab=states.width, context=most, chunk=most)


def most_patches(vision: Vision) -> int:
    """The patches of an image, at most."""
    return vision.image_rules.patches(vision.sizes.patch, vision.joint.merge)


def images_entries(vision: Vision, tokenizer: Tokenizer) -> dict[str, bytes]:
    """The rules to tile images and to write them in a prompt (kernels/core/vision/written.h). Empty where the
    vocabulary lacks a token of theirs."""
    _, projector = parts_of(vision)
    word = {
        name: token_text(tokenizer.tokens[token], tokenizer.types[token], tokenizer.model).decode(
            "utf-8", "replace"
        )
        for name, token in vision.tokens.items()
    }
    try:
        texts = [text.encode() for text in (*projector.texts(word), projector.dropped)]
    except KeyError:
        return {}
    head = struct.pack(_HEAD, _MAGIC, _VERSION) + pixels.rules(vision, most_patches(vision))
    lengths = struct.pack(f"<i{len(texts)}I", vision.tokens["image"], *map(len, texts))
    return {IMAGES: head + lengths + b"".join(texts)}


def rules_in(images: Buffer) -> bytes:
    """tin_pixels_rules in an entry of images_entries."""
    begin = struct.calcsize(_HEAD)
    return bytes(images[begin : begin + pixels.RULES_BYTES])


def vision_entries(
    vision: Vision, tokenizer: Tokenizer, advance: Callable[[int], None] | None = None
) -> tuple[list[tuple[str, tin.Data]], dict[str, Any]]:
    """The vision model's entries and facts for the manifest."""
    graph, program = compile_vision(vision)
    listing = read_program(program)
    most = most_patches(vision)
    entries: list[tuple[str, tin.Data]] = [
        (PROGRAM, program),
        (WEIGHTS, tin.Pieces(listing.weight_bytes, pack_weights(graph, listing.tensors, advance))),
        *images_entries(vision, tokenizer).items(),
    ]
    kv = {"kv": "q8"} if any(op.kind == "ATTENTION_WHOLE" for op in graph.ops) else {}
    return entries, {"vision": to_facts(vision) | {"patches": most} | kv}
