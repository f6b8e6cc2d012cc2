"""A spec to a tin: lowers and writes the graph, packs the weights, and runs the model once for its
self-test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tinsmith import _core
from tinsmith.chat import chat_template, tool_formats
from tinsmith.chat import packed as turns_file
from tinsmith.chat.turn_probes import compile_turns
from tinsmith.chat.turns import Turns
from tinsmith.compiler import selftest
from tinsmith.compiler.passes import lower
from tinsmith.compiler.program import Listing, pack_weights, read_program, shape_of, tensors_of, write_program
from tinsmith.compiler.vision import most_patches, vision_entries
from tinsmith.errors import FormatError, TinsmithError, UnsupportedError
from tinsmith.formats import tin
from tinsmith.formats.tin import TEMPLATE, TURNS
from tinsmith.graph import Graph, GraphBuilder
from tinsmith.models import family, gguf_header
from tinsmith.spec import Spec, Tensor, Tokenizer
from tinsmith.tokenizer import packed as tokenizer_file

# Tokens computed at once. More of them read the weights less often, in a larger arena.
CHUNK = 64
EXPERT_CHUNK = 256  # each expert gets only a few of them
IMAGE_CHUNK = 256  # rows of one image that attend to each other, as gemma3's 256
# The same model's GGUF file without the tensors of weights.bin, for `export --gguf`.
GGUF_HEADER = "gguf.bin"
MTP_PROGRAM = "mtp/program.bin"  # the layer for multi-token prediction


def compile_graph(spec: Spec, *, mtp: bool = False) -> Graph:
    """The lowered graph of the model, or of its layer for multi-token prediction."""
    builder = GraphBuilder(spec.tensors, images=spec.vision is not None)
    own = family.by_name(spec.family)
    (own.mtp_graph if mtp else own.graph)(spec.hyper, builder)
    lower(builder.graph)
    return builder.graph


def build_image(spec: Spec) -> memoryview:
    """The tin of a model in memory, without self-test, as loading a GGUF file makes it."""
    entries, facts = _compile(spec)
    if spec.source is not None:
        entries.append((tin.SOURCE, bytes.fromhex(spec.source)))
    return tin.pack_bytes(entries, facts)


def build_tin(
    spec: Spec,
    path: str | Path,
    *,
    entries: Mapping[str, bytes] | None = None,
    manifest: Mapping[str, Any] | None = None,
    advance: Callable[[int], None] | None = None,
    file_type: int | None = None,
) -> None:
    """Writes the tin of a model, atomically. Only the weights being packed are in memory.

    entries: more entries by name (licences, bill of materials). manifest: more facts. advance: called with the
    bytes of each packed piece of weights. file_type: the GGUF file type of the same model, as for gguf_header.
    Raises FormatError for a spec whose tensors do not fit its hyperparameters.
    """
    own, facts = _compile(spec, advance)

    def more(image: memoryview) -> list[tuple[str, tin.Data]]:
        packed = {
            role
            for role, stored in read_program(tin.Tin(image).entry("program.bin")).tensors.items()
            # A graph may have a tensor in another shape than the file.
            if role in spec.tensors and stored[:3] == shape_of(spec.tensors[role])
        }
        model = _core.Model(image)
        tests = [("selftest.bin", selftest.make(model))]
        if spec.vision is not None:
            tests.append(
                (selftest.VISION_TEST, selftest.make_vision_test(model, spec.vision, most_patches(spec.vision)))
            )
        return [*tests, (GGUF_HEADER, gguf_header(spec, packed, file_type)), *(entries or {}).items()]

    tin.write(path, own, {**facts, **(manifest or {})}, more)


def _compile(
    spec: Spec, advance: Callable[[int], None] | None = None
) -> tuple[list[tuple[str, tin.Data]], dict[str, Any]]:
    """The entries that a model runs from, and its facts for the manifest."""
    chat_template.check(spec, str(spec.general.get("name", "the model")))
    graph, programs = _programs(spec)
    program = read_program(programs["program.bin"])
    weights = tin.Pieces(program.weight_bytes, pack_weights(graph, program.tensors, advance))
    entries: list[tuple[str, tin.Data]] = [*programs.items(), ("weights.bin", weights)]
    text, facts = text_entries(spec.tokenizer, spec.chat_template, str(spec.general.get("name", "")))
    entries += text
    if spec.vision is not None:
        vision, vision_facts = vision_entries(spec.vision, spec.tokenizer, advance)
        entries, facts = entries + vision, facts | vision_facts
    return entries, _manifest(spec, program) | facts


def _programs(spec: Spec) -> tuple[Graph, dict[str, bytes]]:
    """The model's graph, and by entry its program and any other that reads its weights."""
    vocab = len(spec.tokenizer.tokens)
    if vocab != spec.hyper.vocab:
        raise FormatError(f"the tokenizer has {vocab} tokens and the model {spec.hyper.vocab}")
    graph, own = compile_graph(spec), family.by_name(spec.family)
    graphs, tensors = {"program.bin": (graph, _chunk(graph))}, tensors_of(graph)
    if own.predicts(spec.hyper):
        layer = compile_graph(spec, mtp=True)
        more = [name for name in tensors_of(layer) if name not in tensors]
        graph.tensors |= {name: layer.tensors[name] for name in more}
        layer.tensors = graph.tensors  # one file has the weights of both
        graphs[MTP_PROGRAM], tensors = (layer, 1), tensors + more
    context = own.context(spec.hyper)
    return graph, {
        entry: write_program(one, vocab=vocab, context=context, chunk=chunk, tensors=tensors)
        for entry, (one, chunk) in graphs.items()
    }


def programs_of(spec: Spec) -> dict[str, bytes]:
    """program.bin, and any other program that reads the model's weights. Of the tensors, only shapes and
    formats matter."""
    return _programs(spec)[1]


def build_words(
    tokenizer: Tokenizer, chat_template: str | None, context: int, facts: Mapping[str, Any]
) -> memoryview:
    """A tin, in memory, for a model that another runtime computes. It tokenizes, renders chats and constrains;
    its sessions take a `compute`. context: the longest conversation, in tokens. facts: the manifest's."""
    vocab = len(tokenizer.tokens)
    builder = GraphBuilder({"nothing": Tensor("F32", vocab, 1, bytes(4 * vocab))})
    builder.logits(builder.embed("nothing"), "nothing")  # a program ends in logits; this one never runs
    lower(builder.graph)
    program = write_program(builder.graph, vocab=vocab, context=context, chunk=CHUNK)
    text, text_facts = text_entries(tokenizer, chat_template, str(facts.get("name", "")))
    weights = b"".join(pack_weights(builder.graph, read_program(program).tensors))
    return tin.pack_bytes([("program.bin", program), ("weights.bin", weights), *text], {**facts, **text_facts})


def text_entries(
    tokenizer: Tokenizer, template: str | None, name: str
) -> tuple[list[tuple[str, tin.Data]], dict[str, Any]]:
    """The entries and facts for text."""
    encoded = tokenizer_file.encode(tokenizer)
    entries: list[tuple[str, tin.Data]] = [("tokenizer.bin", encoded), ("trie.bin", _core.make_trie(encoded))]
    turns, facts = template_entries(tokenizer, template, name)
    return [*entries, *turns.items()], facts


def template_entries(
    tokenizer: Tokenizer, template: str | None, name: str
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The chat template's entries and facts. A template that can't be compiled has no entries, and the reason
    is among the facts."""
    facts: dict[str, Any] = {"tools": tool_formats.detect(template, frozenset(tokenizer.tokens), name)}
    try:
        turns = turns_of(tokenizer, template)
        encoded = turns_file.encode(turns, tokenizer)
    except TinsmithError as error:
        return {}, facts | {"template_refused": str(error)}  # the error of chatting with the model
    return {TURNS: encoded, TEMPLATE: turns.to_json().encode()}, facts


def turns_of(tokenizer: Tokenizer, template: str | None) -> Turns:
    """The chat template as tables of turns. Raises UnsupportedError for a missing or unsupported one."""
    if template is None:
        raise UnsupportedError("the model has no chat template")
    return compile_turns(
        template, tokens=chat_template.special_tokens(tokenizer), control=turns_file.control_texts(tokenizer)
    )


def _chunk(graph: Graph) -> int:
    if any(op.kind == "EXPERT_MATMUL" for op in graph.ops):
        return EXPERT_CHUNK
    return IMAGE_CHUNK if any(op.kind == "ATTENTION" and op.u[1:] == (1,) for op in graph.ops) else CHUNK


def _manifest(spec: Spec, program: Listing) -> dict[str, Any]:
    stored = Counter(place.format for place in program.tensors.values())
    return {
        "family": spec.family,
        "hyper": asdict(spec.hyper),
        "general": spec.general,
        "parameters": sum(tensor.rows * tensor.inputs for tensor in spec.tensors.values()),
        "tensors": dict(stored),
        "arena_bytes": program.row_bytes * program.chunk,
        "program": _core.PROGRAM_VERSION,
    }
