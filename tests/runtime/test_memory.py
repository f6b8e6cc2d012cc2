"""What a program may find in the memory that the Python face gives it."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from tinsmith import _core
from tinsmith.compiler import build, build_image, program
from tinsmith.graph import Graph
from tinsmith.models import Spec

OPS_AT = 24  # in program.bin's header: how many ops, and bytes of names behind them
SECRET = b"what a process had in its memory "


@pytest.fixture(scope="module")
def unwritten(spec: Spec) -> _core.Model:
    """A hostile model: of its ops only the last is left, whose logits are of a value that nothing wrote."""
    plain, size = program.write_program, program._OP.size

    def last_alone(graph: Graph, **options: Any) -> bytes:
        data = bytearray(plain(graph, **options))
        ops, text = struct.unpack_from("<2I", data, OPS_AT)
        struct.pack_into("<I", data, OPS_AT, 1)
        end = len(data) - text
        del data[end - ops * size : end - size]
        return bytes(data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "write_program", last_alone)
        return _core.Model(build_image(spec))


def scatter() -> None:
    """Leaves the secret in blocks of all sizes, which are free again."""
    pieces = [bytearray(SECRET * (count // len(SECRET))) for count in range(1000, 400_000, 1000)]
    del pieces


@pytest.mark.parametrize("batched", [False, True])
def test_no_old_memory_becomes_logits(unwritten: _core.Model, batched: bool) -> None:
    for _ in range(3):
        scatter()
        session = _core.Session(unwritten, context=64, chunk=16, batched=batched)
        session.append([1])
        if batched:
            batch = _core.Batch(unwritten, rows=16)
            batch.add(session)
            batch.step()
        else:
            session.step()
        assert not any(session.logits()[1])
