"""llama.cpp, through the C interface that llama-cpp-python loads.

It runs with its defaults for repacked weights and flash attention, and batches of 512.
"""

from __future__ import annotations

import ctypes
import time
from pathlib import Path
from typing import Any

from tinsmith.backends.files import as_gguf
from tinsmith.backends.llama import load_api, load_model
from tinsmith.bench.engine import filler
from tinsmith.errors import InputError, TinsmithError

_BATCH = 512


class Llama:
    """`depth` tokens in a context, to which each measurement rewinds."""

    def __init__(self, api: Any, model: Any, facts: dict[str, Any]) -> None:
        import numpy

        self._argmax = numpy.argmax
        self._api = api
        self._model = model
        self._vocab = api.llama_vocab_n_tokens(api.llama_model_get_vocab(model))
        self._context: Any = None
        self.context: int = api.llama_model_n_ctx_train(model)
        self.facts = facts

    def prepare(self, threads: int, depth: int, prompt: int, generate: int) -> None:
        if self._context:
            self._api.llama_free(self._context)
        self._tokens, self._generate = filler(prompt, self._vocab), generate
        self._held = filler(depth, self._vocab)
        room = depth + max(prompt, generate)
        parameters = self._api.llama_context_default_params()
        parameters.n_ctx = room
        parameters.n_batch = parameters.n_ubatch = _BATCH
        parameters.n_threads = parameters.n_threads_batch = threads
        parameters.no_perf = True
        self._context = self._api.llama_init_from_model(self._model, parameters)
        if not self._context:
            raise InputError(f"llama.cpp makes no context of {room} tokens; give a smaller --depth or --prompt")
        self._memory = self._api.llama_get_memory(self._context)
        self._run(self._held)
        self.decode()
        self.prompt()

    def adapt(self, path: Path) -> None:
        """Adds an adapter, a GGUF file, in what is measured from now on."""
        adapter = self._api.llama_adapter_lora_init(self._model, str(path).encode())
        if not adapter:
            raise InputError(f"{path}: llama.cpp does not take this adapter")
        adapters = (self._api.llama_adapter_lora_p_ctypes * 1)(adapter)
        scales = (ctypes.c_float * 1)(1.0)
        self._check(self._api.llama_set_adapters_lora(self._context, adapters, 1, scales))

    def prompt(self) -> float:
        self._rewind()
        began = time.perf_counter()
        self._run(self._tokens)
        return time.perf_counter() - began

    def decode(self) -> float:
        self._rewind()
        api = self._api
        one = (api.llama_token * 1)(self._tokens[0])
        began = time.perf_counter()
        for _ in range(self._generate):
            self._check(api.llama_decode(self._context, api.llama_batch_get_one(one, 1)))
            logits = api.llama_get_logits_ith(self._context, -1)
            row = ctypes.cast(logits, ctypes.POINTER(ctypes.c_float * self._vocab)).contents
            one[0] = int(self._argmax(row))
        return time.perf_counter() - began

    def _run(self, tokens: list[int]) -> None:
        api = self._api
        for at in range(0, len(tokens), _BATCH):
            part = tokens[at : at + _BATCH]
            array = (api.llama_token * len(part))(*part)
            self._check(api.llama_decode(self._context, api.llama_batch_get_one(array, len(part))))
        api.llama_synchronize(self._context)

    def _rewind(self) -> None:
        if not self._api.llama_memory_seq_rm(self._memory, 0, len(self._held), -1):
            # A recurrent state can't be rewound: its tokens are computed again.
            self._api.llama_memory_clear(self._memory, False)
            self._run(self._held)

    def _check(self, status: int) -> None:
        if status:
            raise TinsmithError(f"llama.cpp: llama_decode failed with status {status}")


def find_source(path: Path) -> Path:
    load_api()
    return as_gguf(path)


def open_model(gguf: Path, isa: str | None = None, duty_cycle: int = 100) -> Llama:
    api = load_api()
    features = api.llama_print_system_info().decode().strip(" |")
    return Llama(api, load_model(api, gguf), {"version": api.__version__, "system": features})
