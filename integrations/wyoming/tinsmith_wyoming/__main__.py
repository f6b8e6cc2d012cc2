"""python -m tinsmith_wyoming --uri tcp://127.0.0.1:10500 --file house.tin"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from functools import partial
from pathlib import Path

from wyoming.server import AsyncServer, AsyncStdioServer

import tinsmith
from tinsmith.errors import InputError, TinsmithError
from tinsmith.runtime.answerer import Answerer
from tinsmith.runtime.generation import Sampling
from tinsmith_wyoming.mind import Asking, Mind
from tinsmith_wyoming.service import Handler, info


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("tinsmith-wyoming", description=__doc__)
    parser.add_argument(
        "--uri", default="tcp://127.0.0.1:10500", help="tcp://HOST:PORT, unix://PATH or stdio://"
    )
    parser.add_argument("--file", type=Path, required=True, help="the .tin")
    parser.add_argument("--key", help="refuse a file that this minisign key's owner did not sign")
    parser.add_argument("--adapter", help="an adapter of the file")
    parser.add_argument(
        "--tools", type=Path, help="tools in JSON that answers must call, in place of the file's own"
    )
    parser.add_argument("--system", help="the system message")
    parser.add_argument("--language", action="append", help="of what is said; repeatable (default: en)")
    parser.add_argument("--context", type=int, help="most tokens of a conversation (default: the model's)")
    parser.add_argument("--max-tokens", type=int, default=256, help="most tokens of an answer (default: 256)")
    parser.add_argument("--most-memory", type=int, default=0, metavar="MIB", help="that conversations may take")
    parser.add_argument(
        "--unconstrained", action="store_true", help="leave aside what the file says that answers may be"
    )
    parser.add_argument("--temperature", type=float, default=0.0, help="0 takes the likeliest token (default)")
    parser.add_argument("--top-p", type=float, default=1.0)
    parser.add_argument("--repetition-penalty", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, help="that compute (default: the cores)")
    return parser


def opened(given: argparse.Namespace) -> Mind:
    """Raises TinsmithError, OSError."""
    model = tinsmith.load(given.file, key=given.key, threads=given.threads)
    tools = ()
    if given.tools is not None:
        try:
            tools = json.loads(given.tools.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"{given.tools}: no JSON: {error}") from None
    answerer = Answerer(model, context=given.context, most_bytes=given.most_memory << 20)
    sampling = Sampling(
        temperature=given.temperature,
        top_p=given.top_p,
        repetition_penalty=given.repetition_penalty,
        seed=given.seed,
        lookup=4,
    )
    asking = Asking(given.system, given.adapter, tools, given.unconstrained, given.max_tokens, sampling)
    return Mind(answerer, asking)


async def served(given: argparse.Namespace, mind: Mind) -> None:
    """Serves until the process is told to end. Prints its address once it listens."""
    server = AsyncServer.from_uri(given.uri)
    handler = partial(Handler, mind, info(mind, given.language or ["en"]))
    try:
        if isinstance(server, AsyncStdioServer):
            await server.run(handler)
            return
        await server.start(handler)
        print(f"{mind.model.info.name or given.file.stem} at {given.uri}", file=sys.stderr, flush=True)
        ended = asyncio.Event()
        for sign in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(sign, ended.set)
        await ended.wait()
        await server.stop()
    finally:
        await mind.close()


def main() -> int:
    given = options().parse_args()
    try:
        asyncio.run(served(given, opened(given)))
    except (TinsmithError, OSError, ValueError) as error:
        print(f"tinsmith-wyoming: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
