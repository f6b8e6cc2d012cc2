"""llama.cpp's own states of an image, by llama-cpp-python's binding of mtmd."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import pytest

np = pytest.importorskip("numpy")


def states(model: Path, mmproj: Path, image: Any) -> list[Any]:
    """float32 [tokens, width] of each chunk that llama.cpp cuts the image into. image: uint8
    [height, width, 3]. Fails where the library refuses a file."""
    llama_cpp = pytest.importorskip("llama_cpp")
    mtmd = pytest.importorskip("llama_cpp.mtmd_cpp")
    llama = llama_cpp.Llama(str(model), n_ctx=64, n_threads=1, verbose=False)
    settings = mtmd.mtmd_context_params_default()
    settings.use_gpu, settings.warmup, settings.n_threads = False, False, 1
    context = mtmd.mtmd_init_from_file(str(mmproj).encode(), llama.model, settings)
    assert context, f"{mmproj}: mtmd_init_from_file refused it"
    height, width, _ = image.shape
    pixels = (ctypes.c_uint8 * image.size).from_buffer_copy(image.tobytes())
    bitmap = mtmd.mtmd_bitmap_init(width, height, pixels)
    chunks = mtmd.mtmd_input_chunks_init()
    try:
        text = mtmd.mtmd_default_marker()
        prompt = mtmd.mtmd_input_text(text, len(text), False, True)
        bitmaps = (ctypes.c_void_p * 1)(bitmap)
        assert mtmd.mtmd_tokenize(context, chunks, ctypes.byref(prompt), bitmaps, 1) == 0
        return [
            _encoded(mtmd, context, chunk, llama_cpp.llama_model_n_embd_inp(llama.model))
            for k in range(mtmd.mtmd_input_chunks_size(chunks))
            if mtmd.mtmd_input_chunk_get_type(chunk := mtmd.mtmd_input_chunks_get(chunks, k))
            == mtmd.MTMD_INPUT_CHUNK_TYPE_IMAGE
        ]
    finally:
        mtmd.mtmd_input_chunks_free(chunks)
        mtmd.mtmd_bitmap_free(bitmap)
        mtmd.mtmd_free(context)
        llama.close()


def _encoded(mtmd: Any, context: Any, chunk: Any, width: int) -> Any:
    assert mtmd.mtmd_encode_chunk(context, chunk) == 0
    count = mtmd.mtmd_input_chunk_get_n_tokens(chunk) * width
    given = mtmd.mtmd_get_output_embd(context)
    return np.ctypeslib.as_array(given, (count,)).reshape(-1, width).copy()
