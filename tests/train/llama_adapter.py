"""Logits by llama.cpp, of a model with or without an adapter."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import numpy as np
import pytest


def llama_logits(model: Path, tokens: list[int], adapter: Path | None = None) -> Any:
    """float32 [tokens, vocabulary]; skips the test where llama-cpp-python is not installed."""
    api = pytest.importorskip("llama_cpp")
    silence = api.llama_log_callback(lambda level, text, data: None)
    api.llama_log_set(silence, None)
    api.llama_backend_init()
    options = api.llama_model_default_params()
    options.n_gpu_layers = 0
    loaded = api.llama_model_load_from_file(str(model).encode(), options)
    assert loaded, f"llama.cpp does not load {model}"
    vocab = api.llama_vocab_n_tokens(api.llama_model_get_vocab(loaded))
    options = api.llama_context_default_params()
    options.n_ctx = options.n_batch = options.n_ubatch = len(tokens)
    options.n_threads = options.n_threads_batch = 1
    options.type_k = options.type_v = 0  # F32 keys and values
    options.flash_attn_type = api.LLAMA_FLASH_ATTN_TYPE_DISABLED
    context = api.llama_init_from_model(loaded, options)
    batch = api.llama_batch_init(len(tokens), 0, 1)
    try:
        if adapter is not None:
            lora = api.llama_adapter_lora_init(loaded, str(adapter).encode())
            assert lora, f"llama.cpp does not load {adapter}"
            one, scale = (api.llama_adapter_lora_p_ctypes * 1)(lora), (ctypes.c_float * 1)(1.0)
            assert api.llama_set_adapters_lora(context, one, 1, scale) == 0
        batch.n_tokens = len(tokens)
        for place, token in enumerate(tokens):
            batch.token[place], batch.pos[place], batch.logits[place] = token, place, 1
            batch.n_seq_id[place], batch.seq_id[place][0] = 1, 0
        assert api.llama_decode(context, batch) == 0
        rows = ctypes.cast(
            api.llama_get_logits(context), ctypes.POINTER(ctypes.c_float * (vocab * len(tokens)))
        )
        return np.array(rows.contents, dtype=np.float32).reshape(len(tokens), vocab)
    finally:
        api.llama_batch_free(batch)
        api.llama_free(context)
        api.llama_model_free(loaded)
        api.llama_log_set(ctypes.cast(None, api.llama_log_callback), None)
