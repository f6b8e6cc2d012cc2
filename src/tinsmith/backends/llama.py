"""llama.cpp, through llama-cpp-python's bindings of its C API."""

from __future__ import annotations

import ctypes
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tinsmith.backends.files import as_gguf
from tinsmith.errors import FormatError, InputError, MissingExtraError, TinsmithError
from tinsmith.formats.gguf import read as file_of
from tinsmith.runtime.engine import Engine, Opened, Outside, OutsideAdapter
from tinsmith.spec import Buffer

_BATCH = 512
_FIRST_CONTEXT = 2048  # a conversation that outgrows it is computed again in a context twice as large


def load_api() -> Any:
    """The bindings, with logging off. Raises MissingExtraError where they are not installed."""
    if find_spec("llama_cpp") is None:
        raise MissingExtraError("llama_cpp", "llama")
    return _silent()[0]


@cache
def _silent() -> tuple[Any, Any]:
    """The bindings, and the log callback, which must live as long as llama.cpp is loaded."""
    import llama_cpp as api

    log = api.llama_log_callback(lambda level, text, data: None)
    api.llama_log_set(log, None)
    api.llama_backend_init()
    return api, log


def load_model(api: Any, gguf: Path, gpu_layers: int = 0) -> Any:
    """llama.cpp's pointer to a model. Raises FormatError for a file that llama.cpp refuses."""
    parameters = api.llama_model_default_params()
    parameters.n_gpu_layers = gpu_layers
    model = api.llama_model_load_from_file(str(gguf).encode(), parameters)
    if not model:
        raise FormatError(f"{gguf}: llama.cpp does not load it")
    return model


class Llama(Engine):
    """Keys and values are float16, llama.cpp's default. Windowed caches store all positions, so that a
    conversation can be rewound."""

    runtime = "llama.cpp"

    def __init__(self, api: Any, model: Any, base: Path, threads: int) -> None:
        vocab = api.llama_vocab_n_tokens(api.llama_model_get_vocab(model))
        super().__init__(api.llama_model_n_ctx_train(model), vocab, _BATCH)
        self.rewinds = not (api.llama_model_is_recurrent(model) or api.llama_model_is_hybrid(model))
        self._api = api
        self._model = model
        self.base = base
        self._threads = threads
        self._room = 0
        self._context: Any = None
        self._batch = api.llama_batch_init(_BATCH, 0, 1)
        # llama.cpp configures AMX's tiles once a thread, and torch's products release them: in a thread that
        # runs both, llama.cpp's next tile instruction is illegal. So it runs in a separate thread.
        self._thread = ThreadPoolExecutor(1, "llama.cpp")

    def __del__(self) -> None:
        if self._context:
            self._api.llama_free(self._context)
        self._api.llama_batch_free(self._batch)
        self._api.llama_model_free(self._model)

    def _rewind(self, position: int) -> int:
        if not self._context:
            return 0
        memory = self._api.llama_get_memory(self._context)
        if self._api.llama_memory_seq_rm(memory, 0, position, -1):
            return position
        self._api.llama_memory_clear(memory, False)  # a recurrent state can't be rewound
        return 0

    def _compute(self, tokens: Sequence[int], position: int, rows: int) -> Buffer:
        count = len(tokens)
        if position + count > self._room:
            self._grow(position + count)
            for begin in range(0, position, _BATCH):
                self._decode(self._cached[begin : min(begin + _BATCH, position)], begin, 0)
        self._decode(tokens, position, rows)
        if not rows:
            return b""
        return ctypes.string_at(self._api.llama_get_logits(self._context), rows * self.vocab * 4)

    def _grow(self, wanted: int) -> None:
        api = self._api
        if self._context:
            api.llama_free(self._context)
        self._room = min(max(_FIRST_CONTEXT, 1 << (wanted - 1).bit_length()), max(self.context, wanted))
        parameters = api.llama_context_default_params()
        parameters.n_ctx = self._room
        parameters.n_batch = parameters.n_ubatch = _BATCH
        parameters.n_threads = parameters.n_threads_batch = self._threads
        parameters.swa_full = True
        parameters.no_perf = True
        self._context = api.llama_init_from_model(self._model, parameters)
        if not self._context:
            raise InputError(f"llama.cpp can't allocate {self._room} tokens; give a shorter prompt")
        self._apply(self._applied)

    def adapter(self, gguf: Path) -> OutsideAdapter:
        """Loads an adapter, which the model frees."""
        handle = self._api.llama_adapter_lora_init(self._model, str(gguf).encode())
        if not handle:
            raise FormatError(f"{gguf}: llama.cpp does not load it as an adapter of {self.base}")
        tensors = file_of(gguf).tensors
        columns = [tensor for name, tensor in tensors.items() if name.endswith(".lora_a")]
        rank = max(tensor.shape[-1] for tensor in columns)
        return OutsideAdapter(handle, len(columns), rank, sum(tensor.size for tensor in tensors.values()))

    def _apply(self, applied: Outside) -> None:
        if not self._context:  # _grow applies them to the next one
            return
        api, count = self._api, len(applied)
        handles = (api.llama_adapter_lora_p_ctypes * count)(*(adapter.handle for adapter, _ in applied))
        scales = (ctypes.c_float * count)(*(scale for _, scale in applied))
        if api.llama_set_adapters_lora(self._context, handles, count, scales):
            raise TinsmithError("llama.cpp: llama_set_adapters_lora failed")

    def _decode(self, tokens: Sequence[int], position: int, rows: int) -> None:
        batch, count = self._batch, len(tokens)
        batch.n_tokens = count
        for k, token in enumerate(tokens):
            batch.token[k] = token
            batch.pos[k] = position + k
            batch.n_seq_id[k] = 1
            batch.seq_id[k][0] = 0
            batch.logits[k] = k >= count - rows
        decoded = self._thread.submit(self._api.llama_decode, self._context, batch)
        try:
            status = decoded.result()
        finally:
            wait([decoded])  # after an interrupt, too: nothing may still run on the context
        if status:
            raise TinsmithError(f"llama.cpp: llama_decode failed with status {status}")


def open_engine(path: Path, *, threads: int, gpu_layers: int = 0) -> Opened:
    """path: a .gguf, or a model to convert to one. gpu_layers: layers that a GPU computes, -1 for all;
    llama-cpp-python must be built for it."""
    api = load_api()
    from tinsmith.models.gguf_spec import read_words

    path = as_gguf(path)
    file = file_of(path)
    tokenizer, template = read_words(file)
    engine = Llama(api, load_model(api, path, gpu_layers), path, threads)
    if engine.vocab != len(tokenizer.tokens):
        raise FormatError(f"{path}: {len(tokenizer.tokens)} tokens for a vocabulary of {engine.vocab}")
    tensors = file.tensors.values()
    return Opened(
        engine=engine,
        tokenizer=tokenizer,
        chat_template=template,
        facts={
            "name": str(file.get("general.name", "")),
            "family": str(file.get("general.architecture", "")),
            "parameters": api.llama_model_n_params(engine._model),
            "weight_bytes": sum(tensor.size for tensor in tensors),
            "tensors": dict(Counter(tensor.type.name for tensor in tensors)),
            "backend": f"llama.cpp (llama-cpp-python {api.__version__})",
        },
    )
