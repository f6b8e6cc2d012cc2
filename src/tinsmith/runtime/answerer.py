"""Answers for a host of conversations: computed in slices, between which another thread can end them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tinsmith.chat.tool_formats import Call
from tinsmith.constraint import Constraint
from tinsmith.errors import InputError
from tinsmith.runtime.adapters import Chosen, prefix_of
from tinsmith.runtime.asking import finished
from tinsmith.runtime.calls import Offer, Toolbox, answer_prompt, offered, read_calls
from tinsmith.runtime.choice import TokenChoice
from tinsmith.runtime.generation import DRAFTED, Completion, Finish, Sampling, TokenRequest
from tinsmith.runtime.messages import Message
from tinsmith.runtime.model import Model
from tinsmith.runtime.receipt import Receipt, receipt
from tinsmith.runtime.scheduler import Scheduler
from tinsmith.system import reading

SLICE = 0.05  # seconds between two checks whether the answer is still wanted


@dataclass(frozen=True, kw_only=True)
class Question:
    """A conversation to answer: with tools, a schema, or the constraint of the file or adapter."""

    messages: Sequence[Message]
    tools: Sequence[Mapping[str, Any]] = ()  # in OpenAI's shape
    must_call: bool = True  # with tools: the answer calls one; else it may be a text
    schema: Any = None  # JSON Schema of the answer
    unconstrained: bool = False  # without tools and schema: no constraint
    adapter: Chosen = None
    max_tokens: int = 256
    sampling: Sampling = DRAFTED

    @property
    def offer(self) -> Offer:
        return Offer(self.tools, "required", parallel=False) if self.must_call else Offer(self.tools)


@dataclass(frozen=True, kw_only=True)
class Answer:
    text: str  # with calls as the model writes them
    calls: list[Call]
    finish: Finish
    token_ids: list[int]
    choices: tuple[TokenChoice, ...]  # how each token was chosen
    confident: bool | None  # as Completion's
    receipt: Receipt


class Answerer:
    """Not thread-safe. It plans all memory for answers, `memory` bytes, when it is created."""

    def __init__(self, model: Model, *, context: int | None = None, most_bytes: int = 0) -> None:
        """context: most tokens of a conversation with its answer, up to the model's; None: the model's.
        most_bytes: limit of `memory`, which raises InputError beyond it; 0: no limit."""
        self.model, own = model, model.core.info()["context"]
        self._scheduler = Scheduler(model, slots=1, kept=1, context=min(context or own, own))
        self.memory = self._scheduler.memory
        if most_bytes and self.memory > most_bytes:
            self._scheduler.close()
            raise InputError(
                f"conversations of {self._scheduler.context:,} tokens take {self.memory:,} bytes of memory, "
                f"over the limit of {most_bytes:,}; give a smaller context, or more memory"
            )

    def answer(self, question: Question, unwanted: Callable[[], bool] = lambda: False) -> Answer | None:
        """Answers; None once it is unwanted, checked every SLICE seconds. Raises InputError for an invalid
        question or an answer that did not end, ConstraintError for a constraint that can't be enforced."""
        box = offered(self.model, question.offer, question.adapter) if question.tools else None
        request = self._request(question, box)
        done = self._completed(request, unwanted)
        if done is None:
            return None
        if box is not None:
            calls = read_calls(self.model, done, box)
        else:
            constraint = request.constraint
            if constraint is not None:
                finished(done)
            own = question.schema is None and constraint is not None and constraint.kind == "tools"
            calls = own_calls(done.text) if own else []
        return Answer(
            text=done.text,
            calls=calls,
            finish=done.finish,
            token_ids=done.token_ids,
            choices=done.choices,
            confident=done.confident,
            receipt=receipt(self.model, request, done),
        )

    def close(self) -> None:
        """Gives its memory back."""
        self._scheduler.close()

    def _request(self, question: Question, box: Toolbox | None) -> TokenRequest:
        model, adapter, least = self.model, question.adapter, None
        constraint: Constraint | None
        if box is not None:
            constraint = box.constraint
        elif question.schema is not None:
            constraint = model.schema_constraint(question.schema)
        else:
            constraint = None if question.unconstrained else model.skill_of(adapter).constraint
            least = model.least(None if question.unconstrained else "own", adapter)
        tokens, _ = answer_prompt(model, question.messages, box, constraint, adapter=adapter)
        applied = model.applied(adapter)
        room = self._scheduler.context - prefix_of(applied) - len(tokens)
        if room < 1:
            raise InputError(
                f"the conversation has {len(tokens):,} tokens, and the context {self._scheduler.context:,}; "
                "shorten it, or give more context"
            )
        return TokenRequest(
            tokens=tokens,
            applied=applied,
            constraint=constraint,
            least=least,
            max_tokens=min(question.max_tokens, room),
            sampling=replace(question.sampling, confidence=least is not None),
            record=True,
        )

    def _completed(self, request: TokenRequest, unwanted: Callable[[], bool]) -> Completion | None:
        job = self._scheduler.add(request)
        while not job.done:
            if unwanted():
                self._scheduler.cancel(job)
                return None
            self._scheduler.step(SLICE)
        if job.error is not None:
            raise job.error
        return job.completion


def own_calls(text: str) -> list[Call]:
    """The calls of an answer under a file's own tools, in JSON: one, or a list."""
    given = reading.json(text, f"the answer {text[:80]!r}", advice="the file's calls are not JSON")
    calls = given if isinstance(given, list) else [given]
    for one in calls:
        shaped = isinstance(one, dict) and isinstance(one.get("name"), str)
        if shaped and isinstance(one.get("arguments"), dict):
            continue
        raise InputError(f"the answer {text[:80]!r} is not a call in JSON; give the tools with the question")
    return [Call(one["name"], one["arguments"]) for one in calls]
