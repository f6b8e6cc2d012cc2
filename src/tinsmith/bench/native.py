"""tinsmith itself, through the compiled core."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

from tinsmith import _core
from tinsmith.bench.engine import filler
from tinsmith.compiler import program
from tinsmith.formats.weights import WEIGHT_FORMATS, packed_bytes
from tinsmith.runtime import Model, load


class Native:
    def __init__(self, model: Model) -> None:
        info = model.info
        self._model = model
        self._held: _core.Session | None = None
        self._session: _core.Session | None = None
        self.context = info.context
        self.facts: dict[str, Any] = {
            "format": main_format(model),
            "isa": info.isa,
            "weight_bytes_per_token": info.bytes - _unread_bytes(model),
        }

    def prepare(self, threads: int, depth: int, prompt: int, generate: int) -> dict[str, Any]:
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
        return {}

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


def open_model(path: Path, isa: str | None, duty_cycle: int = 100) -> Native:
    return Native(load(path, isa=isa, duty_cycle=duty_cycle))


def main_format(model: Model) -> str:
    """The format of most weights, by bytes."""
    sizes: Counter[str] = Counter()
    for format, rows, inputs, _ in _tensors(model):
        sizes[format] += packed_bytes(format, rows, inputs)
    return sizes.most_common(1)[0][0]


def _unread_bytes(model: Model) -> int:
    """Weight bytes that decoding a token leaves alone: the other rows of the layers' embeddings, and of the
    embedding where the head is not it."""
    tensors = {name: (format, rows, inputs) for format, rows, inputs, name in _tensors(model)}
    names = ("embed", "layer_embed") if "head" in tensors else ("layer_embed",)
    unread = 0
    for format, rows, inputs in (tensors[name] for name in names if name in tensors):
        whole = packed_bytes(format, rows, inputs)
        unread += whole - whole // rows
    return unread


def _tensors(model: Model) -> list[tuple[str, int, int, str]]:
    """Format, rows, inputs and name of every tensor, as program.bin lists them."""
    data = bytes(model.tin.entry("program.bin"))
    head = program._HEADER.unpack_from(data)
    count, text = head[2], data[len(data) - head[6] :]
    names = {kind.number: name for name, kind in WEIGHT_FORMATS.items()}
    tensors = []
    for k in range(count):
        at = program._HEADER.size + k * program._TENSOR.size
        number, rows, inputs, name, *_ = program._TENSOR.unpack_from(data, at)
        tensors.append((names[number], rows, inputs, text[name : text.index(b"\0", name)].decode()))
    return tensors
