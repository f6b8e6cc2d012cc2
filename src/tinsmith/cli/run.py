"""tinsmith run: one prompt, or a chat."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tinsmith import reading
from tinsmith.cli._model import add_model_arguments, open_model
from tinsmith.cli._terminal import shown
from tinsmith.errors import ConstraintError, InputError
from tinsmith.formats.turns import OPENING

if TYPE_CHECKING:
    from tinsmith.runtime import Constraint, Model
    from tinsmith.runtime.calls import Toolbox

HELP = "answer a prompt, or chat, with a model file"
OPTIONS = ("max_tokens", "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "seed", "stop")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model_arguments(parser)
    parser.add_argument("prompt", nargs="?", metavar="PROMPT", help="without it: a chat, one line a turn")
    parser.add_argument("--system", metavar="T", help="system message (default: the one it was trained with)")
    parser.add_argument("--raw", action="store_true", help="continue the prompt, without chat template")
    thinking = parser.add_mutually_exclusive_group()
    thinking.add_argument(
        "--think",
        dest="thinking",
        action="store_const",
        const=True,
        help="think before the answer (default: as the chat template has it)",
    )
    thinking.add_argument(
        "--no-think", dest="thinking", action="store_const", const=False, help="answer at once"
    )
    parser.add_argument("--date", metavar="D", help="what a template that writes the date takes for today")
    parser.add_argument(
        "--max-tokens", type=int, default=256, metavar="N", help="tokens at most (default: 256)"
    )
    parser.add_argument("--temperature", type=float, default=0.0, metavar="X", help="default 0: the likeliest")
    parser.add_argument("--top-k", type=int, default=0, metavar="N", help="keep the N likeliest (0: all)")
    parser.add_argument("--top-p", type=float, default=1.0, metavar="X", help="keep those that sum to X")
    parser.add_argument("--min-p", type=float, default=0.0, metavar="X", help="keep those of X times the best")
    parser.add_argument("--repetition-penalty", type=float, default=1.0, metavar="X", help="default 1: none")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="the same seed gives the same answer")
    parser.add_argument(
        "--stop", action="append", default=[], metavar="T", help="end the answer before this text"
    )
    allowed = parser.add_argument_group("what the answer may be (default: what FILE says, if anything)")
    only = allowed.add_mutually_exclusive_group()
    only.add_argument("--schema", metavar="FILE", help="JSON that satisfies a JSON Schema")
    only.add_argument("--tools", metavar="FILE", help="a call of a tool; JSON in OpenAI's shape")
    only.add_argument("--grammar", metavar="FILE", help="a text of a grammar: .gbnf or .lark")
    only.add_argument("--choices", metavar="A,B", help="one of these texts; with --json, how likely each is")
    only.add_argument("--regex", metavar="R", help="a text that matches as a whole")
    only.add_argument("--free", action="store_true", help="anything, whatever FILE says")
    parser.add_argument("--json", action="store_true", help="print text, token_ids, seconds … as JSON")


def run(args: argparse.Namespace) -> int:
    if args.raw and args.thinking is not None:
        raise InputError("--think and --no-think are the chat template's, which --raw leaves out")
    from tinsmith.runtime.asking import check_room, direct

    model = open_model(args, date=args.date)
    options = {name: getattr(args, name) for name in OPTIONS}
    box = _tools(model, args.tools) if args.tools else None
    options["constraint"] = box.constraint if box else _constraint(args)
    check_room(model, args.thinking, options["constraint"])
    if args.thinking is None and not args.raw and options["constraint"] not in (None, "own"):
        args.thinking = direct(model)
    if args.prompt is None:
        return _chat(model, args, options, box)
    tokens = _tokens(model, args, args.prompt, box)
    if args.json:
        print(json.dumps(_answer(model, args, tokens, options, box), ensure_ascii=False))
        return 0
    _print_stream(model, tokens, options)
    return 0


def _answer(
    model: Model, args: argparse.Namespace, tokens: list[int], options: dict[str, Any], box: Toolbox | None
) -> dict[str, Any]:
    answer = replace(model.generate(tokens, **options), opened=_opened(model, args))
    found: dict[str, Any] = {
        "text": answer.text,
        "tokens": len(answer.token_ids),
        "token_ids": answer.token_ids,
        "prompt_tokens": answer.prompt_tokens,
        "finish": answer.finish,
        "seconds": round(answer.seconds, 6),
        "evaluations": answer.evaluations,
    }
    if answer.thinking is not None:
        found |= {"thinking": answer.thinking, "content": answer.content}
    if box:
        from tinsmith.runtime.calls import read_calls

        calls = read_calls(model, answer, box)
        found["calls"] = [{"name": call.name, "arguments": call.arguments} for call in calls]
    elif args.choices:
        found["choices"] = model.choose(tokens, _choices(args.choices)).probabilities
    elif args.schema:
        from tinsmith.runtime.asking import finished

        finished(answer)
        found["value"] = reading.json(answer.text, "the answer")
    return found


def _constraint(args: argparse.Namespace) -> Constraint | str | None:
    """What was asked for on the command line; "own": nothing was."""
    from tinsmith.runtime import constraints

    if args.free:
        return None
    if args.regex is not None:
        return constraints.regex(args.regex)
    if args.choices is not None:
        return constraints.choices(_choices(args.choices))
    try:
        if args.schema is not None:
            return constraints.schema(reading.read_json(args.schema, ConstraintError, unique=True))
        if args.grammar is not None:
            kind = constraints.grammar_kind(args.grammar)
            return constraints.grammar(reading.read_text(args.grammar), kind)
    except ConstraintError as error:
        raise ConstraintError(f"{args.schema or args.grammar}: {error}") from None
    return "own"


def _tools(model: Model, path: str) -> Toolbox:
    from tinsmith.runtime.calls import toolbox

    tools = reading.read_json(path, ConstraintError, unique=True)
    try:
        return toolbox(model, tools, None, False, False)
    except ConstraintError as error:
        raise ConstraintError(f"{path}: {error}") from None


def _choices(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


def _tokens(model: Model, args: argparse.Namespace, prompt: str, box: Toolbox | None) -> list[int]:
    if args.raw:
        return model.tokenize(prompt, special=True, bos=True)
    return _render(model, args, [*_system(args), {"role": "user", "content": prompt}], box)


def _opened(model: Model, args: argparse.Namespace) -> bool:
    """Whether the prompt begins the answer's thoughts."""
    return not args.raw and model.templates.table(args.thinking).opens_thoughts


def _render(
    model: Model, args: argparse.Namespace, messages: list[dict[str, str]], box: Toolbox | None
) -> list[int]:
    """The conversation in tokens, told of the tools that were given."""
    if box is None:
        return model.render(messages, thinking=args.thinking)
    from tinsmith.runtime.calls import prompt_of

    return prompt_of(model, messages, box)


def _system(args: argparse.Namespace) -> list[dict[str, str]]:
    return [] if args.system is None else [{"role": "system", "content": args.system}]


def _print_stream(model: Model, tokens: list[int], options: dict[str, Any]) -> str:
    text = ""
    for piece in model.stream(tokens, **options):
        print(shown(piece), end="", flush=True)
        text += piece
    print()
    return text


def _chat(model: Model, args: argparse.Namespace, options: dict[str, Any], box: Toolbox | None) -> int:
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
            _print_stream(model, model.tokenize(line, special=True, bos=True), options)
            continue
        messages.append({"role": "user", "content": line})
        text = _print_stream(model, _render(model, args, messages, box), options)
        messages.append({"role": "assistant", "content": OPENING * _opened(model, args) + text})
