"""A spec to a tin: the graph is lowered and written, the weights packed, the whole run once for a self-test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tinsmith import _core
from tinsmith.compiler import selftest
from tinsmith.compiler import tokenizer as tokenizer_file
from tinsmith.compiler import turns as turns_file
from tinsmith.compiler.graph import Graph, GraphBuilder
from tinsmith.compiler.passes import lower
from tinsmith.compiler.program import Program, write_program
from tinsmith.errors import FormatError, TinsmithError, UnsupportedError
from tinsmith.formats import tin
from tinsmith.formats.turns import Turns
from tinsmith.models import chat_template, family, tool_formats
from tinsmith.models.spec import Buffer, Spec
from tinsmith.models.turn_probes import compile_turns

# Tokens computed at once. More amortize the reading of weights further; the arena grows with them.
CHUNK = 64
TEMPLATE = "template.json"


def compile_graph(spec: Spec) -> Graph:
    builder = GraphBuilder(spec.tensors)
    family.by_name(spec.family).graph(spec.hyper, builder)
    lower(builder.graph)
    return builder.graph


def build_image(spec: Spec) -> memoryview:
    """The tin of a model in memory, without self-test: what loading a GGUF file makes of it."""
    entries, facts = _compile(spec)
    return tin.pack_bytes(entries, facts)


def build_tin(
    spec: Spec,
    path: str | Path,
    *,
    entries: Mapping[str, bytes] | None = None,
    manifest: Mapping[str, Any] | None = None,
) -> None:
    """Writes the tin of a model, atomically.

    entries: further entries by name (licences, bill of materials). manifest: further facts.
    Raises FormatError for a spec whose tensors do not fit its hyper-parameters.
    """
    own, facts = _compile(spec)
    facts = {**facts, **(manifest or {})}
    own.append(("selftest.bin", selftest.make(_core.Model(tin.pack_bytes(own, facts)))))
    tin.write(path, [*own, *(entries or {}).items()], facts)


def _compile(spec: Spec) -> tuple[list[tuple[str, Buffer]], dict[str, Any]]:
    """The entries that a model runs from, and its part of the manifest."""
    vocab = len(spec.tokenizer.tokens)
    if vocab != spec.hyper.vocab:
        raise FormatError(f"the tokenizer has {vocab} tokens and the model {spec.hyper.vocab}")
    graph = compile_graph(spec)
    program = write_program(graph, vocab=vocab, context=spec.hyper.context, chunk=CHUNK)
    tokenizer = tokenizer_file.encode(spec.tokenizer)
    entries: list[tuple[str, Buffer]] = [
        ("program.bin", program.data),
        ("weights.bin", b"".join(_pack_weights(graph, program))),
        ("tokenizer.bin", tokenizer),
        ("trie.bin", _core.make_trie(tokenizer)),
    ]
    facts = _manifest(spec, graph, program)
    vocabulary, name = frozenset(spec.tokenizer.tokens), str(spec.general.get("name", ""))
    facts["tools"] = tool_formats.detect(spec.chat_template, vocabulary, name)
    try:
        turns = _turns(spec)
    except TinsmithError as error:
        facts["template_refused"] = str(error)  # what chatting with the model then says
    else:
        entries.append(("turns.bin", turns_file.encode(turns, spec.tokenizer)))
        entries.append((TEMPLATE, turns.to_json().encode()))
    return entries, facts


def _turns(spec: Spec) -> Turns:
    """The chat template as tables of turns."""
    if spec.chat_template is None:
        raise UnsupportedError("the model has no chat template")
    return compile_turns(
        spec.chat_template,
        tokens=chat_template.special_tokens(spec.tokenizer),
        control=turns_file.control_texts(spec.tokenizer),
    )


def _pack_weights(graph: Graph, program: Program) -> Iterator[Buffer]:
    for place in program.places:
        tensor = graph.tensors[place.name]
        if tensor.rows == 1:
            yield tensor.data
        else:
            yield _core.pack(tensor.format, tensor.data, tensor.rows, tensor.inputs)
        yield bytes(-place.bytes % _core.ALIGNMENT)


def _manifest(spec: Spec, graph: Graph, program: Program) -> dict[str, Any]:
    used = [graph.tensors[place.name] for place in program.places]
    return {
        "family": spec.family,
        "hyper": asdict(spec.hyper),
        "general": spec.general,
        "parameters": sum(tensor.rows * tensor.inputs for tensor in spec.tensors.values()),
        "tensors": dict(Counter(tensor.format for tensor in used)),
        "arena_bytes": program.row_bytes * CHUNK,
        "program": _core.PROGRAM_VERSION,
    }
