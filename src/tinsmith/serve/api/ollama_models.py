"""Ollama's /api/tags, /api/show and /api/version."""

from __future__ import annotations

import datetime
from typing import Any

from starlette.responses import Response

from tinsmith import _core
from tinsmith.serve.endpoint import Call, Endpoint, Json, like
from tinsmith.serve.fields import Body, Name
from tinsmith.serve.shelf import Target


class ShowBody(Body):
    model: Name
    verbose: bool | None = None


def _details(target: Target) -> dict[str, Any]:
    info = target.served.model.info
    formats = sorted(info.formats, key=lambda name: info.formats[name], reverse=True)
    return {
        "parent_model": target.served.name if target.adapter else "",
        "format": target.served.path.suffix.lstrip("."),
        "family": info.family,
        "families": [info.family],
        "parameter_size": f"{info.parameters / 1e6:.1f}M",
        "quantization_level": formats[0] if formats else "",
    }


async def tags(call: Call, _: Any) -> Response:
    rows = []
    for target in call.house.shelf:
        made = datetime.datetime.fromtimestamp(target.served.created, datetime.UTC)
        rows.append(
            {
                "name": target.name,
                "model": target.name,
                "modified_at": made.isoformat().replace("+00:00", "Z"),
                "size": target.served.model.info.bytes,
                "digest": target.served.digest,
                "details": _details(target),
            }
        )
    return Json({"models": rows})


async def show(call: Call, body: ShowBody) -> Response:
    target = call.house.shelf.find(body.model)
    info, skill = target.served.model.info, target.skill
    can = ["completion", "embedding", *(["vision"] if target.served.eyes else [])]
    if skill.can_chat:
        can += ["tools", *(["thinking"] if skill.templates.thinking is not None else [])]
    made = datetime.datetime.fromtimestamp(target.served.created, datetime.UTC)
    return Json(
        {
            "modified_at": made.isoformat().replace("+00:00", "Z"),
            "template": "",
            "modelfile": "",
            "parameters": "",
            "details": _details(target),
            "model_info": {
                "general.architecture": info.family,
                "general.parameter_count": info.parameters,
                f"{info.family}.context_length": target.served.worker.context,
            },
            "capabilities": can,
        }
    )


async def version(call: Call, _: Any) -> Response:
    return Json({"version": _core.VERSION})


_TAGS = {
    "models": [{"name": str, "model": str, "modified_at": str, "size": int, "digest": str, "details": dict}]
}
_SHOW = {"details": dict, "model_info": dict, "capabilities": [str]}
ENDPOINTS = [
    Endpoint("GET", "/api/tags", "The models", tags, reply=like(_TAGS)),
    Endpoint("POST", "/api/show", "What a model is", show, ShowBody, like(_SHOW)),
    Endpoint("GET", "/api/version", "The version", version, reply=like({"version": str})),
]
