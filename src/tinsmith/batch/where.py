"""--where: an expression over a row's columns, such as `lang == "en" and len(text) < 200`.

It supports Python's comparisons, `and`, `or`, `not`, `in`, arithmetic, texts, numbers and lists. Its functions
are len, lower and float. col("a name") is a column whose name is not an identifier. A missing column is None.
Comparing different types is false.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

from tinsmith.errors import InputError

Values = Mapping[str, Any]
_Term = Callable[[Values], Any]

_COMPARED: dict[type, Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda one, many: one in many,
    ast.NotIn: lambda one, many: one not in many,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
}
_BINARY: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
}
_FUNCTIONS: dict[str, Callable[[Any], Any]] = {"len": len, "lower": str.lower, "float": float}
_ALLOWED = (
    "columns, texts, numbers, lists, == != < <= > >= in, and or not, + - * / %, len() lower() float() col()"
)
_MAX_LENGTH = 4096  # characters: ast.parse fails on deep nesting
_MAX_DEPTH = 100  # of nested calls on the stack


def compiled(text: str) -> Callable[[Values], bool]:
    """A predicate of a row's values."""
    try:
        if len(text) > _MAX_LENGTH:
            raise SyntaxError(f"longer than {_MAX_LENGTH} characters")
        parsed = ast.parse(text.strip(), mode="eval").body
        if _depth(parsed) > _MAX_DEPTH:
            raise SyntaxError(f"nested deeper than {_MAX_DEPTH}")
        term = _term(parsed)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else error
        raise InputError(f"--where {text}: {reason}; allowed are {_ALLOWED}") from None
    return lambda values: bool(_value(term, values))


def _depth(root: ast.AST) -> int:
    depth, level = 0, [root]
    while level:
        depth, level = depth + 1, [inner for node in level for inner in ast.iter_child_nodes(node)]
    return depth


def _value(term: _Term, values: Values) -> Any:
    """None where an operation does not apply to the values."""
    try:
        return term(values)
    except (TypeError, ValueError, ArithmeticError):
        return None


def _term(node: ast.expr) -> _Term:
    match node:
        case ast.Constant(value=value) if value is None or isinstance(value, str | int | float | bool):
            return lambda values: value
        case ast.Name(id=name):
            return lambda values: values.get(name)
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            terms = [_term(part) for part in parts]
            return lambda values: [term(values) for term in terms]
        case ast.BoolOp(op=op, values=parts):
            terms = [_term(part) for part in parts]
            decide = all if isinstance(op, ast.And) else any
            return lambda values: decide(bool(_value(term, values)) for term in terms)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            inner = _term(operand)
            return lambda values: not _value(inner, values)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            inner = _term(operand)
            return lambda values: -inner(values)
        case ast.BinOp(op=op, left=left, right=right) if type(op) in _BINARY:
            return _arithmetic(_BINARY[type(op)], _term(left), _term(right))
        case ast.Compare(left=left, ops=ops, comparators=rights):
            return _compared(
                _term(left),
                [(_COMPARED[type(op)], _term(right)) for op, right in zip(ops, rights, strict=True)],
            )
        case ast.Call(func=ast.Name(id="col"), args=[ast.Constant(value=str() as column)], keywords=[]):
            return lambda values: values.get(column)
        case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in _FUNCTIONS:
            function, inner = _FUNCTIONS[name], _term(argument)
            return lambda values: function(inner(values))
    raise SyntaxError(f"{ast.unparse(node)} is not allowed")


def _arithmetic(operate: Callable[[Any, Any], Any], left: _Term, right: _Term) -> _Term:
    """Arithmetic of numbers, and joining texts. A text times a number could fill the memory."""

    def computed(values: Values) -> Any:
        one, two = left(values), right(values)
        texts = isinstance(one, str) and isinstance(two, str) and operate is operator.add
        if not texts and not (isinstance(one, int | float) and isinstance(two, int | float)):
            raise TypeError
        return operate(one, two)

    return computed


def _compared(left: _Term, rest: list[tuple[Callable[[Any, Any], Any], _Term]]) -> _Term:
    def holds(values: Values) -> bool:
        before = left(values)
        for compare, right in rest:
            after = right(values)
            if not compare(before, after):
                return False
            before = after
        return True

    return holds
