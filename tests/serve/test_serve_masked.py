"""The masked tokens are the most probable unconstrained ones that the constraint excludes."""

from __future__ import annotations

import math
from typing import Any

import httpx
import pytest

import tinsmith
from tests.serve.served import ASKED, Running
from tests.serve.test_openai_chat import FORM, SCHEMA
from tinsmith import _core


def asked(server: Running, tokens: list[int], **more: Any) -> httpx.Response:
    chat = {"model": "tiny", "messages": ASKED, "max_tokens": 60, **more}
    return httpx.post(f"{server.url}/tinsmith/masked", json={"chat": chat, "tokens": tokens}, timeout=30)


@pytest.mark.parametrize("adapter", [None, "a"])
def test_masked_tokens_are_the_most_probable_excluded_ones(server: Running, adapter: str | None) -> None:
    model, held = server.alone["tiny"], tinsmith.schema(SCHEMA)
    answer = model.chat(ASKED, constraint=held, max_tokens=60, adapter=adapter)
    name = f"tiny:{adapter}" if adapter else "tiny"
    walk = _core.Constraint(model.core, held.data)
    for place in (0, len(answer.token_ids) // 2):
        before = answer.token_ids[:place]
        given = asked(server, before, model=name, response_format=FORM).json()
        row = model.logits([*model.render(ASKED), *before], adapter=adapter).tolist()[-1]
        walk.begin()
        for token in before:
            walk.accept(token)
        mask = walk.mask()
        allowed = [token for token in range(len(row)) if mask[token // 8] >> token % 8 & 1]
        assert given["allowed"] == len(allowed)
        others = sorted(set(range(len(row))) - set(allowed), key=lambda token: -row[token])
        assert [one["id"] for one in given["masked"]] == others[:8]
        whole = math.log(math.fsum(math.exp(value) for value in row))
        for one in given["masked"]:
            assert one["logprob"] == pytest.approx(row[one["id"]] - whole, abs=1e-4)


def test_no_tokens_are_masked_without_a_constraint(server: Running) -> None:
    assert asked(server, [1, 2]).json() == {"allowed": None, "masked": []}


def test_excluded_tokens_are_rejected(server: Running) -> None:
    said = asked(server, [5, 5, 5], response_format=FORM)
    assert said.status_code == 400 and said.json()["error"]["param"] == "tokens"
    assert asked(server, [10**6], response_format=FORM).status_code == 400
