"""A CycloneDX 1.6 bill of materials: the model, and the base and data it was made from."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

# Hugging Face and GGUF write licences in lower case; CycloneDX takes SPDX's spelling or a free name.
_SPDX = {
    name.lower(): name
    for name in (
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "CC-BY-4.0",
        "CC-BY-SA-4.0",
        "CC0-1.0",
        "GPL-3.0-only",
        "MIT",
        "MPL-2.0",
    )
}


@dataclass(frozen=True)
class Source:
    """Something a model was made from. digest: SHA-256 in hexadecimal; license: an SPDX id or a name."""

    name: str
    digest: str
    version: str | None = None
    license: str | None = None
    url: str | None = None


def sbom(
    name: str,
    digest: str,
    *,
    base: Source | None,
    data: Iterable[Source],
    license: str | None,
    tool_version: str,
) -> dict[str, Any]:
    """The document for the model `name` whose weights have the SHA-256 `digest`; base: None for one that was
    trained from scratch.

    It holds no time and its serial number comes from its content, so the same model gives the same document.
    """
    sources = [_component("data", source) for source in data]
    parts = [*([_component("machine-learning-model", base)] if base else []), *sources]
    model = _component("machine-learning-model", Source(name, digest, license=license))
    model["modelCard"] = {
        "modelParameters": {
            "task": "text-generation",
            "datasets": [{"ref": part["bom-ref"]} for part in sources],
        }
    }
    if not sources:
        del model["modelCard"]["modelParameters"]["datasets"]
    if base:
        ancestor = {key: value for key, value in parts[0].items() if key != "bom-ref"}
        model["pedigree"] = {"ancestors": [ancestor]}
    tool = {"type": "application", "name": "tinsmith", "version": tool_version}
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"tools": {"components": [tool]}, "component": model},
        "components": parts,
        "dependencies": [{"ref": model["bom-ref"], "dependsOn": [part["bom-ref"] for part in parts]}],
    }
    content = json.dumps(document, sort_keys=True)
    document["serialNumber"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, content)}"
    return document


def _component(kind: str, source: Source) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": kind,
        "bom-ref": f"{kind}/{source.name}@{source.digest[:16]}",
        "name": source.name,
        "hashes": [{"alg": "SHA-256", "content": source.digest}],
    }
    if source.version:
        component["version"] = source.version
    if source.license:
        spdx = _SPDX.get(source.license.lower())
        component["licenses"] = [{"license": {"id": spdx} if spdx else {"name": source.license}}]
    if source.url:
        component["externalReferences"] = [{"type": "distribution", "url": source.url}]
    return component
