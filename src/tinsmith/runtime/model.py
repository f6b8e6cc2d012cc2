"""The Python face of a loaded model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tinsmith.errors import InputError
from tinsmith.runtime.adapters import Chosen
from tinsmith.runtime.generation import Completion, Route
from tinsmith.runtime.loaded import Loaded, ModelInfo

if TYPE_CHECKING:
    from tinsmith.chat.tool_formats import Call
    from tinsmith.constraint import Constraint
    from tinsmith.runtime.asking import Prompt
    from tinsmith.runtime.calls import AnyTool
    from tinsmith.runtime.choosing import Choice
    from tinsmith.runtime.messages import Message
    from tinsmith.runtime.routing import Router
    from tinsmith.runtime.stepped import Stepped

__all__ = ["Model", "ModelInfo"]


class Model(Loaded):
    """A loaded model, from `tinsmith.load`. It runs one generation at a time: reading on in a stream whose
    session another generation took raises InputError. Load a model for each thread."""

    def generate_many(
        self,
        prompts: Sequence[str | Sequence[int]],
        *,
        concurrency: int = 8,
        adapter: Chosen | Sequence[Chosen] = None,
        seed: int | Sequence[int] = 0,
        **options: Any,
    ) -> list[Completion]:
        """Continues many prompts, `concurrency` of them in one batch, which reads the weights once.

        Prompts share the computation of a common prefix. Each answer is what `generate` gives for its prompt
        alone.

        adapter, seed: as `generate`, for all prompts, or a list with one for each: sampled answers to the same
        prompt differ by their seeds.

        options: as `generate`, without draft and heal. An answer's seconds run from its start in the batch.
        """
        if isinstance(prompts, str):
            raise InputError(f"prompts are {prompts!r:.60}; give a list of them")
        adapters, seeds = _each("adapters", adapter, len(prompts)), _each("seeds", seed, len(prompts))
        rows = [
            (prompt, {**options, "adapter": chosen, "seed": own})
            for prompt, chosen, own in zip(prompts, adapters, seeds, strict=True)
        ]
        if self.engine is not None:  # computes one conversation at a time
            return [self.generate(prompt, **given) for prompt, given in rows]
        from tinsmith.runtime.scheduler import generate_many

        requests = [self.request(prompt, **{"lookup": 0, **given}) for prompt, given in rows]
        return generate_many(self, requests, concurrency)

    def chat(
        self, messages: Sequence[Message], *, thinking: bool | None = None, route: bool = False, **options: Any
    ) -> Completion:
        """Answers a conversation; other options as `generate`.

        messages: {"role": "system" | "user" | "assistant" | "tool", "content": …}. An assistant's may have
        "tool_calls" in OpenAI's shape, and "reasoning_content". A user's content may be a list of
        {"type": "text", "text": …} and, for a model with image input, {"type": "image"} with the image's
        "path", "bytes" (PNG or JPEG) or "pixels" (uint8 of shape (height, width, 3)), or OpenAI's "image_url"
        with a data: URL; repeating an image costs nothing.

        thinking: whether the model thinks before it answers, by the switch in its chat template; None: the
        template's default. The answer's `thinking` and `content` are its two parts. route: the file's router
        chooses the adapter by the conversation; the answer's `route` has its decision and confidence. If it
        chooses none, the answer's text is empty, and its `finish` "none".

        Raises UnsupportedError for a template without the switch, InputError for thinking under a constraint,
        which allows no thoughts."""
        from tinsmith.runtime.asking import rendered

        found = None
        if route:
            from tinsmith.runtime.routing import choose

            found, declined = choose(self, self._router, messages, options)
            if declined:
                return declined
        prompt, opened = rendered(self, messages, thinking, options)
        return replace(self.generate(prompt, **options), opened=opened, route=found)

    def begin(self, prompt: Prompt, *, thinking: bool | None = None, **options: Any) -> Stepped:
        """Begins an answer that the caller's own loop computes, a slice each frame, by the result's `step_for`.
        It starts no thread.

        prompt: a question, messages, or token ids. thinking: as `chat`, for the first two. options: as
        `stream`. The answer is that of `chat`, or of `generate` for token ids. Memory and a new constraint are
        prepared here. The model's next generation may take the answer's session: to let several characters
        speak at once, load the model for each. Another back end computes whole passes, however short the
        slice. Raises as `chat`.
        """
        from tinsmith.runtime.asking import prompt_tokens
        from tinsmith.runtime.stepped import Stepped

        tokens, opened = prompt_tokens(self, prompt, thinking, options)
        return Stepped(self.answering(tokens, **options), opened)

    @cached_property
    def _router(self) -> Router:
        """The file's router. Raises InputError for a file without one, FormatError for a damaged one."""
        from tinsmith.runtime.routing import Router

        return Router(self)

    def route(self, prompt: Prompt) -> Route:
        """Chooses one of the file's adapters, or none, by the base's hidden state after a prompt. prompt: a
        question, messages, or token ids; the base's template renders text.

        Costs the prompt's evaluation without an adapter, which an answer without an adapter reuses. Raises
        InputError for a file without a router.
        """
        from tinsmith.runtime.routing import computed

        return self._router.of(computed(self, prompt))

    def states(self, prompts: Sequence[Prompt]) -> list[memoryview[float]]:
        """The base's hidden state after each prompt, float32: the output head's input for the answer's first
        token. prompts: as `route`. numpy.asarray takes a state as it is."""
        from tinsmith.runtime.routing import computed

        return [memoryview(computed(self, prompt).state()).cast("f") for prompt in prompts]

    def json(self, prompt: Prompt, schema: Any = None, *, search: int | None = None, **options: Any) -> Any:
        """The answer as a value that satisfies a schema: of a type given as schema (a dataclass, a pydantic
        model, a TypedDict, list[int] …), else as json.loads gives it.

        prompt: a question, messages, or token ids. The prompt does not show the schema to the model: say what
        you want. schema: None: the file's constraint if it is one of JSON, else any JSON. search: maximum
        backtracks, as Constraint.with_search. options: as `generate`. Raises ConstraintError for a schema that
        can't be enforced, InputError for an answer that did not end.
        """
        from tinsmith.constraint.functions import is_type, value_of
        from tinsmith.runtime.asking import finished, tokens_of
        from tinsmith.system import reading

        adapter = options.get("adapter")
        skill = self.skill_of(adapter)
        own = skill.constraint
        if schema is not None or own is None:
            own = self.schema_constraint(True if schema is None else schema)
        constraint = skill.constraint_for(own, search) or own
        answer = self.generate(tokens_of(self, prompt, adapter), constraint=constraint, **options)
        finished(answer)
        value = reading.json(answer.text, f"the answer {answer.text[:80]!r}", advice="give a schema")
        return value_of(schema, value) if is_type(schema) else value

    def schema_constraint(self, schema: Any) -> Constraint:
        """Made once for each of the latest schemas."""
        from tinsmith.constraint import makers

        key = f"schema {schema!r}" if isinstance(schema, str | dict | list | bool) else schema
        return self.cached_constraint(key, lambda: makers.schema(schema))

    def choose(
        self,
        prompt: Prompt,
        options: Sequence[str],
        *,
        calibrate: bool | Sequence[Prompt] = False,
        adapter: Chosen = None,
    ) -> Choice:
        """The most likely of a few answers, and the probability of each.

        An option's weight is the probability of all its tokens and of the end after them; weights are
        normalized. calibrate: divide by the options' weights under prompts without content, and normalize again
        (contextual calibration, Zhao et al., arXiv:2102.09690): a list of such prompts, or True for this one
        with "N/A", "" and "[MASK]" in place of its last message. adapter: as `generate`. Costs an evaluation an
        option and a prompt, in one pass each.
        """
        from tinsmith.runtime.choosing import choose

        return choose(self, prompt, options, calibrate, adapter)

    def call(
        self,
        prompt: Prompt,
        tools: Sequence[AnyTool],
        *,
        execute: bool = False,
        parallel: bool = False,
        none: bool = False,
        format: str | None = None,
        show: bool | None = None,
        search: int = 0,
        **options: Any,
    ) -> list[Call]:
        """The calls that the model answers with.

        tools: Python functions with annotated parameters, or dicts in OpenAI's shape. parallel: one to eight
        calls instead of one. none: the answer may make no call; the list is then empty. execute: also executes
        the calls; a Call's `result` has the returned value, `error` the exception. format: how the model writes
        calls, by name; None: as it was trained. show: whether the prompt lists the tools; None: unless the
        file has tools of its own. search: maximum backtracks, as Constraint.with_search. prompt: a question,
        messages, or token ids, which stay as they are. options: as `generate`.
        """
        from tinsmith.runtime import calls

        adapter = options.get("adapter")
        box = calls.toolbox(self, tools, format, parallel, none, adapter)
        missing = [tool.name for tool in box.tools if tool.name not in box.functions]
        if execute and missing:
            raise InputError(
                f"{', '.join(missing)} can't be executed: give Python functions, or leave execute off"
            )
        tokens = calls.prompt_of(self, prompt, box, show, adapter)
        constraint = self.skill_of(adapter).constraint_for(box.constraint, search)
        found = calls.read_calls(self, self.generate(tokens, constraint=constraint, **options), box)
        if execute:
            for one in found:
                calls.run(one, box.functions[one.name])
        return found


def _each(what: str, given: Any, count: int) -> Sequence[Any]:
    """One value for each prompt."""
    if given is None or isinstance(given, int | str | Mapping):
        return [given] * count
    if len(given) != count:
        raise InputError(f"{len(given)} {what} for {count} prompts; give one for each, or one for all")
    return list(given)
