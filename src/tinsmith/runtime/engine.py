"""The interface of another runtime behind a Model: logits for tokens. The core samples, constrains, drafts and
tokenizes, so equal logits and seeds give equal answers.

A back end is a module with `open_engine`, registered here by the name of --backend; it is imported, and imports
its runtime, when a model is opened in it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from tinsmith.errors import UnsupportedError
from tinsmith.runtime.image_prompt import shared
from tinsmith.spec import Buffer, Tokenizer

NATIVE = "native"
_MODULES = {"llama.cpp": "tinsmith.backends.llama", "onnxruntime": "tinsmith.backends.onnx"}
# The names of --backend.
BACKENDS = (NATIVE, *_MODULES)


def is_onnx(path: Path) -> bool:
    """An .onnx file, or a folder as onnxruntime-genai's model builder writes it."""
    return (path / "genai_config.json").exists() if path.is_dir() else path.suffix == ".onnx"


class OutsideAdapter:
    """An adapter that a back end holds. handle: the runtime's own; matrices, rank, bytes: as AdapterInfo's."""

    def __init__(self, handle: Any, matrices: int, rank: int, bytes: int) -> None:
        self.handle = handle
        self._info = {"matrices": matrices, "rank": rank, "factor_bytes": bytes, "prefix": 0}

    def info(self) -> dict[str, Any]:
        return self._info


# Adapters and their scales, in the order in which they are added.
Outside = tuple[tuple[OutsideAdapter, float], ...]


class Engine(ABC):
    """An open model with one cache.

    runtime: its name. rewinds: rewinding the cache costs nothing, so drafts pay off. single: a pass gives the
    logits of its last token only. base: the GGUF file that its adapters are for; None: it takes none.
    """

    runtime: str
    rewinds = True
    single = False
    base: Path | None = None

    def __init__(self, context: int, vocab: int, chunk: int) -> None:
        """context: most tokens. vocab: logits a token. chunk: most tokens of a pass."""
        self.context = context
        self.vocab = vocab
        self.chunk = chunk
        self._cached: list[int] = []  # tokens in the cache
        self._applied: Outside = ()  # adapters under which they were computed

    def logits(self, tokens: list[int], rows: int, applied: Outside = ()) -> Buffer:
        """Float32 logits of the last `rows` of the tokens, shape (rows, vocab).

        What the tokens share with those of the last call, under the same adapters, is not computed again.
        """
        if applied != self._applied:
            self._cached.clear()
            self._apply(applied)
            self._applied = applied
        start = self._rewind(min(shared(tokens, self._cached), len(tokens) - rows))
        del self._cached[start:]
        plain = len(tokens) - rows
        parts = []
        for end in self._ends(start, plain, len(tokens)):
            parts.append(self._compute(tokens[start:end], start, max(0, end - max(start, plain))))
            self._cached += tokens[start:end]
            start = end
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _ends(self, start: int, plain: int, count: int) -> Iterator[int]:
        """The ends of the passes from `start` on. With a cache that can't rewind, a pass ends where logits
        begin: the next call may continue from there."""
        while start < count:
            end = min(count, start + self.chunk)
            if start < plain < end and (self.single or not self.rewinds):
                end = plain
            elif start >= plain and self.single:
                end = start + 1
            yield end
            start = end

    def adapter(self, gguf: Path) -> OutsideAdapter:
        """An adapter for this model, from a GGUF file. Raises FormatError where the runtime refuses it."""
        raise UnsupportedError("this back end takes no adapters")

    def _apply(self, applied: Outside) -> None:
        """Applies these adapters, and no others, to later passes."""
        raise UnsupportedError("this back end takes no adapters")

    @abstractmethod
    def _rewind(self, position: int) -> int:
        """Rewinds the cache to at most the first `position` tokens; returns how many it keeps."""

    @abstractmethod
    def _compute(self, tokens: Sequence[int], position: int, rows: int) -> Buffer:
        """Puts the tokens into the cache behind the `position` that it has; the logits of the last `rows`."""


class Conversation:
    """A session's view of an engine: logits under its own adapters."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._applied: Outside = ()

    def set_adapters(self, applied: Outside) -> None:
        self._applied = applied

    def logits(self, tokens: list[int], rows: int) -> Buffer:
        return self._engine.logits(tokens, rows, self._applied)


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A model open in a runtime."""

    engine: Engine
    tokenizer: Tokenizer
    chat_template: str | None
    facts: dict[str, Any]  # of the manifest; "backend": the runtime's name and version


def open_engine(name: str, path: Path, *, threads: int, **options: Any) -> Opened:
    """Opens a model in another runtime. options: of that back end's open_engine.

    Raises MissingExtraError where the runtime is not installed, FormatError or UnsupportedError for a file that
    it does not run.
    """
    if name not in _MODULES:
        raise UnsupportedError(f"back end {name!r} is not known; known: {', '.join(BACKENDS)}")
    opened: Opened = import_module(_MODULES[name]).open_engine(path, threads=threads, **options)
    return opened
