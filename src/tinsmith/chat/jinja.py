"""The process that reads chat templates: a program of its own, started by chat/jinja_process.py.

A template comes with a model's file, from anyone. What it asks for in time or memory is this process's, which
has limits and is ended where they are passed; and this process has no environment, no argument and no open file
that a template could read if it found a way out of Jinja's sandbox. It imports nothing of tinsmith.

Requests come on standard input and replies go to standard output, a line of JSON in ASCII each. The first line,
which nobody asked for, gives Jinja's version.

    {"do": "render", "template", "date", "given"}    {"text"}
    {"do": "examine", "template"}                    {"free", "dates", "words"}, see `examine`

or {"refused": why} where the template refuses what it is given, {"undated": true} where it writes a date and
none is given, {"invalid": why} where it is no template, {"failed": why} for whatever else it comes to.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import date as Date
from functools import lru_cache
from typing import Any

# Where jinja2 and markupsafe lie, behind the standard library: nothing else is found on the way.
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
CPU = 60  # seconds a request: ends what goes on after its parent has died
MOST_TEXT = 8 << 20  # characters of a rendered conversation
_SHOWN = 300  # characters of an error


class Generation(Extension):
    """`{% generation %} … {% endgeneration %}` marks what the assistant says, in a scope of its own."""

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
    """`namespace` that holds no name with an underscore first."""

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
        raise SecurityError(f"a namespace can't hold {name!r}: a name can't begin with an underscore")


class Undated(Exception):
    """The template writes today's date, and none was given."""


def _environment() -> ImmutableSandboxedEnvironment:
    """Jinja as transformers sets it up for chat templates. Without its optimizer: that changes no text, and
    takes a time that grows with the cube of an expression's depth."""
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


@lru_cache(maxsize=32)
def _compiled(template: str, date: str | None) -> Callable[..., str]:
    environment = _environment()

    def strftime_now(form: str) -> str:
        if date is None:
            raise Undated
        return Date.fromisoformat(date).strftime(form)

    environment.globals["strftime_now"] = strftime_now
    return environment.from_string(template).render


def render(template: str, date: str | None, given: dict[str, Any]) -> dict[str, Any]:
    try:
        text = _compiled(template, date)(**given)
    except Undated:
        return {"undated": True}
    except TemplateError as error:
        return {"refused": _shown(error.message or "")}
    if len(text) > MOST_TEXT:
        return {"failed": f"its text has {len(text)} characters, and may have {MOST_TEXT}"}
    return {"text": text}


def examine(template: str) -> dict[str, Any]:
    """What is to be known of a template from its syntax alone.

    free: the variables that whoever renders it may set. dates: for each place where it writes today's date, the
    form of it; None where that is not written there. words: texts that it looks for in contents, or cuts them
    at: operands of comparisons and arguments of methods, but for what it compares roles and types with.
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
    """On one line, and not too long."""
    return " ".join(str(text)[: 4 * _SHOWN].split())[:_SHOWN]


def answer(line: bytes) -> bytes:
    try:
        asked = json.loads(line)
        does: dict[str, Callable[..., dict[str, Any]]] = {"render": render, "examine": examine}
        reply = does[asked.pop("do")](**asked)
        return json.dumps(reply).encode("ascii")
    except Exception as error:  # whatever a template raises is reported, and the next request is answered
        words = "it needs too much memory" if isinstance(error, MemoryError) else _description(error)
        return json.dumps({"failed": words}).encode("ascii")


def _description(error: Exception) -> str:
    return f"{type(error).__name__}: {_shown(error)}".removesuffix(": ")


def main() -> None:
    # A Ctrl-C reaches every process of the terminal; the parent says when this one is to end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    limit = _limits()
    replies, requests = sys.stdout.buffer, sys.stdin.buffer
    replies.write(json.dumps({"jinja2": jinja2.__version__}).encode("ascii") + b"\n")
    replies.flush()
    for line in requests:
        limit()
        replies.write(answer(line) + b"\n")
        replies.flush()


def _limits() -> Callable[[], None]:
    """Sets the memory that this process may have; what is given sets the time of the next request. Systems that
    have no such limits (Windows; macOS for memory) leave time to the parent, and memory unlimited."""
    try:
        import resource
    except ImportError:
        return lambda: None
    for kind, most in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CORE, 0)):
        with suppress(ValueError, OSError):
            resource.setrlimit(kind, (most, most))
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)

    def limit() -> None:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + CPU, hard))

    return limit


if __name__ == "__main__":
    main()
