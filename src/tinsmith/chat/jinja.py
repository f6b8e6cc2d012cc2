"""The program that examines and renders chat templates, in a child process of chat/jinja_process.py.

A template comes with a model's file, from an untrusted source. This process limits its time and memory, and has
no environment, arguments or open files for a template that escapes Jinja's sandbox. It imports nothing of
tinsmith.

Requests on standard input and replies on standard output are lines of ASCII JSON. The first line of output has
Jinja's version. Each line of input is {"seconds": limit of CPU time, "request"}.

    {"do": "render", "template", "given"}    {"text"}
    {"do": "examine", "template"}            {"free", "dates", "words"}, see `examine`

Other replies are {"refused": why} if the template rejects its input, {"undated": true} if it writes today's
date, {"invalid": why} for invalid Jinja, {"failed": why} for any other error. Each has the "seconds" of its CPU
time.
"""

from __future__ import annotations

import json
import math
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from typing import Any

# The folders of jinja2 and markupsafe, after the standard library's: nothing else can shadow a module.
sys.path += sys.argv[1:]

import jinja2
from jinja2 import meta, nodes
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace as AnyNamespace

MEMORY = 512 << 20  # bytes of address space
MOST_TEXT = 8 << 20  # characters of a rendered conversation
_SHOWN = 300  # characters of an error


class Generation(Extension):
    """`{% generation %} … {% endgeneration %}` marks the assistant's text, in its own scope."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_render_body"), [], [], body).set_lineno(line)

    def _render_body(self, caller: Macro) -> str:
        return str(caller())


class Dict:
    """`dict` without the class's other methods."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)

    def fromkeys(self, *args: Any) -> dict[Any, Any]:
        return dict.fromkeys(*args)


class Namespace(AnyNamespace):
    """`namespace` without names that begin with an underscore."""

    def __init__(*args: Any, **kwargs: Any) -> None:  # a name may be `self`
        self, *rest = args
        values = dict(*rest, **kwargs)
        for name in values:
            _check_name(name)
        AnyNamespace.__init__(self, values)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(name)
        AnyNamespace.__setitem__(self, name, value)


def _check_name(name: object) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"a namespace can't have {name!r}: a name can't begin with an underscore")


class Undated(Exception):
    """The template writes today's date, which no setting fixes."""


def _environment() -> ImmutableSandboxedEnvironment:
    """Jinja as in transformers, but without its optimizer: that changes no text, and its time grows with the
    cube of an expression's depth."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, optimized=False, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["dict"] = Dict()
    environment.globals["namespace"] = Namespace
    return environment


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    # Jinja's own filter escapes HTML, which templates written for transformers do not expect.
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _raise_exception(message: str) -> None:
    raise TemplateError(message)


def _today(form: str) -> None:
    raise Undated


@lru_cache(maxsize=32)
def _compiled(template: str) -> Callable[..., str]:
    environment = _environment()
    environment.globals["strftime_now"] = _today  # not in `examine`, which finds variables that are no globals
    return environment.from_string(template).render


def render(template: str, given: dict[str, Any]) -> dict[str, Any]:
    try:
        text = _compiled(template)(**given)
    except Undated:
        return {"undated": True}
    except TemplateError as error:
        return {"refused": _shown(error.message or "")}
    if len(text) > MOST_TEXT:
        return {"failed": f"its text has {len(text)} characters, and may have {MOST_TEXT}"}
    return {"text": text}


def examine(template: str) -> dict[str, Any]:
    """Facts about a template from its syntax.

    free: variables that the caller may set. dates: the format of each date that it writes; None where it is no
    literal. words: texts that it searches contents for, or splits them at: operands of comparisons, other than
    with roles and types, and arguments of methods.
    """
    environment = _environment()
    try:
        tree = environment.parse(template)
    except TemplateError as error:
        return {"invalid": _shown(error.message or "")}
    names = meta.TrackingCodeGenerator(environment)  # as meta.find_undeclared_variables
    names.optimizer = None
    names.visit(tree)
    free = names.undeclared_identifiers
    calls = list(tree.find_all(nodes.Call))
    dates = []
    for call in calls if "strftime_now" in free else ():
        if isinstance(call.node, nodes.Name) and call.node.name == "strftime_now":
            form = getattr(call.args[0], "value", None) if len(call.args) == 1 else None
            dates.append(form if isinstance(form, str) else None)
    words: list[str] = []

    def add(*given: Any) -> None:
        for node in given:
            if isinstance(node, nodes.Const) and isinstance(node.value, str) and node.value.strip():
                words.append(node.value)

    for compared in tree.find_all(nodes.Compare):
        if not _is_kind(compared.expr):
            add(compared.expr, *(operand.expr for operand in compared.ops))
    for call in calls:
        if isinstance(call.node, nodes.Getattr):
            add(*call.args)
    return {"free": sorted(free), "dates": dates, "words": list(dict.fromkeys(words))}


def _is_kind(node: Any) -> bool:
    """Whether an expression is a message's role, or a part's type."""
    if isinstance(node, nodes.Getattr):
        return node.attr in ("role", "type")
    return isinstance(node, nodes.Getitem) and getattr(node.arg, "value", None) in ("role", "type")


def _shown(text: object) -> str:
    """The text on one line of limited length."""
    return " ".join(str(text)[: 4 * _SHOWN].split())[:_SHOWN]


def answer(request: dict[str, Any]) -> bytes:
    begin = time.process_time()
    try:
        functions: dict[str, Callable[..., dict[str, Any]]] = {"render": render, "examine": examine}
        reply = functions[request.pop("do")](**request)
    except Exception as error:  # of the template: reported, and the next request is answered
        reason = f"{type(error).__name__}: {_shown(error)}".removesuffix(": ")
        reply = {"failed": "it needs too much memory" if isinstance(error, MemoryError) else reason}
    return json.dumps({**reply, "seconds": time.process_time() - begin}).encode("ascii")


def main() -> None:
    # Ctrl-C reaches every process of the terminal; the parent ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    limit = _limits()
    replies, requests = sys.stdout.buffer, sys.stdin.buffer
    replies.write(json.dumps({"jinja2": jinja2.__version__}).encode("ascii") + b"\n")
    replies.flush()
    for line in requests:
        message = json.loads(line)
        limit(message["seconds"])
        replies.write(answer(message["request"]) + b"\n")
        replies.flush()


def _limits() -> Callable[[float], None]:
    """Limits this process's memory. Returns a function that limits the next request's CPU time. Systems without
    these limits (Windows; macOS for memory) leave time to the parent, and memory unlimited."""
    try:
        import resource
    except ImportError:
        return lambda seconds: None
    for kind, most in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CORE, 0)):
        with suppress(ValueError, OSError):
            resource.setrlimit(kind, (most, most))
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)

    def limit(seconds: float) -> None:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time() + seconds), hard))

    return limit


if __name__ == "__main__":
    main()
