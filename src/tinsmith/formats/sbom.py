"""A CycloneDX 1.6 bill of materials: the model, and what it was made from and runs by."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tinsmith.errors import FormatError

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
_FRACTIONS = ("valid", "function", "exact", "equivalent")


@dataclass(frozen=True)
class Source:
    """Something a model was made from. digest: SHA-256 in hexadecimal; license: an SPDX id or a name."""

    name: str
    digest: str
    version: str | None = None
    license: str | None = None
    url: str | None = None


@dataclass(frozen=True)
class Bill:
    """What is known of the model `name`.

    version: tinsmith's. digest: the SHA-256 of the model as a GGUF file, which `tinsmith export` gives back.
    base: None for a model that was trained from nothing. family: its architecture. weights: the preset of its
    weight formats. parameters: how many. recipe: what states how it was made. metrics: of each system that was
    measured, its figures as in report.json; fractions and `exact_interval` are taken.
    """

    name: str
    version: str
    digest: str = ""
    base: Source | None = None
    data: tuple[Source, ...] = ()
    license: str | None = None
    family: str | None = None
    weights: str | None = None
    parameters: int | None = None
    recipe: Source | None = None
    metrics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def encode(self) -> bytes:
        """The document's text. It holds no time and its serial number comes from its content, so the same model
        gives the same bytes."""
        return _encoded(self._document())

    def _document(self) -> dict[str, Any]:
        parts = list(self._parts())
        model = self._model(parts)
        tool = {"type": "application", "name": "tinsmith", "version": self.version}
        return {
            "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "version": 1,
            "metadata": {"tools": {"components": [tool]}, "component": model},
            "components": parts,
            "dependencies": [{"ref": model["bom-ref"], "dependsOn": [part["bom-ref"] for part in parts]}],
        }

    def _parts(self) -> Iterator[dict[str, Any]]:
        """Base, data, recipe, and the library that runs the model."""
        if self.base is not None:
            yield _component("machine-learning-model", self.base)
        for source in self.data:
            yield {**_component("data", source), "data": [{"type": "dataset", "name": source.name}]}
        if self.recipe is not None:
            configuration = [{"type": "configuration", "name": self.recipe.name}]
            yield {**_component("data", self.recipe), "data": configuration}
        yield {
            "type": "library",
            "bom-ref": f"library/libtin@{self.version}",
            "name": "libtin",
            "version": self.version,
            "description": "tinsmith's runtime, which any of its builds of this version may stand in for",
            "licenses": _licenses("Apache-2.0"),
        }

    def _model(self, parts: list[dict[str, Any]]) -> dict[str, Any]:
        model = _component("machine-learning-model", Source(self.name, self.digest, license=self.license))
        datasets = [
            {"ref": part["bom-ref"]} for part in parts if part.get("data", [{}])[0].get("type") == "dataset"
        ]
        card: dict[str, Any] = {
            "task": "text-generation",
            "inputs": [{"format": "text"}],
            "outputs": [{"format": "text"}],
        }
        if self.family:
            card["architectureFamily"] = self.family
        if datasets:
            card["approach"], card["datasets"] = {"type": "supervised"}, datasets
        model["modelCard"] = {"modelParameters": card}
        if self.metrics:
            model["modelCard"]["quantitativeAnalysis"] = {"performanceMetrics": list(self._metrics())}
        if self.base is not None:
            model["pedigree"] = {"ancestors": [{k: v for k, v in parts[0].items() if k != "bom-ref"}]}
        facts = {"weights": self.weights, "parameters": self.parameters}
        stated = [{"name": f"tinsmith:{k}", "value": str(v)} for k, v in facts.items() if v is not None]
        if stated:
            model["properties"] = stated
        return model

    def _metrics(self) -> Iterator[dict[str, Any]]:
        for system, figures in self.metrics.items():
            for name in _FRACTIONS:
                if figures.get(name) is None:
                    continue
                metric: dict[str, Any] = {"type": name, "value": str(figures[name]), "slice": f"test, {system}"}
                if name == "exact" and figures.get("exact_interval"):
                    low, high = figures["exact_interval"]
                    metric["confidenceInterval"] = {"lowerBound": str(low), "upperBound": str(high)}
                yield metric


def with_packages(document: bytes, packages: Sequence[Source]) -> bytes:
    """The document with packages of Python that go along with the model. Raises FormatError for one that is no
    bill of materials."""
    try:
        materials = json.loads(document)
        parts = [
            {**_component("library", source), "purl": f"pkg:pypi/{source.name}@{source.version}"}
            for source in packages
        ]
        materials["components"] = [*materials.get("components", []), *parts]
        for model in materials.get("dependencies", [])[:1]:
            model["dependsOn"] = [*model["dependsOn"], *(part["bom-ref"] for part in parts)]
    except (ValueError, AttributeError, KeyError, TypeError):
        raise FormatError("sbom.cdx.json: is no bill of materials of CycloneDX") from None
    return _encoded(materials)


def _encoded(document: dict[str, Any]) -> bytes:
    content = json.dumps({key: document[key] for key in document if key != "serialNumber"}, sort_keys=True)
    document["serialNumber"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, content)}"
    return (json.dumps(document, indent=1) + "\n").encode()


def _licenses(license: str) -> list[dict[str, Any]]:
    spdx = _SPDX.get(license.lower())
    return [{"license": {"id": spdx} if spdx else {"name": license}}]


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
        component["licenses"] = _licenses(source.license)
    if source.url:
        component["externalReferences"] = [{"type": "distribution", "url": source.url}]
    return component
