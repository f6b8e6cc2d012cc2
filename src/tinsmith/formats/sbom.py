"""A CycloneDX 1.6 bill of materials: the model, its sources and its runtime."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tinsmith.errors import FormatError

# Hugging Face and GGUF write licences in lower case; CycloneDX takes SPDX's spelling or a free name.
_LICENSES = "Apache-2.0 BSD-2-Clause BSD-3-Clause CC-BY-4.0 CC-BY-SA-4.0 CC0-1.0 GPL-3.0-only MIT MPL-2.0"
_SPDX = {name.lower(): name for name in _LICENSES.split()}
_ADAPTER = "tinsmith:adapter"  # the property of an adapter's component; its value is the adapter's name
_FRACTIONS = ("valid", "function", "exact", "equivalent")


@dataclass(frozen=True)
class Source:
    """A source of a model. digest: SHA-256 in hexadecimal. license: an SPDX id or a name."""

    name: str
    digest: str
    version: str | None = None
    license: str | None = None
    url: str | None = None


@dataclass(frozen=True)
class Bill:
    """The facts of the model `name`.

    version: tinsmith's. digest: SHA-256 of the GGUF file that `tinsmith export` writes. base: None for a model
    from scratch. family: architecture. weights: preset of the weight formats. parameters: their number.
    metrics: by measured system, as in report.json; fractions and `exact_interval` are used.
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
        """The document's text. It has no time, and its serial number is a hash of its content, so that the same
        model gives the same bytes."""
        parts = list(self._parts())
        model = self._model(parts)
        tool = {"type": "application", "name": "tinsmith", "version": self.version}
        document = {
            "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "version": 1,
            "metadata": {"tools": {"components": [tool]}, "component": model},
            "components": parts,
            "dependencies": [{"ref": model["bom-ref"], "dependsOn": [part["bom-ref"] for part in parts]}],
        }
        return _encoded(document)

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


def with_adapter(document: bytes, bill: Bill) -> bytes:
    """The document with an adapter of the model and the adapter's sources. Raises FormatError for an invalid
    document."""
    parts = [part for part in bill._parts() if part["type"] != "library"]
    made = bill._model(parts)
    made["properties"] = [*made.get("properties", []), {"name": _ADAPTER, "value": bill.name}]
    adapter = _named({**made, "components": parts}, bill.name)

    def added(components: list[Any]) -> list[Any]:
        names = [_adapter_of(one) for one in components]
        at = names.index(bill.name) if bill.name in names else len(names)
        return [*components[:at], adapter, *components[at + 1 :]]

    return _with_components(document, added)


def without_adapter(document: bytes, name: str) -> bytes:
    return _with_components(
        document, lambda components: [one for one in components if _adapter_of(one) != name]
    )


def rename_adapter(document: bytes, old: str, new: str) -> bytes:
    def renamed(components: list[Any]) -> list[Any]:
        return [_named(one, new) if _adapter_of(one) == old else one for one in components]

    return _with_components(document, renamed)


def _adapter_of(component: dict[str, Any]) -> str | None:
    """The name of the adapter that the component describes; None for another component."""
    properties = component.get("properties", [])
    return next((one["value"] for one in properties if one["name"] == _ADAPTER), None)


def _named(component: dict[str, Any], name: str) -> dict[str, Any]:
    """An adapter's component under a name. Its sources get references with that name, since adapters may share
    sources."""
    refs = {
        part["bom-ref"]: f"adapter/{name}/{part['name']}@{_short(part)}" for part in component["components"]
    }
    text = json.dumps({**component, "name": name, "bom-ref": f"adapter/{name}@{_short(component)}"})
    for before, after in refs.items():
        text = text.replace(json.dumps(before), json.dumps(after))
    made: dict[str, Any] = json.loads(text)
    made["properties"] = [
        {"name": one["name"], "value": name if one["name"] == _ADAPTER else one["value"]}
        for one in made["properties"]
    ]
    return made


def _short(component: dict[str, Any]) -> str:
    return str(component["hashes"][0]["content"])[:16]


def with_packages(document: bytes, packages: Sequence[Source]) -> bytes:
    """The document with Python packages shipped with the model. Raises FormatError for an invalid document."""
    purls = [f"pkg:pypi/{source.name}@{source.version}" for source in packages]
    components = [_component("library", source) for source in packages]
    added = [{**one, "purl": purl} for one, purl in zip(components, purls, strict=True)]
    return _with_components(document, lambda parts: [*parts, *added])


def _with_components(document: bytes, change: Callable[[list[Any]], list[Any]]) -> bytes:
    """change: from the document's components to the new ones, on which the model depends."""
    try:
        materials = json.loads(document)
        before = materials.get("components", [])
        materials["components"] = change(before)
        old, new = ([part["bom-ref"] for part in parts] for parts in (before, materials["components"]))
        for model in materials.get("dependencies", [])[:1]:
            model["dependsOn"] = [*(ref for ref in model["dependsOn"] if ref not in old), *new]
    except (ValueError, AttributeError, KeyError, TypeError, IndexError):
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
