"""Constrained output over vocabularies of SentencePiece and unigram: byte tokens, spaces, no prefix in the
middle."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

import tinsmith
from tests.kernels.tokenizer_kinds import KINDS, save
from tests.models.tiny_models import tiny_spec
from tinsmith import compiler
from tinsmith.models import family
from tinsmith.tokenizer import tokenizer_json

NAME = "日本 é \U0001f642"
SCHEMA = {
    "type": "object",
    "properties": {"name": {"const": NAME}, "size": {"enum": ["small one", "large one"]}},
    "required": ["name", "size"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tinsmith.Model]:
    folder = tmp_path_factory.mktemp("kinds")

    def make(kind: str) -> tinsmith.Model:
        t = tokenizer_json.read(save(KINDS[kind](), folder / kind))[0]
        spec = tiny_spec(family.by_name("llama"), vocab_size=len(t.tokens), hidden_size=32, num_hidden_layers=1)
        path = folder / f"{kind}.tin"
        compiler.build_tin(replace(spec, tokenizer=t, chat_template=None), path)
        return tinsmith.load(path)

    return make


@pytest.mark.parametrize("kind", ["llama2", "gemma", "unigram-bytes"])
def test_only_what_the_schema_allows_comes_out(models: Callable[[str], tinsmith.Model], kind: str) -> None:
    model = models(kind)
    schema = tinsmith.schema(SCHEMA)
    for seed in range(4):
        answer = model.generate("Say it:", constraint=schema, max_tokens=200, seed=seed, temperature=1.0).text
        call = json.loads(answer)
        assert call["name"] == NAME
        assert call["size"] in ("small one", "large one")


@pytest.mark.parametrize("kind", ["llama2", "gemma"])
def test_what_must_come_is_cut_as_in_the_middle_of_text(
    models: Callable[[str], tinsmith.Model], kind: str
) -> None:
    """No space is put before it, whatever the tokenizer puts before a text."""
    model = models(kind)
    constraint = tinsmith.choices(["return to the floor"])
    text = "I said:"
    answer = model.generate(text, constraint=constraint, max_tokens=40)
    assert answer.text == "return to the floor"
    whole = model.tokenize(text + answer.text)
    assert whole == model.tokenize(text) + list(answer.token_ids)[: len(whole) - len(model.tokenize(text))]
    healed = model.generate("I sa", constraint=tinsmith.regex("[a-z ]{4,8}"), heal=True, max_tokens=12)
    assert healed.text
