"""What transformers adds to Jinja for chat templates; imported only where jinja2 is there."""

from __future__ import annotations

from typing import Any

from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.runtime import Macro
from jinja2.utils import Namespace as AnyNamespace


class Generation(Extension):
    """`{% generation %} … {% endgeneration %}` marks what the assistant says, in a scope of its own."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_said"), [], [], body).set_lineno(line)

    def _said(self, caller: Macro) -> str:
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
