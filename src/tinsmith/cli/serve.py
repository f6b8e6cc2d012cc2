"""tinsmith serve: models over HTTP, as OpenAI's, Anthropic's and Ollama's clients ask them."""

from __future__ import annotations

import sys
from importlib.util import find_spec

from tinsmith.cli import _asked, _model
from tinsmith.cli._command import Args, argument, flag, option
from tinsmith.cli._types import File, Number, Size, Whole, Word, isas
from tinsmith.errors import InputError, MissingExtraError

HELP = "serve models to clients of OpenAI's, Anthropic's and Ollama's interfaces"
SECTION = "run"
SAFETY, LIMITS = "Who may ask", "How much"
PARAMETERS = [
    argument(
        "files", "FILE", File(".tin", ".gguf"), several=True, help="a .tin or a .gguf, each a model of its name"
    ),
    option("--host", default="127.0.0.1", metavar="H", help="address to listen at (default: 127.0.0.1)"),
    option("--port", Whole(), default=8080, metavar="N", help="port (default: 8080; 0: a free one)"),
    option("--threads", Whole(1), metavar="N", help="threads that work on one step (default: the cores)"),
    _model.PACE,
    option("--isa", Word(isas), metavar="S", help="instruction set (default: the best this processor runs)"),
    option(
        "--kv", Word(("f16", "q8")), default="f16", metavar="T", help="keys and values: f16 (default) or q8"
    ),
    option(
        "--key",
        File(".pub"),
        envvar="TINSMITH_KEY",
        metavar="K",
        help="refuse a .tin that this minisign key's owner did not sign",
    ),
    option(
        "--api-key-file",
        File(),
        group=SAFETY,
        metavar="F",
        help="keys that clients must give one of, one a line",
    ),
    flag("--insecure", group=SAFETY, help="listen beyond this machine without keys"),
    option(
        "--cors",
        multiple=True,
        group=SAFETY,
        metavar="ORIGIN",
        help="pages that may ask, such as https://a.example; repeatable",
    ),
    option("--tls-key", File(".pem", ".key"), group=SAFETY, metavar="F", help="TLS: the private key"),
    option("--tls-cert", File(".pem", ".crt"), group=SAFETY, metavar="F", help="TLS: the certificate"),
    option(
        "--places",
        Whole(1),
        default=8,
        group=LIMITS,
        metavar="N",
        help="answers at once, for each FILE (default: 8)",
    ),
    option(
        "--workers",
        Whole(1),
        default=1,
        group=LIMITS,
        metavar="N",
        help="processes that the files are dealt out to (default: 1)",
    ),
    option(
        "--context",
        Whole(1),
        group=LIMITS,
        metavar="N",
        help="tokens of a conversation (default: the model's, 4096 at most)",
    ),
    option(
        "--queue", Whole(0), default=256, group=LIMITS, metavar="N", help="answers that may wait (default: 256)"
    ),
    option(
        "--max-tokens",
        Whole(1),
        group=LIMITS,
        metavar="N",
        help="tokens of an answer (default: what the context has left)",
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
        help="bytes of a schema or of tools (default: 64KiB)",
    ),
    *_asked.picture_options("a request", LIMITS),
    option(
        "--compile-seconds",
        Number(),
        default=5.0,
        group=LIMITS,
        metavar="S",
        help="to compile a schema (default: 5)",
    ),
    option(
        "--streams",
        Whole(1),
        default=64,
        group=LIMITS,
        metavar="N",
        help="answers at once for one key (default: 64)",
    ),
]


def run(args: Args) -> int:
    for module in ("starlette", "uvicorn", "pydantic"):
        if find_spec(module) is None:
            raise MissingExtraError(module, "serve")
    from tinsmith.serve import guard
    from tinsmith.serve import run as serving
    from tinsmith.serve.limits import Limits

    keys = guard.read_keys(args.api_key_file) if args.api_key_file else []
    local = guard.is_loopback(args.host)
    if not local and not keys and not args.insecure:
        raise InputError(
            f"--host {args.host} lets other machines ask, and there is no key: give --api-key-file, or "
            "--insecure"
        )
    if bool(args.tls_key) != bool(args.tls_cert):
        raise InputError("TLS needs both --tls-key and --tls-cert")
    limits = Limits(
        body=args.max_body,
        schema=args.max_schema,
        compiling=args.compile_seconds,
        tokens=args.max_tokens,
        streams=args.streams,
        queue=args.queue,
        pictures=args.max_images,
        picture=args.max_image,
        pixels=args.max_pixels,
    )
    loading = {"threads": args.threads, "pace": args.pace, "isa": args.isa, "kv": args.kv, "key": args.key}
    return serving.serve(
        args.files,
        loading,
        limits,
        host=args.host,
        port=args.port,
        keys=keys,
        origins=args.cors,
        places=args.places,
        workers=args.workers,
        context=args.context,
        tls={"ssl_keyfile": args.tls_key, "ssl_certfile": args.tls_cert} if args.tls_key else {},
        say=lambda line: print(line, file=sys.stderr, flush=True),
    )
