"""A tiny model that chats, and questions for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.models.tiny_models import tiny_spec
from tinsmith import cli
from tinsmith.compiler import build_tin

TEMPLATE = (
    "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


@pytest.fixture(scope="session")
def tiny_tin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("batch") / "a.tin"
    spec = tiny_spec("llama", hidden_size=64, intermediate_size=96)
    build_tin(replace(spec, chat_template=TEMPLATE), path)
    return path


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    """Sixty questions, some of them twice, and a line that is none."""
    path = tmp_path / "in.jsonl"
    lines = [json.dumps({"input": f"what is {k % 50}?"}) for k in range(60)]
    path.write_text("\n".join([*lines[:40], '{"input": ', *lines[40:]]) + "\n")
    return path


Run = Callable[..., int]


@pytest.fixture
def batch(tiny_tin: Path) -> Run:
    """tinsmith batch with the tiny model; in this process, unless --workers says otherwise."""

    def run(*words: object) -> int:
        own = [] if "--workers" in words else ["--workers", "1"]
        return cli.main(["batch", str(tiny_tin), *map(str, words), *own, "--max-tokens", "4"])

    return run
