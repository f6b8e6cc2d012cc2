"""One generation: prompt in, tokens out, on a session that keeps what it has computed."""

from __future__ import annotations

import codecs
import math
import struct
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

from tinsmith import _core
from tinsmith.chat.turns import split_answer
from tinsmith.checks import INT32, UINT64, real, token_ids, whole
from tinsmith.constraint import Constraint
from tinsmith.errors import InputError
from tinsmith.runtime.adapters import Applied, prefix_of
from tinsmith.runtime.choice import TokenChoice, choice_of, record
from tinsmith.runtime.constraint_pool import Pool
from tinsmith.runtime.sessions import TAKEN, Sessions

LOOKUP = 4  # default number of tokens drafted at once
Finish = Literal["stop", "length", "context", "constraint", "none"]

_NOWHERE = 2**32 - 1
_MOST = 3.4028234663852886e38  # float32's
_REALS = {
    "temperature": (0, _MOST),
    "top_p": (0, 1),
    "min_p": (0, 1),
    "repetition_penalty": (2.0**-126, _MOST),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
}
_WHOLES = {"top_k": INT32, "seed": UINT64, "lookup": INT32}
FINISH: dict[int, Finish] = {
    _core.FINISH_END: "stop",
    _core.FINISH_LENGTH: "length",
    _core.FINISH_CONTEXT: "context",
    _core.FINISH_CONSTRAINT: "constraint",
}


@dataclass(frozen=True, kw_only=True)
class Route:
    """A router's decision for a prompt."""

    task: str | None  #: The adapter for the prompt; None: no adapter is for it.
    best: str  #: The most likely adapter.
    probability: float  #: Of `best`, among all tasks and none of them.
    least: float  #: The probability from which the router chooses `best`.
    scores: dict[str, float]  #: By task, before the softmax.

    @property
    def why(self) -> str:
        """The decision in a few words."""
        if self.task is None:
            return f"none of these: {self.best} {self.probability:.2f}, below {self.least:.2f}"
        return f"{self.task}: {self.probability:.2f}"


@dataclass(frozen=True, kw_only=True)
class Completion:
    """An answer."""

    text: str
    #: The generated tokens, without the end token. A healed prompt's begin with the prompt's last tokens.
    token_ids: list[int]
    prompt_tokens: int
    seconds: float  #: For the prompt and the answer.
    #: "stop": at an end token or a stop text. "length": max_tokens cut the answer, or made it another one that
    #: ends in time. "context": the context did. "constraint": no token satisfies the constraint, or the answer
    #: has too many readings. "none": the router chose no adapter, so there is no answer.
    finish: Finish
    evaluations: int  #: Passes of the model, the prompt's among them.
    opened: bool = False  #: Whether the prompt began the answer's thoughts.
    #: Natural logarithm of the probability of all tokens that the model chose, the end token among them, each
    #: among the allowed ones. Tokens that the constraint forced count nothing. None unless `confidence` is on.
    log_probability: float | None = None
    least: float | None = None  #: The log probability from which the file was sealed to answer.
    route: Route | None = None  #: The router's decision, with route=True.
    choices: tuple[TokenChoice, ...] = ()  #: How each token was chosen, where `record` is on.
    end: int | None = None  #: The end token that a scheduler's answer chose.

    @property
    def confident(self) -> bool | None:
        """Whether the answer reaches the file's abstention threshold; None without a threshold."""
        if self.least is None or self.log_probability is None:
            return None
        return self.log_probability >= self.least

    @property
    def digest(self) -> int | None:
        """FNV-1a (64 bits, as a signed number) of the tokens, each with its logit, as tinhost_digest of
        tin_host.h: the same on every machine. None without recorded choices."""
        if len(self.choices) < len(self.token_ids):
            return None
        digest = 0xCBF29CE484222325
        for token, choice in zip(self.token_ids, self.choices, strict=False):
            for byte in struct.pack("<if", token, choice.logit):
                digest = (digest ^ byte) * 0x100000001B3 % 2**64
        return digest - 2**64 if digest >= 2**63 else digest

    @property
    def probability(self) -> float | None:
        """The answer's, among all answers that the constraint allows."""
        return None if self.log_probability is None else math.exp(self.log_probability)

    @property
    def thinking(self) -> str | None:
        """The thoughts that the answer begins with; None where it has none."""
        return split_answer(self.text, self.opened)[0]

    @property
    def content(self) -> str:
        """The answer after its thoughts; empty where they did not end."""
        return split_answer(self.text, self.opened)[1]


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How a token is chosen; tin_sampling in tin.h has the formulas."""

    temperature: float = 0.0  # 0: always the most likely token
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    seed: int = 0
    lookup: int = 0  # tokens drafted at once, from earlier in the conversation; changes no token
    confidence: bool = False  # whether to compute the probability of the chosen tokens
    presence_penalty: float = 0.0  # subtracted once from the logits of tokens that the answer has
    frequency_penalty: float = 0.0  # the same, once for each occurrence
    logit_bias: Mapping[int, float] | None = None  # added to tokens' logits first; -infinity bans a token

    def __post_init__(self) -> None:
        for name, (low, high) in _REALS.items():
            object.__setattr__(self, name, real(name, getattr(self, name), low, high))
        for name, most in _WHOLES.items():
            object.__setattr__(self, name, whole(name, getattr(self, name), 0, most))
        if self.logit_bias is not None:
            object.__setattr__(self, "logit_bias", _biases(self.logit_bias))

    @property
    def plain(self) -> bool:
        """Whether each token is the most likely one by the model's own logits."""
        penalties = (self.repetition_penalty - 1, self.presence_penalty, self.frequency_penalty)
        return not (self.temperature or any(penalties) or self.logit_bias)

    def check(self, vocab: int) -> None:
        """Raises InputError for biases of tokens outside the vocabulary."""
        token_ids(self.logit_bias or (), vocab, "logit_bias")

    def begin(self, session: _core.Session, max_tokens: int) -> None:
        """Starts a generation of up to max_tokens tokens on the session."""
        session.generate(
            max_tokens,
            lookup=self.lookup,
            measure=self.confidence,
            biases=self.logit_bias,
            top_k=self.top_k,
            seed=self.seed,
            **{name: getattr(self, name) for name in _REALS},
        )


DRAFTED = Sampling(lookup=LOOKUP)


@dataclass(frozen=True, kw_only=True)
class TokenRequest:
    """A prompt in tokens, and how to answer it."""

    tokens: Sequence[int]
    applied: Applied = ()  # open adapters and their scales
    constraint: Constraint | None = None
    least: float | None = None  # abstention threshold, a log probability; None: the file has none
    max_tokens: int = 256
    sampling: Sampling = DRAFTED
    stop: Sequence[str] = ()  # texts before which the answer ends
    record: bool = False  # keep how each token was chosen; `tops` implies it
    tops: int = 0  # alternatives to keep with each token
    scope: str = ""  # requests share computed prefixes within a scope only

    @property
    def recorded(self) -> bool:
        return self.record or self.tops > 0


def _biases(given: Mapping[int, float]) -> dict[int, float]:
    """Checked, by token."""
    if not isinstance(given, Mapping):
        raise InputError("logit_bias is not a mapping; give {token: number added to its logit}")
    checked = [
        (whole("a token of logit_bias", token), real(f"logit_bias of token {token}", value, -math.inf, _MOST))
        for token, value in given.items()
    ]
    return {token: value if value >= -_MOST else -math.inf for token, value in sorted(checked)}


class _Stop:
    """Searches a growing answer for a stop text: the automaton of Knuth, Morris and Pratt (1977), linear in the
    answer's characters.

    matched: how many of the stop text's characters the answer ends with."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._length = len(text)
        self.matched = 0
        self._shorter = [0]  # by length of a prefix: its longest proper prefix that it also ends with
        for k in range(1, self._length):
            self._shorter.append(self._longer(self._shorter[-1], text[k]))

    def _longer(self, matched: int, character: str) -> int:
        while matched and self._text[matched] != character:
            matched = self._shorter[matched - 1]
        return matched + (self._text[matched] == character)

    def find(self, text: str) -> int | None:
        """Where in `text`, the answer's next part, the stop text begins; negative: in an earlier part."""
        for at, character in enumerate(text, 1):
            self.matched = self._longer(self.matched, character)
            if self.matched == self._length:
                return at - self._length
        return None


def stop_texts(given: str | Sequence[str]) -> tuple[str, ...]:
    """One text or several, as a tuple. Raises InputError for anything else."""
    if isinstance(given, str):
        return (given,)
    texts = tuple(given) if isinstance(given, Iterable) else (None,)
    if not all(isinstance(text, str) for text in texts):
        raise InputError(f"stop is {given!r:.60}; give a text, or a list of texts")
    return texts


class Answer:
    """The answer to a request as it grows by tokens: its text, and whether it has reached a stop text."""

    def __init__(self, model: _core.Model, request: TokenRequest) -> None:
        self._model = model
        self.request = request
        self._stop = [_Stop(text) for text in request.stop if text]
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._shown: list[str] = []
        self._pending = ""  # text after it that may be the beginning of a stop text
        self.tokens: list[int] = []
        self.choices: list[TokenChoice] = []  # where the request records them
        self.started = time.perf_counter()
        self.stopped = False
        self.healed = 0  # bytes at the answer's beginning that repeat the prompt's text; not shown

    def add(self, token: int) -> str:
        """The text that can be shown with this token: never half a character or a stop text's beginning."""
        self.tokens.append(token)
        data, control, _ = self._model.token(token)
        if self.healed and not control:
            known, data = min(self.healed, len(data)), data[self.healed :]
            self.healed -= known
        return self._take("" if control else self._decoder.decode(data))

    def end(self) -> str:
        """The text that was kept back."""
        rest = "" if self.stopped else self._take(self._decoder.decode(b"", final=True)) + self._pending
        self._shown.append(self._pending)
        self._pending = ""
        return rest

    def completion(
        self, finish: Finish, evaluations: int, log_probability: float, end: int | None = None
    ) -> Completion:
        """The answer as it is now. log_probability: of its tokens, if the request measures it."""
        return Completion(
            text="".join(self._shown),
            token_ids=self.tokens,
            prompt_tokens=len(self.request.tokens),
            seconds=time.perf_counter() - self.started,
            finish=finish,
            evaluations=evaluations,
            log_probability=log_probability if self.request.sampling.confidence else None,
            least=self.request.least,
            choices=tuple(self.choices),
            end=end,
        )

    def _take(self, text: str) -> str:
        """Adds text; returns what can be shown of it now."""
        known, pending = len(self._pending), self._pending + text
        begins = [at for stop in self._stop if (at := stop.find(text)) is not None]
        self.stopped = bool(begins)
        kept_back = max((stop.matched for stop in self._stop), default=0)
        shown = pending[: known + min(begins) if begins else len(pending) - kept_back]
        self._pending = "" if begins else pending[len(shown) :]
        self._shown.append(shown)
        return shown


class Generation:
    """One answer under way: iterate `pieces` once, then take the `completion`.

    deadline: by the clock of time.perf_counter_ns; past it, `pieces` yields "" between parts of a pass.
    0: passes are not cut.
    """

    deadline = 0

    def __init__(
        self,
        model: _core.Model,
        sessions: Sessions,
        constraints: Pool,
        request: TokenRequest,
        draft: Sequence[int] | None = None,
        heal: bool = False,
    ) -> None:
        self._max_tokens = check_max_tokens(request.max_tokens)
        sampling = request.sampling
        chosen = not sampling.plain or request.recorded or request.constraint is not None or heal
        if draft is not None and chosen:
            raise InputError(
                "a draft is checked at temperature 0, without penalties, biases, constraint, record and heal; "
                "leave out the draft, or these"
            )
        sampling.check(model.info()["vocab"])
        self._answer = Answer(model, request)
        self._model = model
        self.request = request
        self._prompt = request.tokens
        self._draft = list(draft or ())[: self._max_tokens]
        self._constraints = constraints
        self._heal = heal
        self._evaluations = 0
        self._log_probability = 0.0
        self._context = model.info()["context"] - prefix_of(request.applied)
        self._lease = sessions.open(self._prompt, self._max_tokens + 1, request.applied)
        record(self.session, request.record, request.tops)
        self.finish: Finish = "length"

    @property
    def session(self) -> _core.Session:
        return self._lease.session

    def completion(self) -> Completion:
        return self._answer.completion(self.finish, self._evaluations, self._log_probability)

    def pieces(self) -> Generator[str, None, None]:
        """The answer's text, piece by piece."""
        for token in self._chosen():
            piece = "" if token is None else self._answer.add(token)
            if piece or token is None:
                yield piece
            if self._answer.stopped:
                self.finish = "stop"
                break
        if rest := self._answer.end():
            yield rest

    def _chosen(self) -> Iterator[int | None]:
        """The tokens that the model chooses, None at the deadline; sets `finish`."""
        chosen = 0
        for token, log_probability in self._check_draft() if self._draft else ():
            self._log_probability += log_probability
            if self._model.token(token)[2]:
                self.finish = "stop"
                return
            if len(self._prompt) + chosen == self._context:
                self.finish = "context"
                return
            yield token
            chosen += 1
        if chosen == self._max_tokens:
            return
        if chosen:
            self.session.append(self._answer.tokens[-1:])
        with self._constrained():
            yield from self._generated(self._max_tokens - chosen)

    def _constrained(self) -> AbstractContextManager[None]:
        """Constrains the session; a healed prompt always needs a constraint."""
        constraint = self.request.constraint
        if constraint is None and self._heal:
            from tinsmith.constraint.makers import anything

            constraint = anything()
        return self._constraints.lend(self._lease, constraint)

    def _generated(self, most: int) -> Iterator[int | None]:
        checked, before = self._evaluations, self._log_probability
        if self._heal:
            self.session.heal()
        self.request.sampling.begin(self.session, most)
        self._answer.healed = self.session.healed()
        while True:
            event = self.session.step(self._budget())
            if event == _core.STEP_PENDING:
                yield None
                continue
            self._evaluations = checked + self.session.passes()
            self._log_probability = before + self.session.log_probability()
            if event == _core.STEP_DONE:
                self.finish = FINISH[self.session.finish()]
                return
            if event != _core.STEP_TOKEN:  # idle: another generation ended this one
                raise InputError(TAKEN)
            token = self.session.token()
            if self.request.recorded:
                constrained = self.request.constraint is not None or self._heal
                self._answer.choices.append(choice_of(self.session, token, constrained))
            yield token

    def _budget(self) -> int:
        """Nanoseconds for a step; 0: no limit."""
        return max(1, self.deadline - time.perf_counter_ns()) if self.deadline else 0

    def _check_draft(self) -> list[tuple[int, float]]:
        """The draft's tokens that greedy decoding gives too, and its next token, with their log probabilities.
        The session keeps the former."""
        draft = self._draft[: self._context - len(self._prompt)]
        self.session.want_logits(len(self._prompt) - 1)
        self.session.append(draft)
        chosen: list[int] = []
        logs: list[float] = []
        agreed = 0
        while self.session.step() == _core.STEP_LOGITS:
            self._evaluations += 1
            best = self.session.argmax()
            chosen += best
            logs += self.session.logprobs(best) if self.request.sampling.confidence else [0.0] * len(best)
            while agreed < len(draft) and agreed < len(chosen) and chosen[agreed] == draft[agreed]:
                agreed += 1
            if agreed < len(chosen):
                break
        self.session.rewind(len(self._prompt) + agreed)
        self.session.want_logits(_NOWHERE)
        return list(zip(chosen[: agreed + 1], logs, strict=False))[: self._max_tokens]


def check_max_tokens(max_tokens: int) -> int:
    return whole("max_tokens", max_tokens, 1)
