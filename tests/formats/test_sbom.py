"""The bill of materials against CycloneDX's own schema, where its validator is installed."""

from __future__ import annotations

import copy
import json

import pytest

from tinsmith.formats.sbom import Source, sbom

DIGEST = "ab" * 32


def document() -> dict[str, object]:
    return sbom(
        "home",
        DIGEST,
        base=Source("SmolLM2", "cd" * 32, version="2", license="apache-2.0", url="https://example.org/m"),
        data=[Source("train", "ef" * 32, license="my own terms")],
        license="Apache-2.0",
        tool_version="0.1.0",
    )


def test_the_schema_accepts_it() -> None:
    schema = pytest.importorskip("cyclonedx.schema")
    validation = pytest.importorskip("cyclonedx.validation.json")
    pytest.importorskip("jsonschema")
    validator = validation.JsonStrictValidator(schema.SchemaVersion.V1_6)
    assert validator.validate_str(json.dumps(document())) is None
    broken = {**document(), "specVersion": 7}
    assert validator.validate_str(json.dumps(broken)) is not None


def test_it_names_base_and_data_with_digests() -> None:
    found = document()
    components = found["components"]
    assert isinstance(components, list)
    assert [(part["type"], part["hashes"][0]["content"]) for part in components] == [
        ("machine-learning-model", "cd" * 32),
        ("data", "ef" * 32),
    ]
    assert components[0]["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    assert components[1]["licenses"] == [{"license": {"name": "my own terms"}}]


def test_the_same_model_gives_the_same_document() -> None:
    assert document() == copy.deepcopy(document())
    other = sbom("home", "00" * 32, base=Source("b", DIGEST), data=[], license=None, tool_version="0.1.0")
    assert other["serialNumber"] != document()["serialNumber"]
