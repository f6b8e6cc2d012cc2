"""onnxruntime, through onnxruntime-genai and the model that its own builder makes of the same weights.

The builder takes a float folder, so the weights are dequantized, and rounded again to the builder's int4 or
int8 in blocks of 32. It is built once and kept in the cache folder.
"""

from __future__ import annotations

import json
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tinsmith.bench.engine import filler
from tinsmith.errors import FormatError, TinsmithError
from tinsmith.system import reading


class Onnx:
    def __init__(self, folder: Path, precision: str) -> None:
        import numpy
        import onnxruntime_genai

        self._array, self._int32 = numpy.asarray, numpy.int32
        self._api: Any = onnxruntime_genai
        self._folder = folder
        self._threads = 0
        self._model: Any = None
        self._generator: Any = None
        decoder = reading.read_table(folder / "genai_config.json", FormatError)["model"]
        self._vocab: int = decoder["vocab_size"]
        self.context: int = decoder["context_length"]
        self.facts: dict[str, Any] = {
            "format": precision,
            "version": version("onnxruntime"),
            "genai_version": version("onnxruntime-genai"),
        }

    def prepare(self, threads: int, depth: int, prompt: int, generate: int) -> None:
        self._generator = None
        if threads != self._threads:
            self._model = None
            config = self._api.Config(str(self._folder))
            options = {"intra_op_num_threads": threads, "inter_op_num_threads": 1}
            config.overlay(json.dumps({"model": {"decoder": {"session_options": options}}}))
            self._model, self._threads = self._api.Model(config), threads
        parameters = self._api.GeneratorParams(self._model)
        room = depth + max(prompt, generate + 1)
        # min_length keeps it from ending at an end token.
        parameters.set_search_options(max_length=room, min_length=room, do_sample=False)
        self._depth, self._generate = depth, generate
        self._tokens = self._array(filler(prompt, self._vocab), dtype=self._int32)
        self._generator = self._api.Generator(self._model, parameters)
        if depth:
            self._generator.append_tokens(self._array(filler(depth, self._vocab), dtype=self._int32))
        self.decode()
        self.prompt()

    def decode(self) -> float:
        generator = self._generator
        generator.rewind_to(self._depth)
        began = time.perf_counter()
        # The first step computes the token given; a further one computes the token chosen before.
        generator.append_tokens(self._tokens[:1])
        for _ in range(self._generate):
            generator.generate_next_token()
        seconds = time.perf_counter() - began
        self._expect(self._depth + 1 + self._generate)
        return seconds

    def prompt(self) -> float:
        generator = self._generator
        generator.rewind_to(self._depth)
        began = time.perf_counter()
        generator.append_tokens(self._tokens)
        seconds = time.perf_counter() - began
        self._expect(self._depth + len(self._tokens))
        return seconds

    def _expect(self, count: int) -> None:
        if self._generator.token_count() != count:
            raise TinsmithError(
                f"onnxruntime-genai holds {self._generator.token_count()} tokens where {count} were asked for; "
                "its time would mean nothing"
            )


def find_source(path: Path) -> Path:
    """The folder of the peer's model, exported when the cache has none of these weights by this builder."""
    from tinsmith.backends.onnx import exported

    # Logits of the last token only: without it a prompt pays for every position's.
    return exported(path, precision_of(path), ("prune_lm_head=true",))


def open_model(folder: Path, isa: str | None = None, duty_cycle: int = 100) -> Onnx:
    return Onnx(folder, folder.name.rpartition("-")[2])


def precision_of(path: Path) -> str:
    """int8 where most weights have more than six bits, else int4: the builder's formats."""
    from tinsmith.compiler.program import read_program
    from tinsmith.formats.weights import WEIGHT_FORMATS
    from tinsmith.runtime import load

    kind = WEIGHT_FORMATS[read_program(load(path).tin.entry("program.bin")).main_format]
    return "int8" if kind.bits > 7 else "int4"
