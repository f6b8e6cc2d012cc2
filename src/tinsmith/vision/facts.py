"""A vision model's facts as plain values, without its tensors, for a manifest or a file's metadata."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields
from typing import Any

from tinsmith.errors import FormatError
from tinsmith.spec import ImageRules, Vision
from tinsmith.vision.parts import checked, encoders, projectors


def to_facts(vision: Vision) -> dict[str, Any]:
    """By the names of Vision's fields."""
    return {
        "encoder": vision.encoder,
        "sizes": asdict(vision.sizes),
        "projector": vision.projector,
        "joint": asdict(vision.joint),
        "tokens": dict(vision.tokens),
        "images": {"rule": _rule(type(vision.image_rules))} | asdict(vision.image_rules),
    }


def from_facts(facts: Mapping[str, Any], where: str) -> Vision:
    """The inverse of to_facts. Raises FormatError for a missing or invalid value."""
    encoder, projector = facts.get("encoder"), facts.get("projector")
    if encoder not in encoders() or projector not in projectors():
        raise FormatError(f"{where}: unknown encoder {encoder!r} or projector {projector!r}")
    tokens = facts.get("tokens")
    if not isinstance(tokens, dict) or not all(type(token) is int for token in tokens.values()):
        raise FormatError(f"{where}: tokens is {tokens!r}; it must be a table of token ids")
    vision = Vision(
        encoder,
        _instance(encoders()[encoder].sizes, facts.get("sizes"), f"{where}: sizes"),
        projector,
        _instance(projectors()[projector].joint, facts.get("joint"), f"{where}: joint"),
        {},
        dict(tokens),
        images_from_facts(projectors()[projector].rule, facts.get("images"), f"{where}: images"),
    )
    return checked(vision, where)


def images_from_facts(rule: type[ImageRules], facts: Any, where: str) -> ImageRules:
    if isinstance(facts, Mapping):
        if facts.get("rule", _rule(rule)) != _rule(rule):
            raise FormatError(f"{where}: rule is {facts['rule']!r}; it must be {_rule(rule)!r}")
        facts = {key: value for key, value in facts.items() if key != "rule"}
    rules: ImageRules = _instance(rule, facts, where)
    return rules


def _rule(kind: type[ImageRules]) -> str:
    return kind.__name__.lower()


def _instance(kind: Any, facts: Any, where: str) -> Any:
    """An instance of a dataclass with the field types that `_value` checks."""
    if not isinstance(facts, Mapping):
        raise FormatError(f"{where} is {facts!r}; it must be a table")
    wanted = {field.name: str(field.type) for field in fields(kind)}
    # Older files lack the fields with defaults.
    facts = {field.name: field.default for field in fields(kind) if field.default is not MISSING} | dict(facts)
    if facts.keys() != wanted.keys():
        odd = sorted(facts.keys() ^ wanted.keys())
        raise FormatError(f"{where}: missing or unknown fields of {kind.__name__}: {', '.join(map(str, odd))}")
    return kind(**{name: _value(facts[name], word, f"{where}: {name}") for name, word in wanted.items()})


def _value(given: Any, word: str, where: str) -> Any:
    if type(given).__name__ == word and (word in ("bool", "str") or (word == "int" and given > 0)):
        return given
    if word == "float" and type(given) in (int, float) and 0 < given < float("inf"):
        return float(given)
    if word == "tuple[int, ...]" and isinstance(given, (list, tuple)):
        if all(type(one) is int and one >= 0 for one in given):
            return tuple(given)
    elif word.startswith("tuple") and isinstance(given, (list, tuple)) and len(given) == 3:
        return tuple(_value(one, "float", where) for one in given)
    raise FormatError(f"{where} is {given!r}; it must be {word}")
