"""Python's types and functions as JSON Schema and tools, and JSON values as instances of the types."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from tinsmith.errors import ConstraintError

_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
_LISTS = (list, Sequence, set, frozenset)
_OBJECTS = (dict, Mapping)
_DEEPEST = 32


def is_type(value: Any) -> bool:
    """Whether it is a type that `schema_of` knows, rather than a schema."""
    return isinstance(value, type) or typing.get_origin(value) is not None or isinstance(value, types.UnionType)


def schema_of(kind: Any, path: str = "", depth: int = 0) -> dict[str, Any]:
    """The JSON Schema of a type: str, int, float, bool, None, Literal, enums, unions, list, dict, tuple,
    dataclasses, TypedDicts, pydantic models, Annotated with a text for a description. ConstraintError for
    others.

    A float is any number. An object has no keys beyond those of its class.
    """
    if depth > _DEEPEST:
        raise ConstraintError(f"{path}: types nest over {_DEEPEST} levels; they can't refer to themselves")
    depth += 1
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        text = next((note for note in arguments[1:] if isinstance(note, str)), None)
        return schema_of(arguments[0], path, depth) | ({"description": text} if text else {})
    if kind is Any:
        return {}
    if kind in _PLAIN or kind is None:
        return {"type": _PLAIN[type(None) if kind is None else kind]}
    if origin in (typing.Required, typing.NotRequired):
        return schema_of(arguments[0], path, depth)
    if origin is typing.Literal:
        return {"enum": [one.value if isinstance(one, enum.Enum) else one for one in arguments]}
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [schema_of(one, path, depth) for one in arguments]}
    if kind in _LISTS or origin in _LISTS:
        unique = {"uniqueItems": True} if (origin or kind) in (set, frozenset) else {}
        return (
            {"type": "array"} | ({"items": schema_of(arguments[0], path, depth)} if arguments else {}) | unique
        )
    if kind is tuple or origin is tuple:
        return _tuple(arguments, path, depth)
    if kind in _OBJECTS or origin in _OBJECTS:
        if arguments and arguments[0] is not str:
            raise ConstraintError(f"{path}: keys of a dict must be str in JSON, got {arguments[0]!r}")
        values = {"additionalProperties": schema_of(arguments[1], path, depth)} if arguments else {}
        return {"type": "object"} | values
    if isinstance(kind, type):
        return _class(kind, path, depth)
    raise ConstraintError(f"{path}: {kind!r} has no JSON Schema; give one of Python's plain types, or a schema")


def _tuple(arguments: tuple[Any, ...], path: str, depth: int) -> dict[str, Any]:
    if not arguments:
        return {"type": "array"}
    if len(arguments) == 2 and arguments[1] is ...:
        return {"type": "array", "items": schema_of(arguments[0], path, depth)}
    parts = [schema_of(one, f"{path}[{k}]", depth) for k, one in enumerate(arguments)]
    return {"type": "array", "prefixItems": parts, "minItems": len(parts), "maxItems": len(parts)}


def _class(kind: type, path: str, depth: int) -> dict[str, Any]:
    if issubclass(kind, enum.Enum):
        return {"enum": [one.value for one in kind]}
    if hasattr(kind, "model_json_schema"):
        schema: dict[str, Any] = kind.model_json_schema()
        return schema
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind, include_extras=True)
        fields = [field for field in dataclasses.fields(kind) if field.init]
        needed = [
            field.name
            for field in fields
            if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        ]
        return _object({field.name: hints[field.name] for field in fields}, needed, path, depth)
    if _is_typed_dict(kind):
        hints = typing.get_type_hints(kind, include_extras=True)
        return _object(hints, [name for name in hints if _is_required(kind, name, hints[name])], path, depth)
    raise ConstraintError(f"{path}: {kind.__name__} has no JSON Schema; give a dataclass, TypedDict or schema")


def _is_typed_dict(kind: Any) -> bool:
    """Also those of typing_extensions, whose metaclass is its own."""
    return isinstance(kind, type) and issubclass(kind, dict) and hasattr(kind, "__required_keys__")


def _is_required(kind: Any, name: str, hint: Any) -> bool:
    # Where annotations are texts, Python itself does not see what they say of a key.
    origin = typing.get_origin(hint)
    if origin in (typing.Required, typing.NotRequired):
        return origin is typing.Required
    return name in kind.__required_keys__


def _object(hints: Mapping[str, Any], required: list[str], path: str, depth: int) -> dict[str, Any]:
    properties = {name: schema_of(hint, f"{path}.{name}", depth) for name, hint in hints.items()}
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def value_of(kind: Any, value: Any) -> Any:
    """A JSON value as an instance of a type whose schema it satisfies. Raises ValueError for another value."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    base = origin or kind
    if base in (typing.Annotated, typing.Required, typing.NotRequired):
        return value_of(arguments[0], value)
    if base in (typing.Union, types.UnionType):
        for one in arguments:
            with suppress(ValueError):
                return value_of(one, value)
    elif base is typing.Literal:
        for one in arguments:
            given = getattr(one, "value", one)
            if type(given) is type(value) and given == value:
                return one
    elif base is Any or (base in (None, type(None)) and value is None):
        return value
    elif base is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif base in _PLAIN and type(value) is base:
        return value
    elif base in _OBJECTS and isinstance(value, dict):
        return {key: value_of(arguments[1] if arguments else Any, item) for key, item in value.items()}
    elif (base in _LISTS or base is tuple) and isinstance(value, list):
        return _items(base, arguments, value)
    elif isinstance(base, type) and base not in (*_PLAIN, *_OBJECTS, *_LISTS, tuple):
        return _instance(base, value)
    raise ValueError(f"{value!r} is not of the type {kind}")


def _items(base: Any, arguments: tuple[Any, ...], values: list[Any]) -> Any:
    if base is tuple and arguments and not (len(arguments) == 2 and arguments[1] is ...):
        return tuple(value_of(one, item) for one, item in zip(arguments, values, strict=True))
    maker = base if base in (tuple, set, frozenset) else list
    return maker(value_of(arguments[0] if arguments else Any, item) for item in values)


def _instance(kind: type, value: Any) -> Any:
    if issubclass(kind, enum.Enum):
        return kind(value)
    if hasattr(kind, "model_validate"):
        return kind.model_validate(value)
    hints = typing.get_type_hints(kind, include_extras=True)
    if not isinstance(value, dict) or not set(schema_of(kind)["required"]) <= set(value) <= set(hints):
        raise ValueError(f"{value!r} is not of the type {kind}")
    values = {name: value_of(hints[name], item) for name, item in value.items()}
    return kind(**values) if dataclasses.is_dataclass(kind) else values


def tool_of(function: Callable[..., Any]) -> dict[str, Any]:
    """A function as a tool in OpenAI's shape: its name, the beginning of its docstring, and its parameters by
    their annotations, described in the docstring under `Args:` or as `:param name:`. ConstraintError for a
    parameter without annotation, or of a type that `schema_of` does not know."""
    name = getattr(function, "__name__", type(function).__name__)
    if name == "<lambda>":
        raise ConstraintError("a lambda has no name to be called by; give a function that is defined with def")
    text, described = _docstring(inspect.getdoc(function) or "")
    properties, required = {}, []
    for parameter, hint in _parameters(function, name):
        schema = schema_of(hint, f"{name}({parameter.name})")
        if parameter.name in described:
            schema = {**schema, "description": described[parameter.name]}
        properties[parameter.name] = schema
        if parameter.default is inspect.Parameter.empty:
            required.append(parameter.name)
    parameters = {"type": "object", "properties": properties, "required": required}
    return {"type": "function", "function": {"name": name, "description": text, "parameters": parameters}}


def arguments_of(function: Callable[..., Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """A call's arguments as instances of the types that the function names."""
    hints = {parameter.name: hint for parameter, hint in _parameters(function, "")}
    return {name: value_of(hints.get(name, Any), value) for name, value in arguments.items()}


def _parameters(function: Callable[..., Any], name: str) -> list[tuple[inspect.Parameter, Any]]:
    described = function if inspect.isroutine(function) else type(function).__call__
    hints = typing.get_type_hints(described, include_extras=True)
    parameters = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise ConstraintError(f"{name}: parameter {parameter} can't be given by name, which tools need")
        if parameter.name not in hints:
            raise ConstraintError(f"{name}: parameter {parameter.name} has no annotation; write its type")
        parameters.append((parameter, hints[parameter.name]))
    return parameters


_ARGUMENT = re.compile(r"(\s+)(\*{0,2}\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)")
_SECTION = re.compile(r"(Args|Arguments|Parameters|Returns?|Raises|Yields|Examples?|Notes?)\s*:\s*$")


def _docstring(text: str) -> tuple[str, dict[str, str]]:
    """What a docstring says of the function, up to its sections, and of its parameters."""
    summary: list[str] = []
    described: dict[str, str] = {}
    section, last, indent = "", "", 0
    for line in text.splitlines():
        if heading := _SECTION.match(line):
            section, last = heading[1], ""
        elif match := re.match(r":param\s+(?:\S+\s+)?(\w+)\s*:\s*(.*)", line):
            section, last, indent = "Args", match[1], 0
            described[last] = match[2]
        elif line.startswith(":"):
            section, last = "Returns", ""
        elif not section:
            summary.append(line)
        elif section in ("Args", "Arguments", "Parameters") and line.strip():
            match = _ARGUMENT.match(line)
            if match and (not last or len(match[1]) <= indent):
                last, indent = match[2], len(match[1])
                described[last] = match[3]
            elif last:
                described[last] = f"{described[last]} {line.strip()}".strip()
    return "\n".join(summary).strip(), described
