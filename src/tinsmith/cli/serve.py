"""tinsmith serve: models over HTTP, with the interfaces of OpenAI, Anthropic and Ollama."""

from __future__ import annotations

import sys
from importlib.util import find_spec

from tinsmith.cli import _generation, _model
from tinsmith.cli._command import Args, argument, flag, option, values
from tinsmith.cli._types import File, Number, Size, Whole, Word, isas
from tinsmith.errors import InputError, MissingExtraError

HELP = "serve models over HTTP to clients of OpenAI, Anthropic and Ollama"
SECTION = "run"
ACCESS, LIMITS = "Access", "Limits"
PARAMETERS = [
    argument(
        "files", "FILE", File(".tin", ".gguf"), several=True, help="a .tin or .gguf, served under its name"
    ),
    option("--host", default="127.0.0.1", metavar="H", help="address to listen at (default: 127.0.0.1)"),
    option("--port", Whole(), default=8080, metavar="N", help="port (default: 8080; 0: a free one)"),
    option("--threads", Whole(1), metavar="N", help="compute threads (default: the cores)"),
    _model.DUTY_CYCLE,
    option("--isa", Word(isas), metavar="S", help="instruction set (default: the processor's best)"),
    option(
        "--kv", Word(("f16", "q8")), default="f16", metavar="T", help="keys and values: f16 (default) or q8"
    ),
    option(
        "--key",
        File(".pub"),
        envvar="TINSMITH_KEY",
        metavar="K",
        help="refuse a .tin without a signature of this minisign key",
    ),
    option(
        "--api-key-file",
        File(),
        group=ACCESS,
        metavar="F",
        help="accepted API keys, one per line (default: no key needed)",
    ),
    flag("--insecure", group=ACCESS, help="listen beyond this machine without API keys"),
    option(
        "--cors",
        multiple=True,
        group=ACCESS,
        metavar="ORIGIN",
        help="allow web pages of an origin, such as https://a.example; repeatable",
    ),
    option("--tls-key", File(".pem", ".key"), group=ACCESS, metavar="F", help="TLS: private key"),
    option("--tls-cert", File(".pem", ".crt"), group=ACCESS, metavar="F", help="TLS: certificate"),
    option(
        "--slots",
        Whole(1),
        default=8,
        group=LIMITS,
        metavar="N",
        help="concurrent answers of each FILE (default: 8)",
    ),
    option(
        "--context",
        Whole(1),
        group=LIMITS,
        metavar="N",
        help="tokens of a conversation (default: the model's, at most 4096)",
    ),
    option(
        "--queue",
        Whole(0),
        default=256,
        group=LIMITS,
        metavar="N",
        help="answers that may wait for a slot (default: 256)",
    ),
    option(
        "--in-flight",
        Whole(1),
        default=64,
        group=LIMITS,
        metavar="N",
        help="answers in flight of one client (default: 64)",
    ),
    option(
        "--max-tokens",
        Whole(1),
        group=LIMITS,
        metavar="N",
        help="tokens of an answer (default: the rest of the context)",
    ),
    option(
        "--max-body",
        Size(),
        default="4MiB",
        group=LIMITS,
        metavar="B",
        help="bytes of a request (default: 4MiB)",
    ),
    option(
        "--max-schema",
        Size(),
        default="64KiB",
        group=LIMITS,
        metavar="B",
        help="bytes of a schema, or of all tools (default: 64KiB)",
    ),
    *_generation.image_options("a request", LIMITS),
    option(
        "--compile-seconds",
        Number(),
        default=5.0,
        group=LIMITS,
        metavar="S",
        help="time to compile a schema (default: 5)",
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
        images=args.max_images,
        image=args.max_image,
        pixels=args.max_pixels,
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
