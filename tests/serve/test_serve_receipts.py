"""An answer's receipt is that of the same answer computed anywhere else."""

from __future__ import annotations

from typing import Any

import httpx
import openai
import pytest

import tinsmith
from tests.serve.served import ASKED, Running
from tests.serve.test_openai_chat import FORM, SCHEMA
from tinsmith.runtime.generation import Sampling, TokenRequest
from tinsmith.runtime.receipt import recomputed


@pytest.mark.parametrize("adapter", [None, "b"])
@pytest.mark.parametrize("form", [None, FORM])
def test_receipt_is_reproducible(server: Running, adapter: str | None, form: Any) -> None:
    model = server.alone["tiny"]
    body = {"model": f"tiny:{adapter}" if adapter else "tiny", "messages": ASKED, "max_tokens": 40}
    body |= {"temperature": 0.8, "seed": 9, "n": 2, "stop": ["zz"]} | (
        {"response_format": form} if form else {}
    )
    said = httpx.post(f"{server.url}/v1/chat/completions", json=body)
    receipts = said.headers["x-tinsmith-receipt"].split(",")
    asked = [
        TokenRequest(
            tokens=model.render(ASKED, adapter=adapter),
            applied=model.applied(adapter),
            constraint=tinsmith.schema(SCHEMA) if form else None,
            max_tokens=40,
            sampling=Sampling(temperature=0.8, seed=9 + k, lookup=4),
            stop=["zz"],
        )
        for k in range(2)
    ]
    assert receipts == [receipt.digest for _, receipt in recomputed(model, asked)]
    assert said.json()["tinsmith"]["receipt"] == receipts


def test_every_interface_returns_the_receipt(server: Running, chatgpt: openai.OpenAI) -> None:
    """The same question in all of them has one answer, and so one receipt."""
    few: dict[str, Any] = {"model": "tiny", "messages": ASKED, "max_tokens": 6}
    post = lambda path, body: httpx.post(server.url + path, json=body)  # noqa: E731
    chat = post("/v1/chat/completions", few)
    said = [
        chat.headers,
        post("/v1/messages", few).headers,
        post("/v1/responses", {"model": "tiny", "input": ASKED, "max_output_tokens": 6}).headers,
        post(
            "/api/chat", {"model": "tiny", "messages": ASKED, "stream": False, "options": {"num_predict": 6}}
        ).headers,
    ]
    assert len({headers["x-tinsmith-receipt"] for headers in said}) == 1
    last = list(chatgpt.chat.completions.create(stream=True, **few))[-1].choices[0].model_extra
    assert last and last["tinsmith"]["receipt"] == chat.headers["x-tinsmith-receipt"]
