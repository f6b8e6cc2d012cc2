"""The Python face of a loaded model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tinsmith.errors import InputError
from tinsmith.runtime.adapters import Chosen
from tinsmith.runtime.generation import Completion, Route, Sampling, stop_texts
from tinsmith.runtime.loaded import Loaded, Message, ModelInfo

if TYPE_CHECKING:
    from tinsmith.chat.tool_formats import Call
    from tinsmith.constraint import Constraint
    from tinsmith.runtime.asking import Prompt
    from tinsmith.runtime.calls import AnyTool
    from tinsmith.runtime.choosing import Choice
    from tinsmith.runtime.routing import Router
    from tinsmith.runtime.skill import Own
    from tinsmith.runtime.stepped import Stepped

__all__ = ["Model", "ModelInfo"]


class Model(Loaded):
    """A loaded model. Made by `tinsmith.load`. One generation at a time: a stream that is read on after another
    generation took its session raises InputError, and a thread of its own loads its own."""

    def generate_many(
        self,
        prompts: Sequence[str | Sequence[int]],
        *,
        concurrency: int = 8,
        max_tokens: int = 256,
        stop: str | Sequence[str] = (),
        constraint: Constraint | Own | None = "own",
        adapter: Chosen | Sequence[Chosen] = None,
        seed: int | Sequence[int] = 0,
        **options: Any,
    ) -> list[Completion]:
        """Continues many prompts, `concurrency` of them at a time, which share the reading of the weights.

        What all prompts begin with is computed once. Each answer is what `generate` gives for its prompt alone.

        adapter, seed: as `generate`, for all prompts, or a list with one for each: answers that are drawn
        (temperature) to the same prompt differ by their seeds.

        options: as `generate`, without draft and heal. seconds of an answer: from its prompt's turn to its end.
        """
        if isinstance(prompts, str):
            raise InputError(f"prompts are {prompts!r:.60}; give a list of them")
        chosen, seeds = _each("adapters", adapter, len(prompts)), _each("seeds", seed, len(prompts))
        asked = list(zip(prompts, chosen, seeds, strict=True))
        if self.engine is not None:  # which computes one conversation at a time
            options |= {"max_tokens": max_tokens, "stop": stop, "constraint": constraint}
            return [self.generate(prompt, adapter=one, seed=own, **options) for prompt, one, own in asked]
        from tinsmith.runtime.many import generate_many
        from tinsmith.runtime.scheduler import Asked

        confidence, items = options.pop("confidence", None), []
        kept = {name: options.pop(name) for name in ("record", "tops") if name in options}
        sampling, ends = Sampling(**options), stop_texts(stop)
        for prompt, one, own in asked:
            least, resolved = self.least(constraint, one), self.skill_of(one).constraint_for(constraint)
            counted = least is not None if confidence is None else confidence
            drawn = replace(sampling, seed=own)
            tokens, applied = self._tokens(prompt), self.applied(one)
            items.append(Asked(tokens, applied, resolved, least, counted, max_tokens, drawn, ends, **kept))
        return generate_many(self, items, concurrency)

    def chat(
        self,
        messages: Sequence[Message],
        *,
        thinking: bool | None = None,
        route: bool = False,
        **options: Any,
    ) -> Completion:
        """Answers a conversation; other options as `generate`.

        messages: {"role": "system" | "user" | "assistant" | "tool", "content": …}; an assistant's may have
        "tool_calls" in OpenAI's shape, and "reasoning_content". A user's content may be a list of
        {"type": "text", "text": …} and, for a model with image input, {"type": "image"} with the image's
        "path", "bytes" (PNG or JPEG) or "pixels" (uint8 of shape (height, width, 3)), or OpenAI's "image_url"
        with a data: URL; an image that is there again costs nothing again. thinking: whether the model thinks
        before it answers, by the switch in its chat template; None leaves it as the template has it. The
        answer's `thinking` and `content` are its two parts. route: answers with the adapter that the file's
        router chooses by the conversation; the answer's `route` says which, and its confidence. Where it
        chooses none, there is no answer: its text is empty, and its `finish` "none". Raises UnsupportedError
        where the template has no switch, InputError where the answer is under a constraint, which leaves no
        room for thoughts."""
        from tinsmith.runtime.asking import rendered

        found = None
        if route:
            from tinsmith.runtime.routing import choose

            found, unanswered = choose(self, self._router, messages, options)
            if unanswered:
                return unanswered
        prompt, opened = rendered(self, messages, thinking, options)
        return replace(self.generate(prompt, **options), opened=opened, route=found)

    def begin(self, prompt: Prompt, *, thinking: bool | None = None, **options: Any) -> Stepped:
        """Begins an answer that the caller's own loop computes, a slice of each frame: `step_for` of what this
        returns. No thread is started.

        prompt: a question, messages, or token ids. thinking: as `chat`, for the first two. options: as
        `stream`. The answer is that of `chat`, or of `generate` for token ids. What must be prepared (memory
        for a longer conversation, a new constraint) is prepared here. The next generation of this model may
        take the answer's session: load the model once for each of several characters that speak at the same
        time. Another back end computes whole passes, however short the slice. Raises as `chat`.
        """
        from tinsmith.runtime.asking import asked
        from tinsmith.runtime.stepped import Stepped

        tokens, opened = asked(self, prompt, thinking, options)
        return Stepped(self.answering(tokens, **options), opened)

    @cached_property
    def _router(self) -> Router:
        """The file's. Raises InputError where it has none, FormatError where it is damaged."""
        from tinsmith.runtime.routing import Router

        return Router(self)

    def route(self, prompt: Prompt) -> Route:
        """Which of the file's adapters a prompt is for, by the base's own hidden state after it, or that it is
        for none of them. prompt: a question, messages, or token ids; text is written by the base's template.

        Costs the evaluation of the prompt without an adapter, which an answer without one then need not repeat.
        Raises InputError where the file has no router.
        """
        from tinsmith.runtime.routing import computed

        return self._router.of(computed(self, prompt))

    def states(self, prompts: Sequence[Prompt]) -> list[memoryview[float]]:
        """The base's hidden state after each prompt, float32: what its output head takes for the answer's first
        token. prompts: as `route` takes them. numpy.asarray takes a state as it is."""
        from tinsmith.runtime.routing import computed

        return [memoryview(computed(self, prompt).state()).cast("f") for prompt in prompts]

    def json(self, prompt: Prompt, schema: Any = None, *, search: int | None = None, **options: Any) -> Any:
        """The answer as a value that satisfies a schema: of a type given as schema (a dataclass, a pydantic
        model, a TypedDict, list[int] …), else as json.loads gives it.

        prompt: a question, messages, or token ids. The schema is not shown to the model: say in the prompt what
        is wanted. None: the file's own constraint where it is one of JSON, else any JSON. search: maximum
        backtracks, as Constraint.with_search. options: as `generate`. Raises
        ConstraintError for what can't be enforced, InputError where the answer did not end.
        """
        from tinsmith.constraint import makers
        from tinsmith.runtime.asking import json_answer

        skill = self.skill_of(options.get("adapter"))
        own = skill.constraint
        if schema is not None or own is None:
            own = self._made("schema", True if schema is None else schema, makers.schema)
        constraint = skill.constraint_for(own, search) or own
        return json_answer(self, prompt, schema, constraint, options)

    def _made(self, kind: str, what: Any, make: Callable[[Any], Constraint]) -> Constraint:
        """A constraint made once for the same thing."""
        key = f"{kind} {what!r}" if isinstance(what, str | dict | list | bool) else what
        try:
            constraint = self._compiled.pop(key, None)
        except TypeError:  # what can't be a key
            return make(what)
        self._compiled[key] = constraint = constraint or make(what)
        if len(self._compiled) > 64:
            self._compiled.pop(next(iter(self._compiled)))
        return constraint

    def choose(
        self,
        prompt: Prompt,
        options: Sequence[str],
        *,
        calibrate: bool | Sequence[Prompt] = False,
        adapter: Chosen = None,
    ) -> Choice:
        """The likeliest of a few answers, and the probability of each.

        An option's weight is the probability of all its tokens and of the end behind them; weights are
        normalized. calibrate: divide by what the options weigh under prompts without content, and normalize
        again (contextual calibration, Zhao et al., arXiv:2102.09690): such prompts, or True for this one with
        "N/A", "" and "[MASK]" in place of its last message. adapter: as `generate`. Costs an evaluation an
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
        calls instead of one. none: the answer may make no call; the list is then empty. execute: calls the
        functions; what one returns is in its Call's `result`, what it raises in `error`. format: how calls are
        written, by name; None: as the model was trained. show: whether the prompt lists the tools; None:
        unless the file has tools of its own. search: maximum backtracks, as
        Constraint.with_search. prompt: a question, messages, or token ids, which are taken as they are.
        options: as `generate`.
        """
        from tinsmith.runtime.calls import call

        return call(
            self,
            prompt,
            tools,
            execute=execute,
            parallel=parallel,
            none=none,
            format=format,
            show=show,
            search=search,
            options=options,
        )


def _each(what: str, given: Any, count: int) -> Sequence[Any]:
    """What is given for each of so many prompts, or one for all."""
    if given is None or isinstance(given, int | str | Mapping):
        return [given] * count
    if len(given) != count:
        raise InputError(f"{len(given)} {what} for {count} prompts; give one for each, or one for all")
    return list(given)
