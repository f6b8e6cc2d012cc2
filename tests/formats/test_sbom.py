"""The bill of materials against CycloneDX's own schema, where its validator is installed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tinsmith.errors import FormatError
from tinsmith.formats.sbom import Bill, Source, with_packages

DIGEST = "ab" * 32


def bill(**more: Any) -> Bill:
    return Bill(
        "home",
        "0.1.0",
        digest=DIGEST,
        base=Source("SmolLM2", "cd" * 32, version="2", license="apache-2.0", url="https://example.org/m"),
        data=(Source("train", "ef" * 32, license="my own terms"),),
        license="Apache-2.0",
        **more,
    )


FULL = {
    "family": "llama",
    "weights": "Q4_0",
    "parameters": 135_000_000,
    "recipe": Source("recipe.toml", "12" * 32),
    "metrics": {
        "unconstrained": {
            "items": 8,
            "valid": 1.0,
            "exact": 0.5,
            "exact_interval": [0.25, 0.75],
            "function": None,
        },
    },
}


def document(**more: Any) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(bill(**more).encode())
    return parsed


def test_the_schema_accepts_it() -> None:
    schema = pytest.importorskip("cyclonedx.schema")
    validation = pytest.importorskip("cyclonedx.validation.json")
    pytest.importorskip("jsonschema")
    validator = validation.JsonStrictValidator(schema.SchemaVersion.V1_6)
    for facts in ({}, FULL):
        assert validator.validate_str(json.dumps(document(**facts))) is None
    assert validator.validate_str(Bill("bare", "0.1.0", digest=DIGEST).encode().decode()) is None
    broken = {**document(), "specVersion": 7}
    assert validator.validate_str(json.dumps(broken)) is not None


def test_it_names_base_data_recipe_and_runtime() -> None:
    components = document(**FULL)["components"]
    assert [(part["type"], part["name"]) for part in components] == [
        ("machine-learning-model", "SmolLM2"),
        ("data", "train"),
        ("data", "recipe.toml"),
        ("library", "libtin"),
    ]
    assert [part["hashes"][0]["content"] for part in components[:3]] == ["cd" * 32, "ef" * 32, "12" * 32]
    assert components[0]["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    assert components[1]["licenses"] == [{"license": {"name": "my own terms"}}]
    assert components[3]["licenses"] == [{"license": {"id": "Apache-2.0"}}]


def test_the_model_has_its_formats_and_metrics() -> None:
    model = document(**FULL)["metadata"]["component"]
    assert model["hashes"] == [{"alg": "SHA-256", "content": DIGEST}]
    assert {"name": "tinsmith:weights", "value": "Q4_0"} in model["properties"]
    card = model["modelCard"]
    assert card["modelParameters"]["architectureFamily"] == "llama"
    assert card["modelParameters"]["datasets"] == [{"ref": "data/train@" + "ef" * 8}]
    assert card["quantitativeAnalysis"]["performanceMetrics"] == [
        {"type": "valid", "value": "1.0", "slice": "test, unconstrained"},
        {
            "type": "exact",
            "value": "0.5",
            "slice": "test, unconstrained",
            "confidenceInterval": {"lowerBound": "0.25", "upperBound": "0.75"},
        },
    ]


def test_the_same_model_gives_the_same_document() -> None:
    assert bill(**FULL).encode() == bill(**FULL).encode()
    assert document(weights="Q8_0")["serialNumber"] != document(weights="Q4_0")["serialNumber"]


def test_packages_are_added_to_what_is_there() -> None:
    schema = pytest.importorskip("cyclonedx.schema")
    validation = pytest.importorskip("cyclonedx.validation.json")
    package = Source("click", "34" * 32, version="8.1.3", license="BSD-3-Clause")
    before = bill(**FULL).encode()
    text = with_packages(before, [package])
    assert validation.JsonStrictValidator(schema.SchemaVersion.V1_6).validate_str(text.decode()) is None
    new, old = json.loads(text), json.loads(before)
    assert new["components"][:-1] == old["components"]
    assert new["components"][-1]["purl"] == "pkg:pypi/click@8.1.3"
    assert new["dependencies"][0]["dependsOn"][-1] == new["components"][-1]["bom-ref"]
    assert new["serialNumber"] != old["serialNumber"]
    assert with_packages(before, [package]) == text
    for damaged in (b"{", b"[]", b'{"components": 1}'):
        with pytest.raises(FormatError, match="no bill of materials"):
            with_packages(damaged, [package])
