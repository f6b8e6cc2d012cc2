"""tinsmith run: one prompt, or a chat."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from tinsmith.chat.turns import OPENING
from tinsmith.cli import _asked, _model
from tinsmith.cli._command import Args, argument, flag, option
from tinsmith.cli._terminal import shown
from tinsmith.cli._types import File, Number, Text
from tinsmith.errors import ConstraintError, InputError, RuntimeFault
from tinsmith.system import files, reading

if TYPE_CHECKING:
    from tinsmith.runtime import Constraint, Model
    from tinsmith.runtime.calls import Toolbox
    from tinsmith.runtime.generation import Completion, Route
    from tinsmith.runtime.messages import Message

HELP = "answer a prompt, or chat, with a model file"
SECTION = "run"
OPTIONS = ("adapter", "max_tokens", *_asked.SAMPLING, "stop")
# Of the home task's validation commands (Q8_0, SmolLM2-135M) below it are seven eighths of those answered
# wrongly and a tenth of the others; of its test commands, which did not choose it, half and a twentieth.
UNSURE = 0.7
PARAMETERS = [
    *_model.PARAMETERS,
    argument("prompt", "PROMPT", Text(), required=False, help="without it: a chat, one line a turn"),
    option(
        "--image",
        File(),
        metavar="P",
        multiple=True,
        help="a picture that PROMPT is about; several come in order",
    ),
    *_asked.picture_options("PROMPT"),
    _asked.ADAPTER,
    flag("--route", help="with the adapter that FILE's router chooses by PROMPT; with none of them, no answer"),
    _asked.SYSTEM,
    flag("--raw", help="continue the prompt, without chat template"),
    option("--suffix", Text(), metavar="TEXT", help="with --raw: what stands between PROMPT and TEXT"),
    _asked.THINK,
    option("--date", metavar="D", help="what a template that writes the date takes for today"),
    *_asked.SAMPLED,
    *_asked.HELD,
    _asked.SEARCH,
    flag("--json", help="print text, token_ids, seconds … as JSON"),
    option(
        "--log-unsure",
        File(".jsonl", out=True),
        metavar="F",
        help="append answers that the model was not sure of to F, to be labelled and learned (default: never)",
    ),
    option(
        "--unsure",
        Number(),
        metavar="P",
        help="for --log-unsure: when the answer's probability was below P (default: what FILE was sealed with, "
        f"else {UNSURE:g})",
    ),
]


def run(args: Args) -> int:
    if args.raw and (args.thinking is not None or args.system is not None):
        raise InputError("--system, --think and --no-think are the chat template's, which --raw leaves out")
    if args.json and args.prompt is None:
        raise InputError("--json prints one answer, and without PROMPT it is a chat: give PROMPT")
    from tinsmith.runtime.asking import check_room, direct

    model = _model.open_model(args, date=args.date)
    args.adapter = _model.adapters(model, args.adapter)
    options = {name: getattr(args, name) for name in OPTIONS}
    box = _tools(model, args) if args.tools else None
    options["constraint"] = box.constraint if box else _constraint(args)
    options["confidence"] = True if args.json or args.log_unsure is not None else None
    skill = model.skill_of(args.adapter)
    if args.search is not None:
        options["constraint"] = skill.constraint_for(options["constraint"], args.search)
    check_room(skill, args.thinking, options["constraint"])
    if args.thinking is None and not args.raw and options["constraint"] not in (None, "own"):
        args.thinking = direct(skill)
    if args.route and (args.prompt is None or args.adapter):
        raise InputError("--route chooses the adapter by PROMPT: give that, and no --adapter")
    if args.suffix is not None and (args.prompt is None or not args.raw or args.route):
        raise InputError("--suffix is what follows a text: give PROMPT and --raw, and no --route")
    if args.image and (args.prompt is None or args.raw):
        raise InputError("--image comes with a PROMPT that the chat template writes: give that, without --raw")
    if args.image and args.log_unsure is not None:
        raise InputError(
            "--log-unsure writes rows of text, which would lack the --image; leave one of them out"
        )
    if args.tools and args.log_unsure is not None:
        raise InputError("--log-unsure writes rows that lack the --tools of the prompt; leave one of them out")
    if args.unsure is not None and args.log_unsure is None:
        raise InputError("--unsure says which rows --log-unsure writes; give that too")
    if args.raw and args.log_unsure is not None:
        raise InputError(
            "--log-unsure writes rows that are learned by the chat template, which --raw leaves out; leave one "
            "of them out"
        )
    if args.prompt is None:
        return _chat(model, args, options, box)
    route = _route(model, args, args.prompt) if args.route else None
    if route is not None and route.task is None:
        if args.json:
            print(json.dumps({"text": "", "finish": "none", "route": _told(route)}, ensure_ascii=False))
        else:
            print(f"tinsmith: {route.why}", file=sys.stderr)
        return 0
    if route is not None:
        args.adapter = options["adapter"] = route.task
    tokens = _tokens(model, args, args.prompt, box)
    if args.json:
        result = _answer(model, args, tokens, options, box)
        if route is not None:
            result["route"] = _told(route)
        print(json.dumps(result, ensure_ascii=False))
        return 0
    answer = _print_stream(model, tokens, options)
    if answer.confident is False:
        print(f"tinsmith: not sure (probability {answer.probability:.2g})", file=sys.stderr)
    _log_unsure(args, answer, args.prompt, _system(args))
    return 0


def _route(model: Model, args: Args, prompt: str) -> Route:
    if args.raw:
        return model.route(model.tokenize(prompt, special=True, bos=True))
    return model.route(_messages(model, args, prompt))


def _told(route: Route) -> dict[str, Any]:
    return {**asdict(route), "why": route.why}


def _log_unsure(args: Args, answer: Completion, asked: str, before: list[dict[str, str]]) -> None:
    """Adds a row in the shape of a recipe's data to --log-unsure, where the model was not sure. before: the
    messages that were before what was asked."""
    if args.log_unsure is None:
        return
    assert answer.probability is not None  # it was asked for
    if args.unsure is None and answer.confident is not None:
        is_sure = answer.confident
    else:
        is_sure = answer.probability >= (UNSURE if args.unsure is None else args.unsure)
    if is_sure:
        return
    from tinsmith.pipeline.examples import logged

    row = logged(asked, answer.text, before, answer.probability)
    files.append_line(args.log_unsure, json.dumps(row, ensure_ascii=False))
    if not answer.text.strip():
        print(
            f"tinsmith: {args.log_unsure}: the answer is empty; write its row's output before it is learned",
            file=sys.stderr,
        )


def _answer(
    model: Model, args: Args, tokens: list[int], options: dict[str, Any], box: Toolbox | None
) -> dict[str, Any]:
    answer = replace(model.generate(tokens, **options), opened=_opened(model, args))
    _log_unsure(args, answer, args.prompt, _system(args))
    assert answer.probability is not None  # it was asked for
    result: dict[str, Any] = {
        "text": answer.text,
        "tokens": len(answer.token_ids),
        "token_ids": answer.token_ids,
        "prompt_tokens": answer.prompt_tokens,
        "finish": answer.finish,
        "seconds": round(answer.seconds, 6),
        "evaluations": answer.evaluations,
        "probability": round(answer.probability, 6),
        **({} if answer.confident is None else {"sure": answer.confident}),
    }
    if answer.thinking is not None:
        result |= {"thinking": answer.thinking, "content": answer.content}
    if box:
        from tinsmith.runtime.calls import read_calls

        calls = read_calls(model, answer, box)
        result["calls"] = [{"name": call.name, "arguments": call.arguments} for call in calls]
    elif args.choices:
        result["choices"] = model.choose(tokens, args.choices, adapter=args.adapter).probabilities
    elif args.schema:
        from tinsmith.runtime.asking import finished

        finished(answer)
        result["value"] = reading.json(answer.text, "the answer")
    return result


def _constraint(args: Args) -> Constraint | str | None:
    """What was asked for on the command line; "own": nothing was."""
    from tinsmith.constraint import makers

    if args.free:
        return None
    if args.regex is not None:
        return makers.regex(args.regex)
    if args.choices is not None:
        return makers.choices(args.choices)
    make = None
    if args.schema is not None:
        make = partial(makers.schema, reading.read_json(args.schema, ConstraintError, unique=True))
    elif args.grammar is not None:
        kind = makers.grammar_kind(args.grammar)
        make = partial(makers.grammar, reading.read_text(args.grammar), kind)
    try:
        if make is not None:
            return make()
    except ConstraintError as error:
        raise ConstraintError(f"{args.schema or args.grammar}: {error}") from None
    return "own"


def _tools(model: Model, args: Args) -> Toolbox:
    from tinsmith.runtime.calls import toolbox

    tools = reading.read_json(args.tools, ConstraintError, unique=True)
    try:
        return toolbox(model, tools, None, False, False, args.adapter)
    except ConstraintError as error:
        raise ConstraintError(f"{args.tools}: {error}") from None


def _tokens(model: Model, args: Args, prompt: str, box: Toolbox | None) -> list[int]:
    if args.suffix is not None:
        return model.infill_prompt(prompt, args.suffix)
    if args.raw:
        return model.tokenize(prompt, special=True, bos=True)
    return _render(model, args, _messages(model, args, prompt), box)


def _messages(model: Model, args: Args, prompt: str) -> Sequence[Message]:
    """What is asked: the pictures, then the prompt."""
    asked: dict[str, Any] = {"role": "user", "content": prompt}
    if not args.image:
        return [*_system(args), asked]
    from tinsmith.runtime.images import within

    pictures = [{"type": "image", "path": path} for path in args.image]
    asked["content"] = [*pictures, {"type": "text", "text": prompt}]
    return within(model, [*_system(args), asked], _asked.image_limits(args))


def _opened(model: Model, args: Args) -> bool:
    """Whether the prompt begins the answer's thoughts."""
    return not args.raw and model.skill_of(args.adapter).templates.table(args.thinking).opens_thoughts


def _render(model: Model, args: Args, messages: Sequence[Message], box: Toolbox | None) -> list[int]:
    """The conversation in tokens, with the tools that were given."""
    if box is None:
        return model.render(messages, thinking=args.thinking, adapter=args.adapter)
    from tinsmith.runtime.calls import prompt_of

    return prompt_of(model, messages, box, adapter=args.adapter)


def _system(args: Args) -> list[dict[str, str]]:
    return [] if args.system is None else [{"role": "system", "content": args.system}]


def _print_stream(model: Model, tokens: list[int], options: dict[str, Any]) -> Completion:
    running = model.answering(tokens, **options)
    for piece in running.pieces():
        print(shown(piece), end="", flush=True)
    print()
    return running.completion()


def _chat(model: Model, args: Args, options: dict[str, Any], box: Toolbox | None) -> int:
    interactive = sys.stdin.isatty()
    messages = _system(args)
    while True:
        try:
            line = input("> " if interactive else "")
        except EOFError:
            return 0
        if not line:
            continue
        if args.raw:
            tokens = model.tokenize(line, special=True, bos=True)
            _print_stream(model, tokens, options)
            continue
        asked = {"role": "user", "content": line}
        tokens = _render(model, args, [*messages, asked], box)
        try:
            answer = _print_stream(model, tokens, options)
        except RuntimeFault as fault:
            if fault.status != "TIN_ERR_CONTEXT" or not messages:
                raise
            raise InputError(f"the conversation has become too long: {fault}; begin a new one") from None
        _log_unsure(args, answer, line, messages)
        text = OPENING * _opened(model, args) + answer.text
        messages += [asked, {"role": "assistant", "content": text}]
