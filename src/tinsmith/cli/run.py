"""tinsmith run: one prompt, or a chat."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from tinsmith.cli._model import add_model_arguments, open_model

if TYPE_CHECKING:
    from tinsmith.runtime import Model

HELP = "answer a prompt, or chat, with a model file"
OPTIONS = ("max_tokens", "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "seed", "stop")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model_arguments(parser)
    parser.add_argument("prompt", nargs="?", metavar="PROMPT", help="without it: a chat, one line a turn")
    parser.add_argument("--system", metavar="T", help="system message (default: the one it was trained with)")
    parser.add_argument("--raw", action="store_true", help="continue the prompt, without chat template")
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
    parser.add_argument("--json", action="store_true", help="print text, token_ids, seconds … as JSON")


def run(args: argparse.Namespace) -> int:
    model = open_model(args)
    options = {name: getattr(args, name) for name in OPTIONS}
    if args.prompt is None:
        return _chat(model, args, options)
    tokens = _tokens(model, args, args.prompt)
    if args.json:
        answer = model.generate(tokens, **options)
        found = {
            "text": answer.text,
            "tokens": len(answer.token_ids),
            "token_ids": answer.token_ids,
            "prompt_tokens": answer.prompt_tokens,
            "finish": answer.finish,
            "seconds": round(answer.seconds, 6),
        }
        print(json.dumps(found, ensure_ascii=False))
        return 0
    _print_stream(model, tokens, options)
    return 0


def _tokens(model: Model, args: argparse.Namespace, prompt: str) -> list[int]:
    if args.raw:
        return model.tokenize(prompt, special=True, bos=True)
    return model.render([*_system(args), {"role": "user", "content": prompt}])


def _system(args: argparse.Namespace) -> list[dict[str, str]]:
    return [] if args.system is None else [{"role": "system", "content": args.system}]


def _print_stream(model: Model, tokens: list[int], options: dict[str, Any]) -> str:
    text = ""
    for piece in model.stream(tokens, **options):
        print(piece, end="", flush=True)
        text += piece
    print()
    return text


def _chat(model: Model, args: argparse.Namespace, options: dict[str, Any]) -> int:
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
        text = _print_stream(model, model.render(messages), options)
        messages.append({"role": "assistant", "content": text})
