"""tinsmith run: one prompt, or a chat."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from tinsmith.chat.turns import OPENING
from tinsmith.cli import _generation, _model
from tinsmith.cli._command import Args, argument, flag, option, values
from tinsmith.cli._terminal import shown
from tinsmith.cli._types import File, Number, Text
from tinsmith.errors import ConstraintError, InputError, RuntimeFault
from tinsmith.system import files, reading

if TYPE_CHECKING:
    from tinsmith.runtime import Constraint, Model
    from tinsmith.runtime.calls import Toolbox
    from tinsmith.runtime.generation import Completion
    from tinsmith.runtime.messages import Message

HELP = "answer a prompt with a model file, or chat"
SECTION = "run"
OPTIONS = ("adapter", "max_tokens", *_generation.SAMPLING, "stop")
# On the home task's validation commands (Q8_0, SmolLM2-135M), seven eighths of the wrong answers and a tenth of
# the right ones are below this probability; on its test commands, half and a twentieth.
UNSURE = 0.7
PARAMETERS = [
    *_model.PARAMETERS,
    argument("prompt", "PROMPT", Text(), required=False, help="without it: a chat, one line a turn"),
    option(
        "--image",
        File(),
        needs="PROMPT",
        excludes="--raw",
        multiple=True,
        help="an image that PROMPT is about; repeatable, in order",
    ),
    *_generation.image_options("PROMPT"),
    _generation.ADAPTER,
    flag(
        "--route",
        needs="PROMPT",
        excludes="--adapter",
        help="let FILE's router choose the adapter by PROMPT, or decline to answer",
    ),
    _generation.SYSTEM,
    flag("--raw", excludes="--system --think", help="continue the prompt, without chat template"),
    option(
        "--suffix",
        Text(),
        needs="PROMPT --raw",
        excludes="--route",
        help="with --raw: fill in the text between PROMPT and this",
    ),
    *_generation.PARAMETERS,
    flag("--json", needs="PROMPT", help="print text, token_ids, seconds … as JSON"),
    option(
        "--log-unsure",
        File(".jsonl", out=True),
        excludes="--image --tools --raw",
        help="append low-confidence answers to this file, for labelling",
    ),
    option(
        "--unsure",
        Number(),
        needs="--log-unsure",
        help=f"with --log-unsure: threshold of the answer's probability (default: FILE's, else {UNSURE:g})",
    ),
]


def run(args: Args) -> int:
    from tinsmith.runtime.asking import check_room, direct

    model = _model.open_model(args, date=args.date)
    args.adapter = _model.adapters(model, args.adapter)
    options = values(args, *OPTIONS)
    options["constraint"], box = _constraint(model, args)
    options["confidence"] = True if args.json or args.log_unsure is not None else None
    skill = model.skill_of(args.adapter)
    if args.search is not None:
        options["constraint"] = skill.constraint_for(options["constraint"], args.search)
    check_room(skill, args.thinking, options["constraint"])
    if args.thinking is None and not args.raw and options["constraint"] not in (None, "own"):
        args.thinking = direct(skill)
    if args.prompt is None:
        return _chat(model, args, options, box)
    return _ask(model, args, options, box)


def _ask(model: Model, args: Args, options: dict[str, Any], box: Toolbox | None) -> int:
    """One prompt, one answer."""
    before, more = _system(args), {}
    if args.route:
        asked = _messages(model, args, args.prompt, before)
        route = model.route(_raw(model, args.prompt) if args.raw else asked)
        more["route"] = {**asdict(route), "why": route.why}
        if route.task is None:
            if args.json:
                print(json.dumps({"text": "", "finish": "none", **more}, ensure_ascii=False))
            else:
                print(f"tinsmith: {route.why}", file=sys.stderr)
            return 0
        args.adapter = options["adapter"] = route.task
    tokens = _tokens(model, args, args.prompt, box, before)
    if args.json:
        answer = replace(model.generate(tokens, **options), opened=_opened(model, args))
    else:
        answer = _print_stream(model, tokens, options)
    _log_unsure(args, answer, args.prompt, before)
    if args.json:
        print(json.dumps(_described(model, args, tokens, answer, box) | more, ensure_ascii=False))
    elif answer.confident is False:
        print(f"tinsmith: not sure (probability {answer.probability:.2g})", file=sys.stderr)
    return 0


def _log_unsure(args: Args, answer: Completion, asked: str, before: list[dict[str, str]]) -> None:
    """Appends a low-confidence answer to --log-unsure, as a row of a recipe's data. before: the messages before
    the question."""
    if args.log_unsure is None:
        return
    assert answer.probability is not None
    if args.unsure is None and answer.confident is not None:
        is_sure = answer.confident
    else:
        is_sure = answer.probability >= (UNSURE if args.unsure is None else args.unsure)
    if is_sure:
        return
    from tinsmith.pipeline.examples import logged

    row = logged(asked, answer.text, before, answer.probability)
    files.append_line(args.log_unsure, json.dumps(row, ensure_ascii=False))


def _described(
    model: Model, args: Args, tokens: list[int], answer: Completion, box: Toolbox | None
) -> dict[str, Any]:
    assert answer.probability is not None
    result: dict[str, Any] = {
        "text": answer.text,
        "tokens": len(answer.token_ids),
        "token_ids": answer.token_ids,
        "prompt_tokens": answer.prompt_tokens,
        "finish": answer.finish,
        "seconds": round(answer.seconds, 6),
        "evaluations": answer.evaluations,
        "probability": round(answer.probability, 6),
        **({} if answer.confident is None else {"confident": answer.confident}),
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


def _constraint(model: Model, args: Args) -> tuple[Constraint | str | None, Toolbox | None]:
    """That of the command line, "own" without one; and its tools."""
    from tinsmith.constraint import makers
    from tinsmith.runtime.calls import toolbox

    kind, value = _generation.constraint(args)
    if kind in ("own", "unconstrained"):
        return ("own" if kind == "own" else None), None
    try:
        if kind == "tools":
            box = toolbox(model, value, None, False, False, args.adapter)
            return box.constraint, box
        return makers.of_kind(kind, value), None
    except ConstraintError as error:
        path = args.schema or args.tools or args.grammar
        raise ConstraintError(f"{path}: {error}" if path else str(error)) from None


def _raw(model: Model, prompt: str) -> list[int]:
    return model.tokenize(prompt, special=True, bos=True)


def _tokens(model: Model, args: Args, prompt: str, box: Toolbox | None, before: Sequence[Message]) -> list[int]:
    """The prompt, or the conversation with the tools. before: the messages before the prompt."""
    if args.suffix is not None:
        return model.infill_prompt(prompt, args.suffix)
    if args.raw:
        return _raw(model, prompt)
    messages = _messages(model, args, prompt, before)
    if box is None:
        return model.render(messages, thinking=args.thinking, adapter=args.adapter)
    from tinsmith.runtime.calls import prompt_of

    return prompt_of(model, messages, box, adapter=args.adapter)


def _messages(model: Model, args: Args, prompt: str, before: Sequence[Message]) -> Sequence[Message]:
    """Those before, then one of the images and the prompt."""
    asked: dict[str, Any] = {"role": "user", "content": prompt}
    if not args.image:
        return [*before, asked]
    from tinsmith.runtime.images import decode_images

    model.check_vision()
    images = [{"type": "image", "path": path} for path in args.image]
    asked["content"] = [*images, {"type": "text", "text": prompt}]
    return decode_images([*before, asked], _generation.image_limits(args))


def _opened(model: Model, args: Args) -> bool:
    """Whether the prompt ends in the start of the reasoning."""
    return not args.raw and model.skill_of(args.adapter).templates.table(args.thinking).opens_thoughts


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
        tokens = _tokens(model, args, line, box, messages)
        try:
            answer = _print_stream(model, tokens, options)
        except RuntimeFault as fault:
            if fault.status != "TIN_ERR_CONTEXT" or not messages:
                raise
            raise InputError(f"the conversation is too long: {fault}; start a new one") from None
        _log_unsure(args, answer, line, messages)
        text = OPENING * _opened(model, args) + answer.text
        if not args.raw:
            messages += [{"role": "user", "content": line}, {"role": "assistant", "content": text}]
