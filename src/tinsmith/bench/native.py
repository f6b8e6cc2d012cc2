"""tinsmith itself, through the compiled core."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tinsmith import _core
from tinsmith.bench.engine import filler
from tinsmith.compiler.program import Listing, read_program
from tinsmith.runtime import Model, load


class Native:
    def __init__(self, model: Model) -> None:
        info = model.info
        self._model = model
        self._held: _core.Session | None = None
        self._session: _core.Session | None = None
        self.context = info.context
        program = read_program(model.tin.entry("program.bin"))
        self.facts: dict[str, Any] = {
            "format": program.main_format,
            "isa": info.isa,
            "weight_bytes_per_token": info.bytes - _unread_bytes(program),
        }

    def prepare(self, threads: int, depth: int, prompt: int, generate: int) -> None:
        self._held = self._session = None  # their threads end before others start
        self._generate = generate
        self._tokens = filler(prompt, self._model.info.vocab)
        room = depth + max(prompt, generate)
        self._held, self._session = (
            _core.Session(self._model.core, context=room, threads=threads, duty_cycle=self._model.duty_cycle)
            for _ in range(2)
        )
        if depth:
            self._held.append(filler(depth, self._model.info.vocab))
            _finish(self._held)
        self.decode()
        self.prompt()

    def decode(self) -> float:
        session = self._copied()
        token = self._tokens[0]
        began = time.perf_counter()
        for _ in range(self._generate):
            session.append([token])
            _finish(session)
            token = session.sample()
        return time.perf_counter() - began

    def prompt(self) -> float:
        session = self._copied()
        began = time.perf_counter()
        session.append(self._tokens)
        _finish(session)
        return time.perf_counter() - began

    def _copied(self) -> _core.Session:
        """A session that holds the `depth` tokens alone: windows and recurrent states can't go back to them."""
        assert self._session is not None and self._held is not None
        self._session.copy_from(self._held)
        return self._session


def _finish(session: _core.Session) -> None:
    computed = session.step()
    assert computed == _core.STEP_LOGITS


def find_source(path: Path) -> Path:
    return path


def open_model(path: Path, isa: str | None = None, duty_cycle: int = 100) -> Native:
    return Native(load(path, isa=isa, duty_cycle=duty_cycle))


def _unread_bytes(program: Listing) -> int:
    """Weight bytes that decoding a token does not read: all rows but one of the layers' embeddings, and of the
    embedding unless it is the head."""
    names = ("embed", "layer_embed") if "head" in program.tensors else ("layer_embed",)
    tensors = (program.tensors[name] for name in names if name in program.tensors)
    return sum(tensor.bytes - tensor.bytes // tensor.rows for tensor in tensors)
