"""Checks whether a constraint allows a text."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache

from tinsmith import _core
from tinsmith.compiler import build_words
from tinsmith.errors import FormatError, RuntimeFault
from tinsmith.runtime.model import Model
from tinsmith.spec import Tokenizer
from tinsmith.tokenizer.packed import ALPHABET

SHOWN = 30  # characters around the departure, and of the allowed ones there


@dataclass(frozen=True)
class Departure:
    """at: the first character, from 0, that is not allowed."""

    at: int
    message: str

    def __str__(self) -> str:
        return self.message


class Checker:
    """Checks texts byte by byte, so that their tokens don't matter. data: constraint.bin."""

    def __init__(self, model: Model, data: bytes) -> None:
        self.model = model
        try:
            self._walk = _core.Constraint(model.core, data)
        except RuntimeFault as fault:
            raise FormatError(f"the constraint does not open: {fault}") from fault
        self._bytes: dict[int, int] = {}  # tokens of single bytes
        for token in range(model.info.vocab):
            text, control, _ = model.core.token(token)
            if len(text) == 1 and not control:
                self._bytes.setdefault(text[0], token)

    def departure(self, text: str) -> Departure | None:
        """The first character that is not allowed, and the allowed ones there; None for an allowed text."""
        self._walk.begin()
        allowed = b""
        for token in self.model.tokenize(text, special=True):
            piece, control, _ = self.model.core.token(token)
            for step in [token] if control else [self._bytes.get(byte) for byte in piece]:
                if step is None or not self._accepts(step):
                    return self._departure(allowed, text)
                allowed += self.model.core.token(step)[0]
        return self._departure(allowed, text) if self._walk.state() == _core.CONSTRAINT_OPEN else None

    def _accepts(self, token: int) -> bool:
        try:
            self._walk.accept(token)
        except RuntimeFault as fault:
            if fault.status != "TIN_ERR_ARGUMENT":
                raise
            return False
        return True

    def _departure(self, allowed: bytes, text: str) -> Departure:
        mask = int.from_bytes(self._walk.mask(), "little")
        listed_bytes = [byte for byte, token in sorted(self._bytes.items()) if mask >> token & 1]
        could = [json.dumps(chr(byte), ensure_ascii=False) for byte in listed_bytes if byte < 0x80]
        could += ["a character beyond ASCII"] if len(could) < len(listed_bytes) else []
        could += ["the end"] if self._walk.state() != _core.CONSTRAINT_OPEN else []
        at = len(allowed.decode("utf-8", "ignore"))
        after = repr(text[max(0, at - SHOWN) : at]) if at else "the beginning"
        got = repr(text[at : at + SHOWN]) if at < len(text) else "the end"
        listed = ", ".join(could[:SHOWN]) + (", …" if len(could) > SHOWN else "")
        return Departure(
            at, f"at character {at + 1}, after {after}: got {got}; allowed there: {listed or 'nothing'}"
        )


@cache
def bytes_model() -> Model:
    """A model with a vocabulary of single bytes alone, for checking without a base."""
    end = "<|end|>"
    tokenizer = Tokenizer(
        tokens=[*ALPHABET, end],
        types=["normal"] * len(ALPHABET) + ["control"],
        merges=[],
        pre="gpt-2",
        bos=None,
        eos=len(ALPHABET),
        unk=None,
        pad=None,
        add_bos=False,
        end_tokens=(len(ALPHABET),),
    )
    facts = {"name": "bytes", "family": "none", "parameters": 0, "tensors": {}}
    image = build_words(tokenizer, None, 64, facts)
    return Model(_core.Model(image), image, 1)
