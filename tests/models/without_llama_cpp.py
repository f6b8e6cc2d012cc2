"""The families that llama.cpp has no architecture for."""

from __future__ import annotations

from pathlib import Path

import pytest

FAMILIES = {"lfm3"}
REASON = "llama.cpp has no such architecture yet"


def refuses(path: Path) -> bool:
    """Whether llama.cpp does not load a GGUF file: once it does, its family is none of these."""
    api = pytest.importorskip("llama_cpp")
    options = api.llama_model_default_params()
    options.vocab_only = True
    return not api.llama_model_load_from_file(str(path).encode(), options)
