"""One generation: prompt in, tokens out, on a session that keeps what it has computed."""

from __future__ import annotations

import codecs
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from tinsmith import _core
from tinsmith.errors import InputError

Finish = Literal["stop", "length", "context"]

_NOWHERE = 2**32 - 1


@dataclass(frozen=True)
class Completion:
    """An answer. finish: "stop" at an end token or a stop text, "length" at max_tokens, "context" when the
    context is full. token_ids: the generated tokens without the end token. seconds: for prompt and answer."""

    text: str
    token_ids: list[int]
    prompt_tokens: int
    seconds: float
    finish: Finish


@dataclass(frozen=True)
class Sampling:
    """temperature 0 takes the likeliest token; tin_sampling in tin.h says the rest."""

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    seed: int = 0


class SessionKeeper:
    """A model's one session, made larger when a conversation needs it."""

    def __init__(self, model: _core.Model, threads: int) -> None:
        self._model = model
        self._threads = threads
        self._session: _core.Session | None = None
        self._capacity = 0

    def open(self, prompt: Sequence[int], room: int) -> _core.Session:
        """The session with the prompt queued behind what it shares with the tokens already computed.

        room: positions wanted beyond the prompt. Raises RuntimeFault when the prompt alone does not fit the
        model's context.
        """
        info = self._model.info()
        wanted = min(info["context"], len(prompt) + room)
        if self._session is None or self._capacity < wanted:
            # Powers of two, so that a growing conversation is not computed anew at every turn.
            self._capacity = min(info["context"], max(512, 1 << (wanted - 1).bit_length()))
            self._session = _core.Session(
                self._model, context=self._capacity, logit_rows=info["chunk"], threads=self._threads
            )
        computed, held = self._session.tokens()
        shared = 0
        # The last prompt token is computed again: its logits are what the answer begins with.
        for ours, theirs in zip(prompt[:-1], held[:computed], strict=False):
            if ours != theirs:
                break
            shared += 1
        self._session.rewind(shared)
        self._session.want_logits(_NOWHERE)
        self._session.append(prompt[shared:])
        return self._session


class Generation:
    """Runs once: iterate `pieces`, then ask for the `completion`."""

    def __init__(
        self,
        model: _core.Model,
        sessions: SessionKeeper,
        prompt: Sequence[int],
        max_tokens: int,
        sampling: Sampling,
        stop: Sequence[str] = (),
        draft: Sequence[int] | None = None,
    ) -> None:
        if max_tokens < 1:
            raise InputError(f"max_tokens is {max_tokens}; give at least 1")
        if draft is not None and (sampling.temperature != 0 or sampling.repetition_penalty != 1):
            raise InputError("a draft can only be checked at temperature 0 without repetition penalty")
        self._started = time.perf_counter()
        self._model = model
        self._prompt = prompt
        self._max_tokens = max_tokens
        self._sampling = sampling
        self._stop = [text for text in stop if text]
        self._draft = list(draft or ())[:max_tokens]
        self._session = sessions.open(prompt, max_tokens + 1)
        self._capacity = model.info()["context"]
        self.tokens: list[int] = []
        self.text = ""
        self.finish: Finish = "length"

    def completion(self) -> Completion:
        seconds = time.perf_counter() - self._started
        return Completion(self.text, self.tokens, len(self._prompt), seconds, self.finish)

    def pieces(self) -> Iterator[str]:
        """The answer's text as it comes: never half a character, and never the beginning of a stop text."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        shown, found = 0, ""
        for token in self._accepted():
            data, control, _ = self._model.token(token)
            found += "" if control else decoder.decode(data)
            end = self._stop_at(found, shown)
            if end is not None:
                self.finish, found = "stop", found[:end]
                break
            safe = len(found) - self._held_back(found)
            if safe > shown:
                self.text = found[:safe]
                yield found[shown:safe]
                shown = safe
        else:
            found += decoder.decode(b"", final=True)
        self.text = found
        if len(found) > shown:
            yield found[shown:]

    def _stop_at(self, text: str, shown: int) -> int | None:
        found = (text.find(stop, max(0, shown - len(stop))) for stop in self._stop)
        return min((at for at in found if at >= 0), default=None)

    def _held_back(self, text: str) -> int:
        """Characters at the end that a stop text may begin with."""
        longest = 0
        for stop in self._stop:
            for length in range(1, len(stop)):
                if text.endswith(stop[:length]):
                    longest = max(longest, length)
        return longest

    def _accepted(self) -> Iterator[int]:
        for token in self._chosen():
            if self._model.token(token)[2]:
                self.finish = "stop"
                return
            self.tokens.append(token)
            yield token
            if len(self.tokens) == self._max_tokens:
                return
        self.finish = "context"

    def _chosen(self) -> Iterator[int]:
        """Tokens as the model chooses them, until the context is full."""
        pending: int | None = None
        if self._draft:
            agreed, pending = self._check_draft()
            yield from agreed
        options = self._sampling
        while True:
            if pending is None:
                while self._session.step() != _core.STEP_LOGITS:
                    pass
                pending = self._session.sample(
                    options.temperature,
                    options.top_k,
                    options.top_p,
                    options.min_p,
                    options.repetition_penalty,
                    0,
                    options.seed,
                )
            yield pending
            if len(self._prompt) + len(self.tokens) > self._capacity:
                return
            self._session.append([pending])
            pending = None

    def _check_draft(self) -> tuple[list[int], int]:
        """The part of the draft that greedy decoding gives too, and the token that it gives next."""
        draft = self._draft[: self._capacity - len(self._prompt)]
        begin = len(self._prompt) - 1
        self._session.want_logits(begin)
        self._session.append(draft)
        chosen: list[int] = []
        agreed = 0
        while self._session.step() == _core.STEP_LOGITS:
            chosen += self._session.likeliest()
            while agreed < len(draft) and agreed < len(chosen) and chosen[agreed] == draft[agreed]:
                agreed += 1
            if agreed < len(chosen):
                break
        self._session.rewind(len(self._prompt) + agreed)
        self._session.want_logits(_NOWHERE)
        return draft[:agreed], chosen[agreed]
