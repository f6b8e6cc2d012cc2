"""A model as a host of conversations keeps it: asked in slices, which another thread can end."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tinsmith.chat.tool_formats import Call
from tinsmith.constraint.makers import schema
from tinsmith.errors import InputError
from tinsmith.runtime.adapters import prefix_of
from tinsmith.runtime.asking import direct, finished
from tinsmith.runtime.calls import Toolbox, prompt_of, read_calls
from tinsmith.runtime.generation import LOOKUP, Finish, Sampling
from tinsmith.runtime.offers import Offer, offered
from tinsmith.runtime.receipt import Receipt, receipt
from tinsmith.runtime.scheduler import Asked, Scheduler
from tinsmith.system import reading

if TYPE_CHECKING:
    from tinsmith.constraint import Constraint
    from tinsmith.runtime.adapters import Chosen
    from tinsmith.runtime.choice import TokenChoice
    from tinsmith.runtime.generation import Completion
    from tinsmith.runtime.loaded import Loaded, Message

SLICE = 0.05  # seconds between two looks at whether the answer is still wanted
_MADE = 64  # constraints of schemas that are kept


@dataclass(frozen=True)
class Question:
    """tools: in OpenAI's shape; the answer calls them, or may be a text too where must_call is off. schema: of
    the answer, in JSON. With neither, the answer is what the file, or the adapter, says that it may be."""

    messages: Sequence[Message]
    tools: Sequence[Mapping[str, Any]] = ()
    must_call: bool = True
    schema: Any = None
    unconstrained: bool = False
    adapter: Chosen = None
    max_tokens: int = 256
    sampling: Sampling = field(default_factory=lambda: Sampling(lookup=LOOKUP))

    @property
    def offer(self) -> Offer:
        return Offer(self.tools, "required", parallel=False) if self.must_call else Offer(self.tools)


@dataclass(frozen=True)
class Answer:
    """calls: those that it makes; its text then has them as the model writes them. choices: what its tokens
    were chosen by. confident: as Completion's. receipt: what binds it to all that it follows from."""

    text: str
    calls: list[Call]
    finish: Finish
    token_ids: list[int]
    choices: tuple[TokenChoice, ...]
    confident: bool | None
    receipt: Receipt


class Answerer:
    """One thread at a time may use it. All memory for answers is planned when it is made: `memory` bytes."""

    def __init__(self, model: Loaded, *, context: int | None = None, most_bytes: int = 0) -> None:
        """context: most tokens of a conversation with its answer; None, or more than the model has: all of the
        model's. most_bytes: that `memory` may be; 0: any. Raises InputError where it would be more."""
        self.model, own = model, model.core.info()["context"]
        self._scheduler = Scheduler(model, slots=1, kept=1, context=min(context or own, own))
        self.memory = self._scheduler.memory
        if most_bytes and self.memory > most_bytes:
            self._scheduler.close()
            raise InputError(
                f"conversations of {self._scheduler.context:,} tokens take {self.memory:,} bytes of memory, "
                f"and {most_bytes:,} is the most that they may; give a smaller context, or more memory"
            )
        self._made: dict[str, Constraint] = {}

    def answer(self, question: Question, unwanted: Callable[[], bool] = lambda: False) -> Answer | None:
        """The answer; None where it became unwanted, which is asked every SLICE seconds. Raises InputError for
        what can't be asked, or an answer that could not end, ConstraintError for what can't be enforced."""
        box = offered(self.model, question.offer, question.adapter) if question.tools else None
        asked = self._asked(question, box)
        done = self._completed(asked, unwanted)
        if done is None:
            return None
        if box is not None:
            calls = read_calls(self.model, done, box)
        else:
            if asked.constraint is not None:
                finished(done)
            own = question.schema is None and asked.constraint is not None and asked.constraint.kind == "tools"
            calls = own_calls(done.text) if own else []
        made = receipt(self.model, asked, done)
        return Answer(done.text, calls, done.finish, done.token_ids, done.choices, done.confident, made)

    def close(self) -> None:
        """Gives its memory back."""
        self._scheduler.close()
        self._made.clear()

    def _asked(self, question: Question, box: Toolbox | None) -> Asked:
        model, adapter = self.model, question.adapter
        skill, constraint, least = model.skill_of(adapter), None if box is None else box.constraint, None
        if box is not None:
            tokens = prompt_of(model, question.messages, box, adapter=adapter)
        else:
            if question.schema is not None:
                constraint = self._schema(question.schema)
            else:
                constraint = None if question.unconstrained else skill.constraint
                least = model.least(None if question.unconstrained else "own", adapter)
            thinking = None if constraint is None else direct(skill)
            tokens = model.render(question.messages, thinking=thinking, adapter=adapter)
        applied = model.applied(adapter)
        room = self._scheduler.context - prefix_of(applied) - len(tokens)
        if room < 1:
            raise InputError(
                f"the conversation has {len(tokens):,} tokens, and the context holds "
                f"{self._scheduler.context:,}; shorten it, or give more context"
            )
        most = min(question.max_tokens, room)
        return Asked(
            tokens, applied, constraint, least, least is not None, most, question.sampling, record=True
        )

    def _completed(self, asked: Asked, unwanted: Callable[[], bool]) -> Completion | None:
        job = self._scheduler.add(asked)
        while not job.done:
            if unwanted():
                self._scheduler.cancel(job)
                return None
            self._scheduler.step(SLICE)
        if job.error is not None:
            raise job.error
        return job.completion

    def _schema(self, what: Any) -> Constraint:
        """Made once for the same thing."""
        key = json.dumps(what)
        constraint = self._made.pop(key, None) or schema(what)
        if len(self._made) >= _MADE:
            self._made.pop(next(iter(self._made)))
        self._made[key] = constraint
        return constraint


def own_calls(text: str) -> list[Call]:
    """The calls of an answer to a file's own tools, where they are JSON: one, or a list of them."""
    given = reading.json(text, f"the answer {text[:80]!r}", advice="the file's calls are not JSON")
    calls = given if isinstance(given, list) else [given]
    shaped = {"name": str, "arguments": dict}
    if not all(
        isinstance(one, dict) and all(isinstance(one.get(k), v) for k, v in shaped.items()) for one in calls
    ):
        raise InputError(f"the answer {text[:80]!r} is no call in JSON; give the tools with the question")
    return [Call(one["name"], one["arguments"]) for one in calls]
