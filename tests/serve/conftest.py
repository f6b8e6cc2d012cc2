"""Two tiny models behind a server: one with adapters and a router, one that thinks, calls, fills in as Qwen."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import ollama
import openai
import pytest

from tests.chat.test_chat_template import THINKING
from tests.models import random_adapters
from tests.models.tiny_models import in_format, tiny_spec, with_controls
from tests.models.transformers_models import CHATML
from tests.serve.served import CONTEXT, Running, running
from tests.vision.chat_models import with_words
from tests.vision.vision_models import save_random
from tinsmith import models
from tinsmith.compiler import build_tin
from tinsmith.formats.router import ENTRY, Router
from tinsmith.models import family
from tinsmith.runtime.loaded import INFILL_MARKS


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("serve")
    tiny, thinker = folder / "tiny.tin", folder / "thinker.tin"
    sizes = {"hidden_size": 64, "intermediate_size": 96, "max_position_embeddings": CONTEXT}
    spec = in_format(replace(tiny_spec(family.by_name("llama"), **sizes), chat_template=CHATML), "Q8_0")
    build_tin(spec, tiny)
    skills = {f"adapter/{name}.bin": random_adapters.compiled(tiny, seed=k) for k, name in enumerate("ab")}
    chance = random.Random(1)
    rows = 4  # two tasks, none of them, and one more
    weights = [chance.gauss(0, 1) / 8 for _ in range(rows * 64)]
    router = Router(("a", "b"), 64, weights, [0.0] * rows, [0.2, 0.2])
    build_tin(spec, tiny, entries={**skills, ENTRY: router.pack()})
    thinking = replace(spec, chat_template=THINKING + "{# <tool_call> tells the format of calls #}")
    build_tin(replace(thinking, tokenizer=with_controls(spec.tokenizer, INFILL_MARKS[0])), thinker)
    return [tiny, thinker]


@pytest.fixture(scope="session")
def server(files: list[Path]) -> Iterator[Running]:
    with running(files, slots=4, context=CONTEXT) as made:
        yield made


@pytest.fixture(scope="session")
def chatgpt(server: Running) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)


@pytest.fixture(scope="session")
def llama(server: Running) -> ollama.Client:
    return ollama.Client(host=server.url)


@pytest.fixture(scope="session")
def eyes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model that sees; blind.tin beside it is the same without eyes."""
    pytest.importorskip("PIL")
    folder = tmp_path_factory.mktemp("eyes")
    save_random("smolvlm", folder)
    spec = with_words("smolvlm", models.load(folder))
    build_tin(spec, folder / "eyes.tin")
    build_tin(replace(spec, vision=None), folder / "blind.tin")
    return folder / "eyes.tin"
