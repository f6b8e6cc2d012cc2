"""SHA-256 of the C core against hashlib, by the processor's own instructions and without."""

from __future__ import annotations

import ctypes
import hashlib
import random
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "kernels" / "core" / "seal" / "sha256.c"


class State(ctypes.Structure):
    _fields_ = [
        ("state", ctypes.c_uint32 * 8),
        ("bytes", ctypes.c_uint64),
        ("block", ctypes.c_uint8 * 64),
    ]


@pytest.fixture(scope="module", params=["own instructions", "plain C"])
def library(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    path = tmp_path_factory.mktemp("sha256") / "sha256.so"
    flags = ["-DTIN_SCALAR_ONLY"] if request.param == "plain C" else []
    strict = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run(["cc", *strict, *flags, SOURCE, "-o", path], check=True)
    loaded = ctypes.CDLL(str(path))
    loaded.tini_sha256_begin.restype = State
    return loaded


def digest(library: ctypes.CDLL, *parts: bytes) -> bytes:
    state = library.tini_sha256_begin()
    for part in parts:
        library.tini_sha256_add(ctypes.byref(state), part, ctypes.c_size_t(len(part)))
    out = ctypes.create_string_buffer(32)
    library.tini_sha256_end(ctypes.byref(state), out)
    return out.raw


def test_it_is_hashlibs_for_every_length_in_any_pieces(library: ctypes.CDLL) -> None:
    rng = random.Random(1)
    for size in [*range(200), 1000, 4096, 100_003]:
        data = rng.randbytes(size)
        cuts = sorted(rng.randrange(size + 1) for _ in range(3))
        pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, size], strict=True)]
        assert digest(library, data) == digest(library, *pieces) == hashlib.sha256(data).digest()
