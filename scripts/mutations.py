"""The operators of scripts/mutants: small edits of a C or a Python source, by libclang and ast.

An edit is a place in bytes and what stands there instead. None is in a table (what stands in braces in C), in a
macro or in a declaration.
"""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

RELATIONS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "=="}
RELATIONS |= {"is": "is not", "is not": "is", "in": "not in", "not in": "in"}
ARITHMETIC = {
    "+": "-",
    "-": "+",
    "*": "/",
    "/": "*",
    "//": "*",
    "%": "*",
    "<<": ">>",
    ">>": "<<",
    "&": "|",
    "|": "&",
}
ARITHMETIC |= {f"{old}=": f"{new}=" for old, new in ARITHMETIC.items()}
LOGIC = {"&&": "||", "||": "&&", "and": "or", "or": "and"}
OPERATORS = {"relation": RELATIONS, "arithmetic": ARITHMETIC, "logic": LOGIC}
COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*|#[^\n]*", re.S)


class Edit(NamedTuple):
    start: int
    end: int
    new: str
    operator: str


def edits(path: Path) -> list[Edit]:
    """Of a source, in the order of its text, each once."""
    found = python_edits(path.read_bytes()) if path.suffix == ".py" else c_edits(path)
    return sorted(set(found))


def applied(text: bytes, edit: Edit) -> bytes:
    return text[: edit.start] + edit.new.encode() + text[edit.end :]


def between(text: bytes, start: int, end: int) -> Iterator[Edit]:
    """The operator between two operands."""
    gap = text[start:end].decode("utf-8", "replace")
    bare = COMMENT.sub(lambda match: " " * len(match[0]), gap)
    word = " ".join(bare.strip().strip("()\\").split())
    for kind, table in OPERATORS.items():
        if word in table and (at := bare.find(word)) >= 0:
            yield Edit(start + at, start + at + len(word), table[word], kind)


def python_edits(text: bytes) -> Iterator[Edit]:
    lines = [0]
    for line in text.splitlines(keepends=True):
        lines.append(lines[-1] + len(line))

    def span(node: Any) -> tuple[int, int]:
        start, end = lines[node.lineno - 1] + node.col_offset, lines[node.end_lineno - 1] + node.end_col_offset
        return start, end

    def instead(node: ast.AST, new: str, operator: str) -> Edit:
        return Edit(*span(node), new, operator)

    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Compare(left, _, others):
                for one, two in pairwise([left, *others]):
                    yield from between(text, span(one)[1], span(two)[0])
            case ast.BoolOp(_, values):
                for one, two in pairwise(values):
                    yield from between(text, span(one)[1], span(two)[0])
            case ast.BinOp(left, _, right) | ast.AugAssign(left, _, right):
                yield from between(text, span(left)[1], span(right)[0])
            case ast.If(test) | ast.While(test) | ast.IfExp(test) if ast.unparse(test) != "TYPE_CHECKING":
                yield instead(test, f"(not ({text[slice(*span(test))].decode()}))", "condition")
            case ast.Constant(bool(value)):
                yield instead(node, str(not value), "constant")
            case ast.Constant(int(value)):
                yield instead(node, str(value + 1), "constant")
            case ast.Return(value) if value is not None:
                none = isinstance(value, ast.Constant) and value.value is None
                yield instead(value, "1" if none else "None", "return")
        match node:
            case (
                ast.Expr(ast.Call() | ast.Await() | ast.Yield()) | ast.Assign() | ast.AugAssign() | ast.Raise()
            ):
                yield instead(node, "pass", "statement")


@cache
def _index() -> tuple[Any, list[str]]:
    from clang import cindex

    done = subprocess.run(["clang-19", "-print-resource-dir"], capture_output=True, text=True, check=True)
    return cindex, ["-std=c11", "-D_GNU_SOURCE", f"-isystem{done.stdout.strip()}/include"]


def c_edits(path: Path) -> Iterator[Edit]:
    cindex, flags = _index()
    kernels = next(folder for folder in path.parents if folder.name == "kernels")
    unit = cindex.Index.create().parse(str(path), [*flags, f"-I{kernels}"])
    worst = [str(one) for one in unit.diagnostics if one.severity >= 3]
    if worst:
        raise ValueError(f"{path}: {worst[0]}")
    text = path.read_bytes()
    for node in unit.cursor.get_children():
        if node.location.file and node.location.file.name == str(path) and node.kind.name == "FUNCTION_DECL":
            yield from _of_node(node, text, node.result_type.get_canonical().kind.name)


def _of_node(node: Any, text: bytes, result: str) -> Iterator[Edit]:
    kind, children = node.kind.name, list(node.get_children())
    start, end = node.extent.start.offset, node.extent.end.offset
    if kind in ("BINARY_OPERATOR", "COMPOUND_ASSIGNMENT_OPERATOR") and len(children) == 2:
        yield from between(text, children[0].extent.end.offset, children[1].extent.start.offset)
    elif kind == "INTEGER_LITERAL" and (
        number := re.fullmatch(rb"(0x[0-9a-fA-F]+|\d+)([uUlL]*)", text[start:end])
    ):
        yield Edit(start, end, f"{int(number[1], 0) + 1}{number[2].decode()}", "constant")
    elif kind in ("IF_STMT", "WHILE_STMT"):
        at, to = children[0].extent.start.offset, children[0].extent.end.offset
        if _is_expression(text[at:to]):
            yield Edit(at, to, f"!({text[at:to].decode()})", "condition")
    elif kind == "RETURN_STMT" and children:
        at, to = children[0].extent.start.offset, children[0].extent.end.offset
        value = text[at:to].decode()
        other = ("0" if value not in ("0", "NULL", "TIN_OK") else "1") if result != "POINTER" else "0"
        if _is_expression(text[at:to]) and other != value and (result != "POINTER" or value != "NULL"):
            yield Edit(at, to, other, "return")
    elif kind == "COMPOUND_STMT":
        for child in children:
            if child.kind.name in (
                "CALL_EXPR",
                "BINARY_OPERATOR",
                "COMPOUND_ASSIGNMENT_OPERATOR",
                "UNARY_OPERATOR",
            ):
                at, to = child.extent.start.offset, child.extent.end.offset
                if text[to : to + 1] == b";":
                    yield Edit(at, to, "(void)0", "statement")
    if kind != "INIT_LIST_EXPR":
        for child in children:
            yield from _of_node(child, text, result)


def _is_expression(text: bytes) -> bool:
    """Not part of one, which is what a macro's expansion leaves."""
    return bool(text) and text.count(b"(") == text.count(b")")
