"""A request independent of the interface, and its preparation for a model: prompt tokens and constraint."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Event
from typing import Any, TypeVar

from tinsmith.chat.tool_formats import Tool, by_name, read_tools
from tinsmith.constraint import Constraint
from tinsmith.constraint.makers import anything
from tinsmith.errors import InputError
from tinsmith.runtime.adapters import prefix_of
from tinsmith.runtime.calls import Offer, Toolbox, answer_prompt, terms, with_controls
from tinsmith.runtime.generation import LOOKUP, Sampling, TokenRequest
from tinsmith.runtime.image_prompt import ImagePrompt
from tinsmith.runtime.images import decode_images, images_in
from tinsmith.runtime.loaded import Loaded
from tinsmith.runtime.skill import Own
from tinsmith.serve.endpoint import ApiRequest
from tinsmith.serve.errors import ApiError
from tinsmith.serve.fields import SamplingFields
from tinsmith.serve.state import AppState, ModelRef

T = TypeVar("T")
Message = Mapping[str, Any]
_SAMPLING = SamplingFields.model_fields.keys() - {"logit_bias"}


@dataclass(frozen=True)
class OutputSchema:
    """param: the request's field."""

    schema: Any
    param: str


@dataclass(frozen=True, kw_only=True)
class GenerationRequest:
    """A conversation, or a prompt to continue."""

    ref: ModelRef
    messages: Sequence[Message] = ()  # with images in base64
    prompt: str | Sequence[int] | None = None
    suffix: str | None = None  # of a fill-in-the-middle prompt
    thinking: bool | None = None  # None: the chat template's default
    offer: Offer | None = None  # tools
    schema: OutputSchema | None = None
    unconstrained: bool = False  # leaves the file's own constraint out
    search: int | None = None  # maximum backtracks; None: the constraint's own
    sampling: Sampling = field(default_factory=lambda: Sampling(lookup=LOOKUP))  # its seed is not used
    seed: int | None = None  # None: random
    answers: int = 1
    max_tokens: int | None = None  # None: the rest of the context
    stop: Sequence[str] = ()
    tops: int = 0  # alternatives of each token
    record: bool = False  # token choices are wanted
    client: str = ""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    token_request: TokenRequest  # with the rows of the prompt's images
    thinks: bool  # the prompt begins the answer's thoughts
    toolbox: Toolbox | None


def generation_request(request: ApiRequest, body: Any, options: Any = None, **fields: Any) -> GenerationRequest:
    """body: has the model, and may have tinsmith's options. options: the body, or its part with the sampling
    fields, seed and stop. fields: the others of a GenerationRequest."""
    ref, options = request.state.find(body.model), options or body
    own, stop = getattr(body, "tinsmith", None), getattr(options, "stop", None)
    return GenerationRequest(
        ref=ref,
        unconstrained=own is not None and own.unconstrained,
        search=None if own is None else own.search,
        sampling=sampling_of(ref.model, options),
        seed=getattr(options, "seed", None),
        stop=[stop] if isinstance(stop, str) else stop or (),
        client=request.client,
        **fields,
    )


def sampling_of(model: Loaded, options: Any) -> Sampling:
    """None is the runtime's default."""
    values = {name: value for name in _SAMPLING if (value := getattr(options, name, None)) is not None}
    if bias := getattr(options, "logit_bias", None):
        vocab = model.info.vocab
        unknown = next((token for token in bias if int(token) >= vocab), None)
        if unknown is not None:
            message = f"logit_bias: token {unknown} is not in the vocabulary of {vocab}"
            raise ApiError(400, message, "logit_bias")
        values["logit_bias"] = {int(token): value for token, value in bias.items()}
    return Sampling(**values, lookup=LOOKUP)


async def prepare(state: AppState, request: GenerationRequest) -> Prepared:
    """The request names the adapter that a router chose."""
    toolbox, constraint = await _constrain(state, request)

    def work(decoded: GenerationRequest, gone: Event) -> Prepared:
        tokens, thinks = _render(decoded, toolbox, constraint)
        token_request = _token_request(state, decoded, tokens, constraint)
        if isinstance(tokens, ImagePrompt) and request.ref.served.images is not None:
            request.ref.served.images.encode(tokens, request.client, gone)
        return Prepared(token_request=token_request, thinks=thinks, toolbox=toolbox)

    return await _in_thread(state, request, work)


async def _constrain(
    state: AppState, request: GenerationRequest
) -> tuple[Toolbox | None, Constraint | Own | None]:
    ref, offer, schema, client, toolbox = request.ref, request.offer, request.schema, request.client, None
    constraint: Constraint | Own | None = None if request.unconstrained else "own"
    if offer is not None and schema is not None:
        raise ApiError(400, f"{schema.param} and tools together are not supported", schema.param)
    if offer is not None:
        to_compile = await state.threads.run(client, partial(tools_request, offer, ref))
        constraint = await state.compiler.compile(client, "tools", to_compile)
        toolbox = _toolbox(ref, read_tools(offer.tools), constraint, offer.allows_text)
    elif schema is not None:
        constraint = await state.compiler.compile(client, schema.param, {"schema": schema.schema})
    if request.search is not None:
        constraint = ref.skill.constraint_for(constraint, request.search)
    return toolbox, constraint


def _toolbox(ref: ModelRef, tools: list[Tool], constraint: Constraint, free: bool = False) -> Toolbox:
    return Toolbox(format=by_name(ref.skill.tool_format), tools=tools, constraint=constraint, talk=free)


async def _in_thread(
    state: AppState, request: GenerationRequest, work: Callable[[GenerationRequest, Event], T]
) -> T:
    """Runs work beside the event loop. A request with images goes to the model's image encoder, which decodes
    them and sets the event when the client disconnects."""
    names, encoder = images_in(request.messages), request.ref.served.images
    if not names:
        return await state.threads.run(request.client, partial(work, request, Event()))
    if encoder is None:
        raise ApiError(400, f"{names[0]}: {request.ref.name} takes no images; send text only", names[0])

    def decode_and_work(gone: Event) -> T:
        try:
            messages = decode_images(request.messages, state.limits)
        except InputError as error:
            param = str(error).partition(":")[0]  # the image's field
            raise ApiError(400, str(error), param) from None
        return work(replace(request, messages=messages), gone)

    return await encoder.run(request.client, decode_and_work)


def _token_request(
    state: AppState, request: GenerationRequest, tokens: list[int], constraint: Constraint | Own | None
) -> TokenRequest:
    ref = request.ref
    applied, context = ref.model.applied(ref.adapter), ref.worker.context
    room = context - prefix_of(applied) - len(tokens)  # tokens that the context has left for the answer
    if room < 1:
        message = f"the prompt has {len(tokens)} tokens and the context {context}; shorten the prompt"
        param = "prompt" if request.prompt is not None else "messages"
        raise ApiError(400, message, param, code="context_length_exceeded")
    least = ref.model.least(constraint, ref.adapter)
    return TokenRequest(
        tokens=tokens,
        applied=applied,
        constraint=ref.skill.constraint_for(constraint),
        least=least,
        max_tokens=min(request.max_tokens or room, state.limits.tokens or room, room),
        sampling=replace(request.sampling, confidence=least is not None or request.record),
        stop=tuple(request.stop),
        tops=request.tops,
        record=True,
        scope=request.client,
    )


async def count_prompt_tokens(state: AppState, request: GenerationRequest) -> int:
    """Counts without compiling or generating anything."""
    toolbox, offer = None, request.offer
    if offer is not None:
        tools = await state.threads.run(request.client, partial(read_tools, offer.tools))
        toolbox = _toolbox(request.ref, tools, anything())
    constraint: Constraint | Own = anything() if request.schema else "own"

    def count(decoded: GenerationRequest, _: Event) -> int:
        return len(_render(decoded, toolbox, constraint)[0])

    return await _in_thread(state, request, count)


def tools_request(offer: Offer, ref: ModelRef) -> dict[str, Any]:
    """The request to the constraint compiler."""
    tools, format = read_tools(offer.tools), by_name(ref.skill.tool_format)
    try:
        return with_controls(ref.model, terms(offer, tools, format), format)
    except InputError as error:
        raise ApiError(400, str(error), "tool_choice") from None


def _render(
    request: GenerationRequest, toolbox: Toolbox | None, constraint: Constraint | Own | None
) -> tuple[list[int], bool]:
    """The prompt's tokens, and whether it begins the answer's thoughts."""
    ref, prompt = request.ref, request.prompt
    model = ref.model
    if request.suffix is not None:
        if not isinstance(prompt, str):
            raise ApiError(400, "suffix goes with a text prompt, and this prompt is tokens", "suffix")
        return model.infill_prompt(prompt, request.suffix), False
    if isinstance(prompt, str):
        return model.tokenize(prompt, special=True, bos=True), False
    if prompt is not None:
        return list(prompt), False
    return answer_prompt(model, request.messages, toolbox, constraint, request.thinking, ref.adapter)
