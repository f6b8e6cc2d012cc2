"""The tokenizer and the sampler of the C core by themselves, through ctypes."""

from __future__ import annotations

import ctypes as c
from pathlib import Path

from tests.models import c_programs

CORE = Path(__file__).parents[2] / "kernels" / "core"
TOKENIZER = ("tokenizer", "encode", "bpe", "unigram", "normalize", "pretokenizer", "unicode")
SOURCES = [*(CORE / f"text/{name}.c" for name in TOKENIZER), CORE / "session/sampler.c", CORE / "base/error.c"]
SPECIAL, BOS = 1, 2


class Error(c.Structure):
    _fields_ = [("status", c.c_int32), ("text", c.c_char * 252)]


class Bias(c.Structure):
    _fields_ = [("token", c.c_int32), ("value", c.c_float)]


class Sampling(c.Structure):
    _fields_ = [
        ("temperature", c.c_float),
        ("top_k", c.c_uint32),
        ("top_p", c.c_float),
        ("min_p", c.c_float),
        ("repetition_penalty", c.c_float),
        ("repeat_last", c.c_uint32),
        ("seed", c.c_uint64),
        ("measure", c.c_uint32),
        ("presence_penalty", c.c_float),
        ("frequency_penalty", c.c_float),
        ("answered", c.c_uint32),
        ("bias_count", c.c_uint32),
        ("biases", c.POINTER(Bias)),
    ]


# With these, steps.c counts the steps of all sources.
COUNTED = ["-fsanitize-coverage=trace-pc", str(Path(__file__).with_name("steps.c"))]


def load_core(folder: Path, *flags: str) -> c.CDLL:
    core = c.CDLL(str(c_programs.program(folder / "textcore.so", SOURCES, "-O2", "-shared", "-fPIC", *flags)))
    core.tini_tokenize.restype = c.c_int64
    core.tini_tokenize_scratch.restype, core.tini_sample_scratch.restype = c.c_uint64, c.c_size_t
    core.tini_token_bytes.restype = c.c_void_p
    core.tini_split_name.restype = c.c_char_p
    return core


class Opened:
    """A tokenizer.bin that the core has checked; ValueError with the core's message when it refuses."""

    def __init__(self, core: c.CDLL, data: bytes) -> None:
        self.core = core
        self.data = c.create_string_buffer(data, len(data))
        self.view = c.create_string_buffer(512)
        self.open()

    def open(self) -> None:
        error, size = Error(), c.c_size_t(len(self.data))
        if self.core.tini_tokenizer_open(self.view, self.data, size, c.byref(error)):
            raise ValueError(error.text.decode())

    def encode(self, text: str | bytes, flags: int = 0, capacity: int | None = None) -> list[int]:
        """The ids written; with a `capacity` below their number, that many, and the count in `needed`."""
        data = text.encode() if isinstance(text, str) else text
        room = 3 * len(data) + 2 if capacity is None else capacity
        tokens = (c.c_int32 * (room + 1))()
        tokens[room] = -7
        size = c.c_size_t(self.core.tini_tokenize_scratch(self.view, c.c_uint64(len(data))))
        scratch = c.create_string_buffer(size.value)
        length = c.c_size_t(len(data))
        self.needed = self.core.tini_tokenize(
            self.view, data, length, flags, tokens, c.c_size_t(room), scratch, size
        )
        assert self.needed >= 0
        assert tokens[room] == -7
        return tokens[: min(room, self.needed)]

    def token(self, token: int) -> bytes | None:
        length = c.c_uint32()
        address = self.core.tini_token_bytes(self.view, token, c.byref(length))
        return None if address is None else c.string_at(address, length.value)

    def decode(self, tokens: list[int]) -> bytes:
        return b"".join(self.token(token) or b"" for token in tokens)
