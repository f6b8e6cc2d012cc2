"""A tiny llama of the sizes that every kernel and every peer takes."""

from __future__ import annotations

from dataclasses import replace

from tests.models.tiny_models import tiny_spec
from tinsmith.models import Spec, family

CONTEXT = 128
SIZES = {"hidden_size": 64, "intermediate_size": 96, "max_position_embeddings": CONTEXT}


def make_spec(**changes: object) -> Spec:
    return replace(tiny_spec(family.by_name("llama"), **{**SIZES, **changes}), chat_template=None)
