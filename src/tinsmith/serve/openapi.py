"""/openapi.json, made of the endpoints."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from pydantic.json_schema import models_json_schema
from starlette.responses import Response

from tinsmith import _core
from tinsmith.serve.endpoint import Call, Endpoint, Json, like
from tinsmith.serve.faults import Refused, shape_of

_DEFINITIONS = "#/components/schemas/"
# What may come instead of an answer.
_FAULTS = {
    "400": "what was asked is wrong, or not supported: the field is named",
    "401": "no key, or an unknown one",
    "403": "a host or an origin that may not ask",
    "404": "no such model",
    "408": "the body did not come in time",
    "413": "the body is too large",
    "429": "too many answers for this key; Retry-After says when to ask again",
    "500": "the server failed",
    "503": "the queue is full; Retry-After says when to ask again",
}


def document(endpoints: Sequence[Endpoint], models: Sequence[str] = ()) -> dict[str, Any]:
    """models: names that requests may give."""
    bodies = [one.body for one in endpoints if one.body is not None]
    references, described = models_json_schema(
        [(body, "validation") for body in bodies], ref_template=_DEFINITIONS + "{model}"
    )
    schemas = described.get("$defs", {})
    paths: dict[str, Any] = {}
    for one in endpoints:
        path = re.sub(r"\{(\w+):\w+\}", r"{\1}", one.path)
        schema = None if one.body is None else references[one.body, "validation"]
        paths.setdefault(path, {})[one.method.lower()] = _operation(one, path, schema, models)
    for body in bodies if models else ():
        described_body = schemas[references[body, "validation"]["$ref"].removeprefix(_DEFINITIONS)]
        if "model" in described_body["properties"]:
            described_body["properties"]["model"] = _model(described_body, models)
    made = {
        "openapi": "3.1.0",
        "info": {"title": "tinsmith", "version": _core.VERSION},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }
    # Of models of one name pydantic writes where each is from.
    whole: dict[str, Any] = json.loads(json.dumps(made).replace("tinsmith__serve__api__", ""))
    return whole


def _operation(one: Endpoint, path: str, body: dict[str, Any] | None, models: Sequence[str]) -> dict[str, Any]:
    """body: where its schema stands."""
    error = like(_kinds(shape_of(path)(Refused(400, ""))))
    answer: dict[str, Any] = {}
    if one.reply is not None:
        answer["application/json"] = {"schema": one.reply}
    if one.text:
        answer[one.text] = {"schema": {"type": "string"}}
    if one.stream:
        answer[one.stream] = {}  # OpenAPI 3.1 has no words for events; readers differ on what a schema is of
    operation: dict[str, Any] = {
        "summary": one.summary,
        "operationId": re.sub(r"\W+", "_", f"{one.method} {path}".strip("/ ")).strip("_").lower(),
        "responses": {
            "200": {"description": "the answer", "content": answer},
            **{
                status: {"description": text, "content": {"application/json": {"schema": error}}}
                for status, text in _FAULTS.items()
            },
        },
    }
    if not one.open:
        operation["security"] = [{"key": []}, {}]
    if "{name}" in path:
        operation["parameters"] = [_named("name", "path", models, required=True)]
    if one.path in ("/tinsmith/about", "/tinsmith/report"):
        operation["parameters"] = [_named("model", "query", models)]
    if body is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return operation


def _model(schema: dict[str, Any], models: Sequence[str]) -> dict[str, Any]:
    named: dict[str, Any] = {"type": "string", "enum": list(models)}
    return named if "model" in schema.get("required", ()) else {"anyOf": [named, {"type": "null"}]}


def _named(name: str, place: str, models: Sequence[str], required: bool = False) -> dict[str, Any]:
    schema = {"type": "string", **({"enum": list(models)} if models else {})}
    return {"name": name, "in": place, "required": required, "schema": schema}


def _kinds(value: Any) -> Any:
    """The kinds of values, for `like`."""
    if isinstance(value, dict):
        return {key: _kinds(inner) for key, inner in value.items()}
    return (str, None) if value is None else str


def endpoint(endpoints: Sequence[Endpoint]) -> Endpoint:
    made: list[dict[str, Any]] = []  # once: it takes a while

    async def handler(call: Call, _: Any) -> Response:
        if not made:
            made.append(await call.beside(lambda: document([*endpoints, own], call.house.shelf.names)))
        return Json(made[0])

    own = Endpoint("GET", "/openapi.json", "This interface", handler, reply=like(dict))
    return own
