"""What a runtime must do to stand behind a Model: logits for tokens. Sampling, constraints, guesses, chat and
tokenizing are the core's, so a seed gives the same answer wherever the logits are the same."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tinsmith.models.spec import Buffer, Tokenizer
from tinsmith.runtime.sessions import shared


class Engine(ABC):
    """An open model with one cache.

    rewinds: going back costs nothing, so that guesses are worth a try. single: a pass gives the logits of its
    last token only.
    """

    rewinds = True
    single = False

    def __init__(self, context: int, vocab: int, chunk: int) -> None:
        """context: most tokens. vocab: logits a token. chunk: most tokens of a pass."""
        self.context = context
        self.vocab = vocab
        self.chunk = chunk
        self._held: list[int] = []  # what the cache has

    def logits(self, tokens: list[int], rows: int) -> Buffer:
        """Float32 logits of the last `rows` of the tokens, shape (rows, vocab).

        What the tokens share with those of the last call is not computed again.
        """
        start = self._rewind(min(shared(tokens, self._held), len(tokens) - rows))
        del self._held[start:]
        plain = len(tokens) - rows
        found = []
        for end in self._ends(start, plain, len(tokens)):
            found.append(self._compute(tokens[start:end], start, max(0, end - max(start, plain))))
            self._held += tokens[start:end]
            start = end
        return found[0] if len(found) == 1 else b"".join(found)

    def _ends(self, start: int, plain: int, count: int) -> Iterator[int]:
        """Where the passes from `start` on end. A cache that can't go back is told where logits begin: that is
        where the next call may go on from."""
        while start < count:
            end = min(count, start + self.chunk)
            if start < plain < end and (self.single or not self.rewinds):
                end = plain
            elif start >= plain and self.single:
                end = start + 1
            yield end
            start = end

    @abstractmethod
    def _rewind(self, position: int) -> int:
        """Has the cache hold no more than the first `position` tokens; returns how many it still holds."""

    @abstractmethod
    def _compute(self, tokens: Sequence[int], position: int, rows: int) -> Buffer:
        """Puts the tokens into the cache behind the `position` that it has; the logits of the last `rows`."""


@dataclass(frozen=True)
class Opened:
    """A model open in a runtime. runtime: its name and version. bytes: of weights. formats: the number of
    tensors in each, as far as that is known."""

    engine: Engine
    runtime: str
    tokenizer: Tokenizer
    chat_template: str | None
    name: str
    family: str
    parameters: int
    bytes: int
    formats: dict[str, int]
