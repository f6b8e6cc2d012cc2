"""A model as a host of conversations keeps it: a question at a time, in slices, which another thread can end."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tinsmith.chat.tool_formats import Call, by_name, read_tools
from tinsmith.constraint.makers import schema
from tinsmith.constraint.tools import compile_tools
from tinsmith.errors import InputError
from tinsmith.runtime.adapters import prefix_of
from tinsmith.runtime.asking import direct, finished
from tinsmith.runtime.calls import Toolbox, control_token, prompt_of
from tinsmith.runtime.generation import Finish, Sampling
from tinsmith.runtime.receipt import Receipt, receipt
from tinsmith.runtime.scheduler import Asked, Scheduler
from tinsmith.system import reading

if TYPE_CHECKING:
    from tinsmith.constraint import Constraint
    from tinsmith.runtime.adapters import Chosen
    from tinsmith.runtime.choice import Choice
    from tinsmith.runtime.loaded import Loaded, Message

SLICE = 0.05  # seconds between two looks at whether the answer is still wanted
_MADE = 64  # constraints that are kept


@dataclass(frozen=True)
class Question:
    """tools: in OpenAI's shape; the answer calls them, or may be a text too where must_call is off. schema: of
    the answer, in JSON. With neither, the answer is what the file, or the adapter, says that it may be."""

    messages: Sequence[Message]
    tools: Sequence[Mapping[str, Any]] = ()
    must_call: bool = True
    schema: Any = None
    adapter: Chosen = None
    max_tokens: int = 256
    sampling: Sampling = field(default_factory=lambda: Sampling(lookup=4))


@dataclass(frozen=True)
class Answer:
    """calls: those that it makes; its text then has them as the model writes them. choices: what its tokens
    were chosen by. receipt: what binds it to all that it follows from."""

    text: str
    calls: list[Call]
    finish: Finish
    token_ids: list[int]
    choices: tuple[Choice, ...]
    receipt: Receipt


class Answerer:
    """One thread at a time may use it. All memory for answers is planned when it is made: `memory` bytes."""

    def __init__(self, model: Loaded, *, context: int | None = None, most_bytes: int = 0) -> None:
        """context: most tokens of a conversation with its answer; None, or more than the model has: the model's.
        most_bytes: that `memory` may be; 0: any. Raises InputError where it would be more."""
        self.model, own = model, model.core.info()["context"]
        self._scheduler = Scheduler(model, places=1, kept=1, context=min(context or own, own))
        self.memory = self._scheduler.memory
        if most_bytes and self.memory > most_bytes:
            self._scheduler.close()
            raise InputError(
                f"conversations of {self._scheduler.context:,} tokens take {self.memory:,} bytes of memory, and "
                f"{most_bytes:,} is the most that they may; give a smaller context, or more memory"
            )
        self._made: dict[str, Constraint] = {}

    def answer(self, question: Question, unwanted: Callable[[], bool] = lambda: False) -> Answer | None:
        """The answer; None where it became unwanted, which is asked every SLICE seconds. Raises InputError for
        what can't be asked, or an answer that could not end, ConstraintError for what can't be enforced."""
        model, adapter = self.model, question.adapter
        skill, box = model.skill_of(adapter), self._toolbox(question)
        held: Constraint | None
        if box is not None:
            tokens, held = prompt_of(model, question.messages, box, adapter=adapter), box.constraint
        else:
            held = skill.constraint if question.schema is None else self._schema(question.schema)
            thinking = None if held is None else direct(skill)
            tokens = model.render(question.messages, thinking=thinking, adapter=adapter)
        asked = self._asked(question, tokens, held)
        job = self._scheduler.add(asked)
        while not job.done:
            if unwanted():
                self._scheduler.cancel(job)
                return None
            self._scheduler.step(SLICE)
        if job.error is not None:
            raise job.error
        done = job.completion
        assert done is not None
        calls = []
        if held is not None:
            finished(done)
        if box is not None and (question.must_call or self._called(done.token_ids, box)):
            calls = box.format.parse(model.detokenize(done.token_ids, special=True), box.tools)
        elif box is None and question.schema is None and held is not None and held.kind == "tools":
            calls = own_calls(done.text)
        made = receipt(model, asked, done)
        return Answer(done.text, calls, done.finish, done.token_ids, done.choices, made)

    def close(self) -> None:
        """Gives its memory back."""
        self._scheduler.close()
        self._made.clear()

    def _asked(self, question: Question, tokens: Sequence[int], held: Constraint | None) -> Asked:
        applied = self.model.applied(question.adapter)
        room = self._scheduler.context - prefix_of(applied) - len(tokens)
        if room < 1:
            raise InputError(
                f"the conversation has {len(tokens):,} tokens, and the context holds "
                f"{self._scheduler.context:,}; shorten it, or give more context"
            )
        most = min(question.max_tokens, room)
        return Asked(tokens, applied, held, max_tokens=most, sampling=question.sampling, record=True)

    def _toolbox(self, question: Question) -> Toolbox | None:
        if not question.tools:
            return None
        known, tools = by_name(self.model.skill_of(question.adapter).tool_format), read_tools(question.tools)
        talk = not question.must_call

        def make() -> Constraint:
            return compile_tools(
                question.tools,
                known.name,
                parallel=known.several and talk,
                none=talk,
                talk=talk,
                control=lambda text: control_token(self.model, text),
            )

        key = json.dumps(["tools", question.tools, known.name, talk])
        return Toolbox(known, tools, {}, self._kept(key, make))

    def _schema(self, what: Any) -> Constraint:
        return self._kept(json.dumps(["schema", what]), lambda: schema(what))

    def _kept(self, key: str, make: Callable[[], Constraint]) -> Constraint:
        """Made once for the same thing."""
        constraint = self._made.pop(key, None) or make()
        if len(self._made) >= _MADE:
            self._made.pop(next(iter(self._made)))
        self._made[key] = constraint
        return constraint

    def _called(self, tokens: Sequence[int], box: Toolbox) -> bool:
        """Whether an answer that could be a text makes a call."""
        written = self.model.detokenize(tokens, special=True).strip()
        return (box.format.mark or "{") in written or written.startswith(("{", "["))


def own_calls(text: str) -> list[Call]:
    """The calls of an answer to a file's own tools, where they are JSON: one, or a list of them."""
    given = reading.json(
        text, f"the answer {text[:80]!r}", advice="the file's calls are not in the format json"
    )
    calls = given if isinstance(given, list) else [given]
    if not all(isinstance(one, dict) and isinstance(one.get("arguments"), dict) for one in calls):
        raise InputError(
            f"the answer {text[:80]!r} is no call in the format json; give the tools with the question"
        )
    return [Call(str(one["name"]), one["arguments"]) for one in calls]
