"""Finding the error of an invalid body takes little work, however large the body is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from tests.system.growth import growth
from tinsmith.serve import app, openapi
from tinsmith.serve.api.chat import ChatBody
from tinsmith.serve.api.embeddings import EmbeddingsBody
from tinsmith.serve.api.messages import CountBody
from tinsmith.serve.api.responses import ResponsesBody
from tinsmith.serve.api.service import DetokenizeBody
from tinsmith.serve.errors import ApiError
from tinsmith.serve.fields import validate

BODIES = {one.body.__name__ + one.path: one.body for one in app.ENDPOINTS if one.body is not None}
HI = {"role": "user", "content": "hi"}
CHAT = {"model": "m", "messages": [HI]}


def nodes(schema: Any) -> Iterator[dict[str, Any]]:
    """All that pydantic's core makes a body of."""
    if isinstance(schema, dict):
        yield schema
    for inner in (
        schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list | tuple) else ()
    ):
        yield from nodes(inner)


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_list_fails_at_its_first_error_and_has_a_maximum_length(body: type[BaseModel]) -> None:
    for node in nodes(body.__pydantic_core_schema__):
        if node.get("type") == "list":
            assert node.get("max_length") is not None, node
            assert node.get("fail_fast") or node["max_length"] == 0, node
        if node.get("type") == "dict" and node.get("values_schema", {"type": "any"})["type"] != "any":
            assert node.get("max_length") is not None, node


def test_openapi_states_the_length_limits() -> None:
    document = openapi.document(app.ENDPOINTS, ["tiny"])
    arrays = [node for node in nodes(document["components"]["schemas"]) if node.get("type") == "array"]
    assert len(arrays) > 40
    assert all("maxItems" in node for node in arrays)


def wrong(count: int) -> dict[str, tuple[type[BaseModel], Any]]:
    """Bodies with so many faults."""
    part = {"type": "text", "text": 1}
    return {
        "embeddings of objects": (EmbeddingsBody, {"model": "m", "input": [{}] * count}),
        "embeddings of lists": (EmbeddingsBody, {"model": "m", "input": [[""]] * count}),
        "tokens": (DetokenizeBody, {"tokens": [""] * count}),
        "messages": (ChatBody, {"model": "m", "messages": [{"role": "user"}] * count}),
        "roles": (ChatBody, {"model": "m", "messages": [{"role": "?"}] * count}),
        "parts": (ChatBody, {"model": "m", "messages": [{**HI, "content": [part] * count}]}),
        "fields": (ChatBody, {**CHAT, **{f"f{k}": 1 for k in range(count)}}),
        "fields of a message": (ChatBody, {**CHAT, "messages": [{**HI, **{f"f{k}": 1 for k in range(count)}}]}),
        "metadata": (ChatBody, {**CHAT, "metadata": {str(k): 1 for k in range(count)}}),
        "biases": (ChatBody, {**CHAT, "logit_bias": {str(k): 1000 for k in range(count)}}),
        "biases' names": (ChatBody, {**CHAT, "logit_bias": {f"t{k}": 1 for k in range(count)}}),
        "stops": (ChatBody, {**CHAT, "stop": [1] * count}),
        "long stops": (ChatBody, {**CHAT, "stop": ["a" * count]}),
        "tools": (ChatBody, {**CHAT, "tools": [{"type": "function", "function": {}}] * count}),
        "choices": (ChatBody, {**CHAT, "tool_choice": {f"f{k}": 1 for k in range(count)}}),
        "blocks": (CountBody, {"model": "m", "messages": [{**HI, "content": [{"type": "text"}] * count}]}),
        "items": (ResponsesBody, {"model": "m", "input": [{"type": "message"}] * count}),
    }


@pytest.mark.parametrize("what", wrong(2))
def test_first_error_ends_validation(what: str) -> None:
    kind, value = wrong(20_000)[what]
    with pytest.raises(ValidationError) as raised:
        kind.model_validate(value)
    assert raised.value.error_count() < 70
    with pytest.raises(ApiError) as refused:
        validate(kind, value)
    assert refused.value.status == 400
    assert refused.value.param


def test_first_unknown_field_is_named() -> None:
    with pytest.raises(ApiError, match="^b: not supported") as refused:
        validate(ChatBody, {"b": 1, **CHAT, "a": 1})
    assert refused.value.code == "unsupported_parameter"


def test_long_field_path_is_truncated() -> None:
    with pytest.raises(ApiError) as refused:
        validate(ChatBody, {**CHAT, "k" * 100_000: 1})
    assert len(refused.value.param or "") == 200


def test_validation_time_is_linear() -> None:
    def messages(count: int) -> Any:
        parts = [{"type": "text", "text": "a"}] * count
        return {**CHAT, "messages": [{"role": "user", "content": parts}] * 20}

    assert growth(lambda value: validate(ChatBody, value), messages(100), messages(200)) < 3
    biases = {**CHAT, "logit_bias": {str(k): 1 for k in range(20_000)}}
    assert (
        growth(
            lambda value: validate(ChatBody, value),
            biases,
            {**CHAT, "logit_bias": {str(k): 1 for k in range(40_000)}},
        )
        < 3
    )
