"""Every family answers within a schema."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

import tinsmith
from tests.models.tiny_models import cases, tiny_spec
from tinsmith import _core
from tinsmith.compiler import build_image
from tinsmith.runtime import Model

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "size": {"type": "integer", "minimum": 1, "maximum": 99},
    },
    "required": ["name", "size"],
    "additionalProperties": False,
}


@pytest.mark.proves("constrained")
@pytest.mark.parametrize("case", cases())
def test_answers_within_a_schema(case: str) -> None:
    image = build_image(tiny_spec(case))
    model = Model(_core.Model(image), image, threads=1)
    constraint = tinsmith.schema(SCHEMA)
    prompts = [[5, 70 + k, 71] for k in range(3)]
    options: dict[str, Any] = {"constraint": constraint, "temperature": 1.5, "seed": 3, "max_tokens": 60}
    for prompt, answer in zip(prompts, model.generate_many(prompts, **options), strict=True):
        jsonschema.validate(json.loads(answer.text), SCHEMA)
        assert model.generate(prompt, **options).token_ids == answer.token_ids
