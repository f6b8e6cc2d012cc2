"""Docstrings as this project writes them, for autodoc.

A docstring says `name: what it is.` within its sentences; here that becomes a field for each parameter.
Annotations name a class by the module that defines it; here they lead to the public name. A module's docstring
that is a drawing stays one.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

import tinsmith
from tinsmith import runtime

PUBLIC = {name: f"tinsmith.{name}" for name in tinsmith.__all__} | {
    name: f"tinsmith.runtime.{name}" for name in runtime.__all__ if name not in tinsmith.__all__
}
# What annotations abbreviate, and a page need not link: the text stays.
ALIASES = {"AnyTool", "Buffer", "Chosen", "Finish", "Kind", "Message", "Own", "Prompt", "Spacing"}


def parameters(thing: Any) -> list[str]:
    try:
        return list(inspect.signature(thing).parameters)
    except (TypeError, ValueError):
        return []


def fields(docstring: str, names: list[str], kind: str = "param") -> str:
    """Paragraphs, with what they say of each name moved to a list below them."""
    if not names:
        return docstring
    begins = re.compile(rf"(?:^|(?<=[.;] ))({'|'.join(names)}): ")
    prose, described = [], []
    for paragraph in docstring.split("\n\n"):
        text, raises, what = " ".join(paragraph.split()).partition("Raises ")
        first, *rest = begins.split(text)
        prose += [first, raises + what]
        described += [
            f":{kind} {name}: {said.strip(' ;')}" for name, said in zip(rest[::2], rest[1::2], strict=True)
        ]
    return "\n\n".join([*filter(None, prose), "\n".join(described)])


def process(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    text = "\n".join(lines)
    if what == "module":
        head, _, drawing = text.partition("\n\n")
        lines[:] = [head, "", "::", "", *(f"    {line}" for line in drawing.splitlines())]
    elif dataclasses.is_dataclass(thing):
        known = {field.name: field.type for field in dataclasses.fields(thing)}
        prose, _, listed = fields(text, list(known), "ivar").rpartition("\n\n")
        described = dict(re.findall(r"^:ivar (\w+): (.*)$", listed, re.M))
        lines[:] = [*prose.splitlines(), ""]
        for name, kind in known.items():
            lines += [f":ivar {name}: {described.get(name, '')}", f":vartype {name}: {kind}"]
    else:
        lines[:] = fields(text, parameters(thing)).splitlines()


def public(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.TextElement
) -> nodes.Node | None:
    name = str(node.get("reftarget", "")).rpartition(".")[2]
    if node.get("refdomain") != "py":
        return None
    if name in ALIASES:
        return content
    if name not in PUBLIC:
        return None
    found = env.domains["py"].resolve_xref(env, node["refdoc"], app.builder, "obj", PUBLIC[name], node, content)
    return found


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", process)
    app.connect("missing-reference", public)
    return {"parallel_read_safe": True}
