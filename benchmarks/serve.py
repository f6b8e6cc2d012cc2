"""How fast the server answers many clients, beside llama-cpp-python's; and whether it answers them right.

    python benchmarks/serve.py FILE [--clients 1,8,32] [--each 2] [--against F.gguf] [--stress 10000]

FILE is a .tin, a .gguf or a name that `tinsmith pull` knows. JSON on stdout:

speed    for each number of clients: tokens a second of all answers together, and seconds to a first token, of
         chats of about `prompt` + `answer` tokens that share no beginning; `each` answers for a client
gap      the longest silence of a stream, in milliseconds, alone and beside another's prompt of `long` tokens
against  the same of llama_cpp.server on the same file, or the .gguf given, where it is installed; ratios
stress   `stress` requests of 200 clients that stream, leave, give up, and send nonsense: what came of each
         kind, how many answers were not those of the model alone, whether anything hung, the server's memory
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import serving
from report import add_out, report
from serve_stress import Stress

from tinsmith import hub
from tinsmith.system.cores import usable_cores


async def measured(server: serving.Server, args: argparse.Namespace, usage: bool) -> dict[str, Any]:
    await serving.crowd(server, 2, 1, 20, 4, usage)  # so that the file is in memory
    rows = []
    for count in args.clients:
        rows.append(await serving.crowd(server, count, args.each, args.prompt, args.answer, usage))
        print(rows[-1], file=sys.stderr)
    return {"speed": rows, "gap": await serving.gap(server, args.long, usage)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument(
        "--clients", type=lambda text: [int(one) for one in text.split(",")], default=[1, 8, 32]
    )
    parser.add_argument("--each", type=int, default=2)
    parser.add_argument("--prompt", type=int, default=180, help="words of a prompt, of about a token each")
    parser.add_argument("--answer", type=int, default=60)
    parser.add_argument("--long", type=int, default=2000)
    parser.add_argument("--slots", type=int, default=8)
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument(
        "--against", metavar="F", help="what llama_cpp.server is given (default: FILE if a .gguf)"
    )
    parser.add_argument(
        "--stress", type=int, default=0, metavar="N", help="requests; and nothing else is measured"
    )
    parser.add_argument("--stress-clients", type=int, default=200)
    add_out(parser)
    args = parser.parse_args()
    file = str(args.file if Path(args.file).exists() else hub.pull(args.file))
    options = ["--slots", str(args.slots), "--threads", str(args.threads), "--in-flight", "100000"]
    result: dict[str, Any] = {"file": Path(file).name, "threads": args.threads, "places": args.slots}
    if args.stress:
        with serving.ours(file, *options, "--queue", "64", "--context", "512") as server:
            stress = Stress(server, file, prompts=24, most=16)
            result["stress"] = asyncio.run(stress.run(args.stress_clients, args.stress))
        print(json.dumps(result, indent=1))
        return 1 if result["stress"]["wrong"] or result["stress"]["hung"] else 0
    with serving.ours(file, *options) as server:
        result |= asyncio.run(measured(server, args, True))
    other = args.against or (file if file.endswith(".gguf") else None)
    if other and find_spec("llama_cpp") and find_spec("starlette_context"):
        with serving.theirs(other, args.threads, 4096) as server:
            result["against"] = asyncio.run(measured(server, args, False))
        pairs = zip(result["speed"], result["against"]["speed"], strict=True)
        result["ratios"] = [
            {
                "clients": mine["clients"],
                "tokens_per_second": round(mine["tokens_per_second"] / other["tokens_per_second"], 2),
                "first_token_p99": round(mine["first_token_p99"] / other["first_token_p99"], 2),
            }
            for mine, other in pairs
        ]
    peers = result["against"]["speed"] if "against" in result else [{}] * len(result["speed"])
    rows = [
        {
            "Clients": one["clients"],
            "Tokens per second": one["tokens_per_second"],
            "llama-cpp-python": peer.get("tokens_per_second"),
            "First token p99, s": one["first_token_p99"],
            "llama-cpp-python, s": peer.get("first_token_p99"),
        }
        for one, peer in zip(result["speed"], peers, strict=True)
    ]
    report(args.out, result, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
