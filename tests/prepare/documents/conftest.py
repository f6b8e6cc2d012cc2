from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.models.tiny_models import tiny_spec
from tinsmith import models

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="session")
def chat_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny llama with a chat template and room for a passage."""
    folder = tmp_path_factory.mktemp("base")
    spec = tiny_spec("llama", max_position_embeddings=4096)
    models.save_hf(replace(spec, chat_template=TEMPLATE), folder)
    return folder
