"""The model, without ROS: translates questions for the scheduler, and its answers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import tinsmith
from tinsmith.constraint import makers
from tinsmith.errors import InputError, RuntimeFault
from tinsmith.runtime.asking import finished, tokens_of
from tinsmith.runtime.calls import Toolbox, prompt_of, read_calls, toolbox
from tinsmith.runtime.generation import LOOKUP, Completion, Sampling, TokenRequest
from tinsmith.runtime.receipt import receipt
from tinsmith.runtime.scheduler import Job, Scheduler
from tinsmith.system import reading

if TYPE_CHECKING:
    from tinsmith.constraint import Constraint

    from .settings import Settings


@dataclass(frozen=True)
class Question:
    """As tinsmith_msgs/Generate's goal."""

    prompt: str
    before: Sequence[Mapping[str, str]] = ()
    schema: str = ""
    choices: Sequence[str] = ()
    unconstrained: bool = False
    call: bool = False
    adapter: str = ""
    max_tokens: int = 0
    temperature: float = 0.0
    top_p: float = 0.0
    repetition_penalty: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Answer:
    """As tinsmith_msgs/Generate's result. calls: name and arguments, in JSON. error: why there is none."""

    text: str = ""
    finish: str = ""
    tokens: int = 0
    seconds: float = 0.0
    digest: int = 0
    receipt: str = ""
    error: str = ""
    calls: list[tuple[str, str]] = field(default_factory=list)


class Mind:
    """A loaded tin and its scheduler. One thread at a time may use it."""

    def __init__(self, settings: Settings) -> None:
        """Raises TinsmithError that names the wrong parameter."""
        if not settings.file:
            raise InputError("the parameter file is empty; give the path of a .tin")
        self._settings = settings
        self._tools = tools_of(settings.tools)
        self._model = tinsmith.load(settings.file, key=settings.key or None, threads=settings.threads)
        self._model.applied(settings.adapter or None)  # so that a wrong name is told now
        _ = self._model.digest  # of the whole file: now, and not in the first answer
        self.scheduler = Scheduler(self._model, slots=settings.slots, context=settings.context or None, kept=1)
        if 0 < settings.most_bytes < self.scheduler.memory:
            raise RuntimeFault(
                "TIN_ERR_MEMORY",
                f"{settings.file} needs {self.scheduler.memory} bytes beside the file, and most_bytes is "
                f"{settings.most_bytes}; raise it, or lower context or slots",
            )

    @property
    def has_tools(self) -> bool:
        return bool(self._tools)

    def asked(self, question: Question) -> TokenRequest:
        """Raises TinsmithError for what can't be asked."""
        adapter = question.adapter or self._settings.adapter or None
        messages = [*question.before, {"role": "user", "content": question.prompt}]
        if self._settings.system and messages[0]["role"] != "system":
            messages.insert(0, {"role": "system", "content": self._settings.system})
        constraint: Constraint | None
        if question.call:
            box = self._box(adapter)
            tokens, constraint = prompt_of(self._model, messages, box, adapter=adapter), box.constraint
            least = None
        else:
            tokens = tokens_of(self._model, messages, adapter)
            given = _constraint(question)
            constraint = self._model.skill_of(adapter).constraint_for(given)
            least = self._model.least(given, adapter)
        return TokenRequest(
            tokens=tokens,
            applied=self._model.applied(adapter),
            constraint=constraint,
            least=least,
            max_tokens=question.max_tokens or self._settings.max_tokens,
            sampling=Sampling(
                temperature=question.temperature,
                top_p=question.top_p or 1.0,
                repetition_penalty=question.repetition_penalty or 1.0,
                seed=question.seed,
                lookup=LOOKUP,
            ),
            record=True,
        )

    def answer(self, question: Question, job: Job) -> Answer:
        """Of a job that is done. Raises TinsmithError where it came to no answer."""
        if job.error is not None:
            raise job.error
        assert job.completion is not None
        done: Completion = job.completion
        calls = []
        if question.call:
            box = self._box(question.adapter or self._settings.adapter or None)
            made = read_calls(self._model, done, box)
            calls = [(one.name, json.dumps(one.arguments, ensure_ascii=False)) for one in made]
        elif job.request.constraint is not None:
            finished(done)
        bound = receipt(self._model, job.request, done).digest
        tokens, seconds = len(done.token_ids), done.seconds
        return Answer(done.text, done.finish, tokens, seconds, done.digest, bound, calls=calls)

    def _box(self, adapter: str | None) -> Toolbox:
        if not self._tools:
            raise InputError("the node has no tools to call; give them in the parameter tools")
        return toolbox(self._model, self._tools, None, parallel=False, none=False, adapter=adapter)

    def close(self) -> None:
        """Gives back what it holds."""
        self.scheduler.close()


def tools_of(given: str) -> list[Mapping[str, Any]]:
    """Of the parameter: JSON, or the path of a file of it. Raises InputError."""
    if not given.strip():
        return []
    advice = "give a list of tools in OpenAI's shape, or the path of a file of it"
    if given.lstrip().startswith(("[", "{")):
        tools = reading.json(given, "the parameter tools", advice=advice)
    else:
        tools = reading.read_json(given, advice=advice)
    tools = [tools] if isinstance(tools, dict) else tools
    makers.tools(tools)  # raises for what is none
    return list(tools)


def _constraint(question: Question) -> Any:
    """What the answer may be, as Model.generate takes it."""
    ways = [name for name in ("schema", "choices", "unconstrained") if getattr(question, name)]
    if len(ways) > 1:
        raise InputError(f"{' and '.join(ways)} are given; an answer is held to one of them")
    if question.choices:
        return makers.choices(question.choices)
    if question.schema:
        return makers.schema(reading.json(question.schema, "schema", advice="give a JSON Schema"))
    return None if question.unconstrained else "own"
