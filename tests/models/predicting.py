"""Tiny models with a layer that predicts a further token, and what that layer says, as the logits of a text."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

from tests.models.tiny_models import tiny_spec
from tinsmith.compiler import build_image
from tinsmith.graph import GraphBuilder, Value
from tinsmith.models import Spec, Tensor
from tinsmith.models.qwen35 import Qwen35, Qwen35Hyper


def predicting_spec(
    case: str = "qwen35", *, main: float = 0.05, layer: float = 0.5, vocab: int = 280, **config: Any
) -> Spec:
    """The layer drafts what the model mostly says, by the token's embedding. What the other layers add counts
    `main` times, what it adds itself `layer` times."""
    spec = tiny_spec(case, mtp_num_hidden_layers=1, tie_word_embeddings=False, vocab_size=vocab, **config)
    tensors = dict(spec.tensors)
    for role, tensor in spec.tensors.items():
        if role.endswith((".o", ".down", ".down_experts", ".down_shared")):
            tensors[role] = _scaled(tensor, layer if role.startswith("mtp.") else main)
    dim = spec.hyper.dim
    for role in ("final_norm", "mtp.norm", "mtp.embed_norm"):
        tensors[role] = Tensor("F32", 1, dim, struct.pack(f"<{dim}f", *[1.0] * dim))
    rows = list(struct.iter_unpack(f"<{2 * dim}f", bytes(tensors["mtp.fc"].data)))
    most = [[layer * one + (k == place) for place, one in enumerate(row)] for k, row in enumerate(rows)]
    data = b"".join(struct.pack(f"<{2 * dim}f", *row) for row in most)
    tensors["mtp.fc"] = Tensor("F32", dim, 2 * dim, data)
    return replace(spec, tensors=tensors)


def _scaled(tensor: Tensor, factor: float) -> Tensor:
    values = memoryview(tensor.data).cast("B").cast("f")  # type: ignore[arg-type]
    return replace(tensor, data=struct.pack(f"<{len(values)}f", *(factor * one for one in values)))


def predictions_image(spec: Spec) -> memoryview:
    """A tin whose logits of a token are the layer's: by it and the hidden state before it, of what follows."""
    with _predicting_alone():
        return build_image(spec)


@contextmanager
def _predicting_alone() -> Iterator[None]:
    plain = Qwen35.graph

    def graph(self: Qwen35, h: Qwen35Hyper, g: GraphBuilder) -> None:
        hidden: list[Value] = []
        with mock.patch.object(g, "logits", lambda x, head: hidden.append(x)):
            plain(self, replace(h, mtp=0), g)
        embedded = g.graph.ops[0].outputs[0]
        assert embedded is not None
        self.predict(h, g, embedded, g.before(hidden[0]), self.rope_table(h, g))

    with (
        mock.patch.object(Qwen35, "graph", graph),
        mock.patch.object(Qwen35, "predicts", lambda self, h: False),
    ):
        yield
