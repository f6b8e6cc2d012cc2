"""/openapi.json, generated from the endpoints: their paths, requests and media types."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from pydantic.json_schema import models_json_schema
from starlette.responses import Response

from tinsmith import _core
from tinsmith.serve.endpoint import ApiRequest, Endpoint, JsonResponse

_DEFINITIONS = "#/components/schemas/"
_ERRORS = {
    "400": "invalid or unsupported request; the message names the field",
    "401": "missing or unknown API key",
    "403": "host or origin not allowed",
    "404": "unknown model",
    "408": "the body did not arrive in time",
    "413": "the body is too large",
    "429": "too many requests of this client in flight; see Retry-After",
    "500": "internal error",
    "503": "the queue is full; see Retry-After",
}


def document(endpoints: Sequence[Endpoint], models: Sequence[str]) -> dict[str, Any]:
    """models: their names."""
    names = {"type": "string", "enum": list(models)}
    bodies = [one.body for one in endpoints if one.body is not None]
    references, described = models_json_schema(
        [(body, "validation") for body in bodies], ref_template=_DEFINITIONS + "{model}"
    )
    schemas = described.get("$defs", {})
    paths: dict[str, Any] = {}
    for one in endpoints:
        path = re.sub(r"\{(\w+):\w+\}", r"{\1}", one.path)
        schema = None if one.body is None else references[one.body, "validation"]
        paths.setdefault(path, {})[one.method.lower()] = _operation(one, path, schema, names)
    for body in bodies:
        schema = schemas[references[body, "validation"]["$ref"].removeprefix(_DEFINITIONS)]
        if "model" in schema["properties"]:
            is_required = "model" in schema.get("required", ())
            schema["properties"]["model"] = names if is_required else {"anyOf": [names, {"type": "null"}]}
    result = {
        "openapi": "3.1.0",
        "info": {"title": "tinsmith", "version": _core.VERSION},
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
    }
    # pydantic prefixes models that share a name with their modules.
    return dict(json.loads(json.dumps(result).replace("tinsmith__serve__api__", "")))


def _operation(one: Endpoint, path: str, body: dict[str, Any] | None, names: dict[str, Any]) -> dict[str, Any]:
    """body: a reference to its schema. names: the schema of a model's name."""
    media = (one.media, one.stream) if one.stream else (one.media,)
    operation: dict[str, Any] = {
        "summary": one.summary,
        "operationId": re.sub(r"\W+", "_", f"{one.method} {path}".strip("/ ")).strip("_").lower(),
        "responses": {
            "200": {"description": "the answer", "content": {name: {} for name in media}},
            **{
                status: {"description": text, "content": {"application/json": {}}}
                for status, text in _ERRORS.items()
            },
        },
    }
    if not one.public:
        operation["security"] = [{"key": []}, {}]
    if "{name}" in path:
        operation["parameters"] = [{"name": "name", "in": "path", "required": True, "schema": names}]
    if one.path in ("/tinsmith/about", "/tinsmith/report"):
        operation["parameters"] = [{"name": "model", "in": "query", "required": False, "schema": names}]
    if body is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return operation


def endpoint(endpoints: Sequence[Endpoint]) -> Endpoint:
    cached: list[dict[str, Any]] = []

    async def handler(request: ApiRequest, _: Any) -> Response:
        if not cached:
            names = list(request.state.refs)
            cached.append(await request.in_thread(lambda: document([*endpoints, own], names)))
        return JsonResponse(cached[0])

    own = Endpoint("GET", "/openapi.json", "This API", handler)
    return own
