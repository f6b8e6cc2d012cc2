"""tinsmith serve: models over HTTP, with the interfaces of OpenAI, Anthropic and Ollama."""

from __future__ import annotations

import sys
from dataclasses import asdict
from importlib.util import find_spec

from tinsmith.cli import _generation, _model
from tinsmith.cli._command import Args, argument, flag, grouped, option, values
from tinsmith.cli._types import File, Number, Size, Whole
from tinsmith.errors import InputError, MissingExtraError

HELP = "serve models over HTTP to clients of OpenAI, Anthropic and Ollama"
SECTION = "run"
PARAMETERS = [
    argument(
        "files", "FILE", File(".tin", ".gguf"), several=True, help="a .tin or .gguf, served under its name"
    ),
    option("--host", default="127.0.0.1", metavar="H", help="address to listen at"),
    option("--port", Whole(), default=8080, help="port (0: a free one)"),
    _model.THREADS,
    *_model.COMPUTING,
    _model.KEY,
    *grouped(
        "Access",
        option("--api-key-file", File(), help="accepted API keys, one per line (default: no key needed)"),
        flag("--insecure", help="listen beyond this machine without API keys"),
        option(
            "--cors",
            multiple=True,
            metavar="ORIGIN",
            help="allow web pages of an origin, such as https://a.example; repeatable",
        ),
        option("--tls-key", File(".pem", ".key"), help="TLS: private key"),
        option("--tls-cert", File(".pem", ".crt"), help="TLS: certificate"),
    ),
    *grouped(
        "Limits",
        option("--slots", Whole(1), default=8, help="concurrent answers of each FILE"),
        option("--context", Whole(1), help="tokens of a conversation (default: the model's, at most 4096)"),
        option("--queue", Whole(0), default=256, help="answers that may wait for a slot"),
        option("--in-flight", Whole(1), default=64, help="answers in flight of one client"),
        option("--max-tokens", Whole(1), help="tokens of an answer (default: the rest of the context)"),
        option("--max-body", Size(), default="4MiB", help="bytes of a request"),
        option("--max-schema", Size(), default="64KiB", help="bytes of a schema, or of all tools"),
        *_generation.image_options("a request"),
        option("--compile-seconds", Number(), default=5.0, help="processor time to compile a schema"),
    ),
]


def run(args: Args) -> int:
    for module in ("starlette", "uvicorn", "pydantic", "prometheus_client"):
        if find_spec(module) is None:
            raise MissingExtraError(module, "serve")
    from tinsmith.serve import guard, server
    from tinsmith.serve.limits import Limits

    keys = guard.read_keys(args.api_key_file) if args.api_key_file else []
    if not guard.is_loopback(args.host) and not keys and not args.insecure:
        raise InputError(
            f"--host {args.host} is open to other machines without an API key: give --api-key-file, or "
            "--insecure"
        )
    if bool(args.tls_key) != bool(args.tls_cert):
        raise InputError("TLS needs both --tls-key and --tls-cert")
    limits = Limits(
        **values(args, "compile_seconds", "in_flight", "queue"),
        body=args.max_body,
        schema=args.max_schema,
        tokens=args.max_tokens,
        **asdict(_generation.image_limits(args)),
    )
    return server.serve(
        args.files,
        values(args, "threads", "duty_cycle", "isa", "kv", "key"),
        limits,
        keys=keys,
        origins=args.cors,
        **values(args, "host", "port", "slots", "context"),
        tls={"ssl_keyfile": args.tls_key, "ssl_certfile": args.tls_cert} if args.tls_key else {},
        say=lambda line: print(line, file=sys.stderr, flush=True),
    )
