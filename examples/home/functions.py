"""The functions that the templates call, with their arguments: tools.json."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from drawing import ARGUMENT_ORDER, Sampler, Template, tidy_value
from hassil import expression as ex
from hassil.intents import RangeSlotList, TextSlotList


@dataclass
class Argument:
    """A function argument's values: one of a list, numbers of a range, or any words."""

    values: dict[Any, None] = field(default_factory=dict)  # a set that keeps the order
    ranges: list[dict[str, Any]] = field(default_factory=list)
    free: bool = False

    def schema(self) -> dict[str, Any]:
        texts = [value for value in self.values if isinstance(value, str)]
        numbers = [value for value in self.values if not isinstance(value, str)]
        kinds = [*self.ranges]
        if self.free:
            kinds.append({"type": "string"})
        elif texts:
            kinds.append({"type": "string", "enum": texts})
        inside = [n for n in numbers for r in self.ranges if r["minimum"] <= n <= r["maximum"]]
        if rest := [n for n in numbers if n not in inside]:
            kinds.append({"type": "integer", "enum": rest})
        return kinds[0] if len(kinds) == 1 else {"anyOf": kinds}


def tools(sampler: Sampler, templates: Sequence[Template]) -> list[dict[str, Any]]:
    """Every function that the templates call, in the shape of OpenAI's tools, its arguments in ARGUMENT_ORDER.

    A home knows its own rooms and devices, so they are listed with those that no training example names.
    """
    known: dict[str, dict[str, Argument]] = {}
    needed: dict[str, set[str]] = {}
    for template in templates:
        arguments = known.setdefault(template.intent, {})
        for name, value in template.data.slots.items():
            arguments.setdefault(name, Argument()).values[value] = None
        for node in references(template.sentence.expression, template, sampler):
            add_list(arguments.setdefault(node.slot_name, Argument()), node.list_name, template, sampler)
        always = {*template.data.slots, *always_said(template.sentence.expression, template, sampler)}
        needed[template.intent] = needed.get(template.intent, always) & always
    return [
        {
            "type": "function",
            "function": {
                "name": intent,
                "parameters": {
                    "type": "object",
                    "properties": {
                        name: arguments[name].schema() for name in ARGUMENT_ORDER if name in arguments
                    },
                    "required": [name for name in ARGUMENT_ORDER if name in needed[intent]],
                    "additionalProperties": False,
                },
            },
        }
        for intent, arguments in known.items()
    ]


def add_list(argument: Argument, name: str, template: Template, sampler: Sampler) -> None:
    """Adds what a slot list can pass on."""
    slots = {**sampler.intents.slot_lists, **template.data.slot_lists}.get(name)
    if isinstance(slots, RangeSlotList):
        low, high = sorted(int(end * (slots.multiplier or 1)) for end in (slots.start, slots.stop))
        kind: dict[str, Any] = {"type": "integer", "minimum": low, "maximum": high}
        if slots.fraction_type is not None:
            kind = {"type": "number", "minimum": low, "maximum": high, "multipleOf": 0.5}
        elif slots.step > 1:
            kind["multipleOf"] = slots.step
        if kind not in argument.ranges:
            argument.ranges.append(kind)
    elif isinstance(slots, TextSlotList):
        argument.values |= dict.fromkeys(tidy_value(entry.value_out) for entry in slots.values)
    elif name in ("area", "floor", "name"):
        domains = template.data.requires_context.get("domain") if name == "name" else None
        entries = [v for _, v, domain in sampler.home.lists[name] if not domains or domain in domains]
        argument.values |= dict.fromkeys(entries)
    else:
        argument.free = True


def references(node: ex.Expression, template: Template, sampler: Sampler) -> Iterator[ex.ListReference]:
    """Every list that a sentence mentions."""
    if isinstance(node, ex.ListReference):
        yield node
    for part in parts_of(node, template, sampler):
        yield from references(part, template, sampler)


def always_said(node: ex.Expression, template: Template, sampler: Sampler) -> set[str]:
    """The slots that every way to say the sentence fills."""
    if isinstance(node, ex.ListReference):
        return {node.slot_name}
    parts = [always_said(part, template, sampler) for part in parts_of(node, template, sampler)]
    if not parts:
        return set()
    return set.intersection(*parts) if isinstance(node, ex.Alternative) else set.union(*parts)


def parts_of(node: ex.Expression, template: Template, sampler: Sampler) -> Sequence[ex.Expression]:
    if isinstance(node, ex.RuleReference):
        rules = {**sampler.intents.expansion_rules, **template.data.expansion_rules}
        return [rules[node.rule_name].expression]
    return node.items if isinstance(node, ex.Group) else []
