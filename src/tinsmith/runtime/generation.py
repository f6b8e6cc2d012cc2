"""One generation: prompt in, tokens out, on a session that keeps what it has computed."""

from __future__ import annotations

import codecs
import math
import struct
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tinsmith import _core
from tinsmith.chat.turns import split_answer
from tinsmith.checks import INT32, UINT64, real, token_ids, whole
from tinsmith.errors import InputError
from tinsmith.runtime.adapters import Applied, prefix_of
from tinsmith.runtime.choice import TokenChoice, choice_of, record
from tinsmith.runtime.sessions import TAKEN, Sessions

if TYPE_CHECKING:
    from tinsmith.constraint import Constraint
    from tinsmith.runtime.constraint_pool import Pool

LOOKUP = 4  # drafts of next tokens at once, where nobody says how many
Finish = Literal["stop", "length", "context", "constraint", "none"]

_NOWHERE = 2**32 - 1
_LEAST, _MOST = 2.0**-126, 3.4028234663852886e38  # float32's
_REALS = (
    ("temperature", 0, _MOST),
    ("top_p", 0, 1),
    ("min_p", 0, 1),
    ("repetition_penalty", _LEAST, _MOST),
    ("presence_penalty", -2, 2),
    ("frequency_penalty", -2, 2),
)
_WHOLES = (("top_k", INT32), ("seed", UINT64), ("lookup", INT32))
FINISH: dict[int, Finish] = {
    _core.FINISH_END: "stop",
    _core.FINISH_LENGTH: "length",
    _core.FINISH_CONTEXT: "context",
    _core.FINISH_CONSTRAINT: "constraint",
}


@dataclass(frozen=True)
class Route:
    """task: the adapter that the prompt is for, or None where it is for none. best: the likeliest.
    probability: of that one, among all tasks and none of them. least: the one from which on a prompt is taken
    for it. scores: by task, before the softmax."""

    task: str | None
    best: str
    probability: float
    least: float
    scores: dict[str, float]

    @property
    def why(self) -> str:
        """In a few words."""
        if self.task is None:
            return f"none of these: {self.best} {self.probability:.2f}, below {self.least:.2f}"
        return f"{self.task}: {self.probability:.2f}"


@dataclass(frozen=True)
class Completion:
    """An answer. finish: "stop" at an end token or a stop text; "length" where max_tokens cut the answer, or
    made it another one that ends in time; "context" where the context did; "constraint" where no token fits
    what the answer may be, or it has too many readings; "none" when the
    router took the prompt for no task, and there is no answer. token_ids: the generated tokens without the end
    token; those of a healed prompt begin with the prompt's last ones. seconds: for prompt and answer.
    evaluations: of the model, the prompt's among them. opened: whether the prompt began the answer's thoughts.
    log_probability: where it was asked for, the natural logarithm of the probability of all tokens that the
    model chose, the end among them, each of those that were allowed there; those that the constraint left no
    choice of count nothing. least: the one from which on the file was sealed to answer. route: the adapter
    that the router chose, and its confidence, where it was asked. choices: what each token was chosen by,
    where that was to be kept. end: the end token, where a scheduler's answer chose one."""

    text: str
    token_ids: list[int]
    prompt_tokens: int
    seconds: float
    finish: Finish
    evaluations: int
    opened: bool = False
    log_probability: float | None = None
    least: float | None = None
    route: Route | None = None
    choices: tuple[TokenChoice, ...] = ()
    end: int | None = None

    @property
    def confident(self) -> bool | None:
        """Whether the answer reaches the abstention threshold that the file was sealed with; None where it has
        none."""
        if self.least is None or self.log_probability is None:
            return None
        return self.log_probability >= self.least

    @property
    def digest(self) -> int | None:
        """FNV-1a (64 bits, as a signed number) of the tokens, each with the logit it was chosen by, as
        tinhost_digest of tin_host.h: the same on every machine. None where choices were not kept."""
        if len(self.choices) < len(self.token_ids):
            return None
        digest = 0xCBF29CE484222325
        for token, choice in zip(self.token_ids, self.choices, strict=False):
            for byte in struct.pack("<if", token, choice.logit):
                digest = (digest ^ byte) * 0x100000001B3 % 2**64
        return digest - 2**64 if digest >= 2**63 else digest

    @property
    def probability(self) -> float | None:
        """The answer's, among all that the constraint allows."""
        return None if self.log_probability is None else math.exp(self.log_probability)

    @property
    def thinking(self) -> str | None:
        """The thoughts that the answer begins with; None where it has none."""
        return split_answer(self.text, self.opened)[0]

    @property
    def content(self) -> str:
        """The answer behind its thoughts; empty where they did not end."""
        return split_answer(self.text, self.opened)[1]


@dataclass(frozen=True)
class Sampling:
    """temperature 0 takes the likeliest token; tin_sampling in tin.h says the rest.

    lookup: most tokens to draft at once from what stands earlier in the conversation; it changes no token.
    confidence: whether the probability of what is chosen is counted. presence_penalty, frequency_penalty: what
    is taken from the logits of tokens that the answer already has, once, and as often as it has them.
    logit_bias: what is added to the logits of tokens, first of all; -infinity: such a token is not chosen."""

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    seed: int = 0
    lookup: int = 0
    confidence: bool = False
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Mapping[int, float] | None = None

    def __post_init__(self) -> None:
        for name, low, high in _REALS:
            object.__setattr__(self, name, real(name, getattr(self, name), low, high))
        for name, most in _WHOLES:
            object.__setattr__(self, name, whole(name, getattr(self, name), 0, most))
        if self.logit_bias is not None:
            object.__setattr__(self, "logit_bias", _biases(self.logit_bias))

    @property
    def plain(self) -> bool:
        """Whether the likeliest token is taken, by the model's own logits."""
        penalties = (self.repetition_penalty - 1, self.presence_penalty, self.frequency_penalty)
        return not (self.temperature or any(penalties) or self.logit_bias)

    def check(self, vocab: int) -> None:
        """Raises InputError for biases of tokens that the vocabulary has not."""
        token_ids(self.logit_bias or (), vocab, "logit_bias")

    def begin(self, session: _core.Session, max_tokens: int) -> None:
        """Has the session's steps choose up to max_tokens tokens."""
        session.generate(
            max_tokens,
            self.lookup,
            self.temperature,
            self.top_k,
            self.top_p,
            self.min_p,
            self.repetition_penalty,
            0,
            self.seed,
            self.confidence,
            self.presence_penalty,
            self.frequency_penalty,
            0,
            self.logit_bias,
        )


def _biases(given: Mapping[int, float]) -> dict[int, float]:
    """Checked, by token."""
    if not isinstance(given, Mapping):
        raise InputError("logit_bias is no mapping; give {token: what is added to its logit}")
    checked = [
        (whole("a token of logit_bias", token), real(f"logit_bias of token {token}", value, -math.inf, _MOST))
        for token, value in given.items()
    ]
    return {token: value if value >= -_MOST else -math.inf for token, value in sorted(checked)}


class _Stop:
    """A stop text, and how much of it the answer ends with: the automaton of Knuth, Morris and Pratt (1977).
    Its work is by the characters that come, however long the text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._length = len(text)
        self.held = 0
        self._shorter = [0]  # of each beginning of the text, the longest other beginning that it ends with
        for k in range(1, self._length):
            self._shorter.append(self._longer(self._shorter[-1], text[k]))

    def _longer(self, held: int, character: str) -> int:
        while held and self._text[held] != character:
            held = self._shorter[held - 1]
        return held + (self._text[held] == character)

    def find(self, text: str) -> int | None:
        """Where in `text`, which comes next, the stop text begins, before it where that is negative."""
        for at, character in enumerate(text, 1):
            self.held = self._longer(self.held, character)
            if self.held == self._length:
                return at - self._length
        return None


def stop_texts(given: str | Sequence[str]) -> tuple[str, ...]:
    """One text, or several. Raises InputError for what is neither."""
    if isinstance(given, str):
        return (given,)
    texts = tuple(given) if isinstance(given, Iterable) else (None,)
    if not all(isinstance(text, str) for text in texts):
        raise InputError(f"stop is {given!r:.60}; give a text, or a list of texts")
    return texts


class Answer:
    """An answer as it grows by tokens: its text, and whether it has come to a stop text."""

    def __init__(self, model: _core.Model, stop: Sequence[str]) -> None:
        self._model = model
        self._stop = [_Stop(text) for text in stop if text]
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._shown: list[str] = []
        self._held = ""  # behind it, what a stop text may begin with
        self.tokens: list[int] = []
        self.stopped = False
        self.healed = 0  # bytes of the prompt's text that the answer begins with, which are not shown

    @property
    def text(self) -> str:
        return "".join(self._shown)

    def add(self, token: int) -> str:
        """What the token lets one show: never half a character, and never the beginning of a stop text."""
        self.tokens.append(token)
        data, control, _ = self._model.token(token)
        if self.healed and not control:
            known, data = min(self.healed, len(data)), data[self.healed :]
            self.healed -= known
        return self._take("" if control else self._decoder.decode(data))

    def end(self) -> str:
        """What was held back."""
        rest = "" if self.stopped else self._take(self._decoder.decode(b"", final=True)) + self._held
        self._shown.append(self._held)
        self._held = ""
        return rest

    def _take(self, text: str) -> str:
        """What can be shown now that the text has come."""
        known, pending = len(self._held), self._held + text
        begins = [at for stop in self._stop if (at := stop.find(text)) is not None]
        self.stopped = bool(begins)
        held = max((stop.held for stop in self._stop), default=0)
        shown = pending[: known + min(begins) if begins else len(pending) - held]
        self._held = "" if begins else pending[len(shown) :]
        self._shown.append(shown)
        return shown


class Generation:
    """Runs once: iterate `pieces`, then ask for the `completion`.

    deadline: of the clock that time.perf_counter_ns reads; once it has come, `pieces` gives "" between parts of
    a pass. 0: passes are not cut.
    """

    deadline = 0

    def __init__(
        self,
        model: _core.Model,
        sessions: Sessions,
        prompt: Sequence[int],
        max_tokens: int,
        sampling: Sampling,
        stop: Sequence[str] = (),
        draft: Sequence[int] | None = None,
        constraints: Pool | None = None,
        constraint: Constraint | None = None,
        heal: bool = False,
        applied: Applied = (),
        least: float | None = None,
        recorded: bool = False,
        tops: int = 0,
    ) -> None:
        max_tokens = check_max_tokens(max_tokens)
        if draft is not None and not sampling.plain:
            raise InputError("a draft can only be checked at temperature 0 without penalties and biases")
        if draft is not None and (recorded or tops):
            raise InputError("a draft's tokens are not chosen but checked; leave out the draft, or the record")
        sampling.check(model.info()["vocab"])
        if draft is not None and (constraint is not None or heal):
            raise InputError("a draft is of a free answer: give constraint=None, without heal, or leave it off")
        self._started = time.perf_counter()
        self._model = model
        self._prompt = prompt
        self._max_tokens = max_tokens
        self._sampling = sampling
        self._draft = list(draft or ())[:max_tokens]
        self._constraints = constraints
        self._constraint = constraint
        self._heal = heal
        self._evaluations = 0
        self._log_probability = 0.0
        self._least = least
        self._context = model.info()["context"] - prefix_of(applied)
        self._recorded = recorded or tops > 0
        self._choices: list[TokenChoice] = []
        self.applied = applied
        self._lease = sessions.open(prompt, max_tokens + 1, applied)
        record(self.session, recorded, tops)
        self._answer = Answer(model, stop)
        self.finish: Finish = "length"

    @property
    def session(self) -> _core.Session:
        return self._lease.session

    def completion(self) -> Completion:
        seconds = time.perf_counter() - self._started
        answer = self._answer
        return Completion(
            answer.text,
            answer.tokens,
            len(self._prompt),
            seconds,
            self.finish,
            self._evaluations,
            log_probability=self._log_probability if self._sampling.confidence else None,
            least=self._least,
            choices=tuple(self._choices),
        )

    def pieces(self) -> Generator[str, None, None]:
        """The answer's text as it comes."""
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
        """Tokens as the model chooses them, None at the deadline; sets `finish`."""
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
        """The constraint on the session; a healed prompt needs one in any case."""
        from tinsmith.constraint.makers import anything

        constraint = self._constraint or (anything() if self._heal else None)
        return self._constraints.lend(self._lease, constraint) if self._constraints else nullcontext()

    def _generated(self, most: int) -> Iterator[int | None]:
        checked, before = self._evaluations, self._log_probability
        if self._heal:
            self.session.heal()
        self._sampling.begin(self.session, most)
        self._answer.healed = self.session.healed()
        while (event := self.session.step(self._budget())) != _core.STEP_DONE:
            if event == _core.STEP_PENDING:
                yield None
                continue
            self._evaluations = checked + self.session.passes()
            self._log_probability = before + self.session.log_probability()
            if event != _core.STEP_TOKEN:  # there is nothing to do: the generation was ended by others
                raise InputError(TAKEN)
            token = self.session.token()
            if self._recorded:
                constrained = self._constraint is not None or self._heal
                self._choices.append(choice_of(self.session, token, constrained))
            yield token
        self._evaluations = checked + self.session.passes()
        self._log_probability = before + self.session.log_probability()
        self.finish = FINISH[self.session.finish()]

    def _budget(self) -> int:
        """Nanoseconds that a step may take; 0: any."""
        return max(1, self.deadline - time.perf_counter_ns()) if self.deadline else 0

    def _check_draft(self) -> list[tuple[int, float]]:
        """The part of the draft that greedy decoding gives too, which the session then has, and the token that
        it gives next, with the logarithms of their probabilities."""
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
            logs += self.session.logprobs(best) if self._sampling.confidence else [0.0] * len(best)
            while agreed < len(draft) and agreed < len(chosen) and chosen[agreed] == draft[agreed]:
                agreed += 1
            if agreed < len(chosen):
                break
        self.session.rewind(len(self._prompt) + agreed)
        self.session.want_logits(_NOWHERE)
        return list(zip(chosen[: agreed + 1], logs, strict=False))[: self._max_tokens]


def check_max_tokens(max_tokens: int) -> int:
    return whole("max_tokens", max_tokens, 1)
