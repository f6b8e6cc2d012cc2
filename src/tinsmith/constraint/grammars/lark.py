"""Lark's EBNF in llguidance's dialect (its docs/syntax.md): rules, terminals, %ignore, %import common, %json,
%regex, %lark.

llguidance's lexer cuts the text into terminals, each as long as possible, before parsing. Here a text is
accepted if any cut works: `start: /[a-z]+/ "s"` accepts "cats" here, while llguidance reads the "s" as a letter
and waits for another one.

Differences:
- `~` never matches invalid UTF-8; patterns are those of regex.py, so \\d and \\w are ASCII
- %json has no white space unless its schema has "x-guidance": {"whitespace_flexible": true}
- ignored terminals may also stand before and after %json and %lark, but not inside them
- [stop], [max_tokens], [temperature] and [capture], which describe no text, are errors, like grammars by @name,
  parametric rules and ranges of tokens
"""

from __future__ import annotations

from typing import Any

from tinsmith.constraint import Constraint
from tinsmith.constraint.grammar import (
    EMPTY,
    NOTHING,
    Expr,
    Grammar,
    Ref,
    Repeat,
    choice,
    optional,
    sequence,
    text,
    token,
)
from tinsmith.constraint.grammars.lark_syntax import (
    Both,
    Document,
    Either,
    Json,
    Name,
    Nested,
    Node,
    Row,
    Text,
    Times,
    Token,
    read,
)
from tinsmith.constraint.grammars.lark_terminals import Terminals, is_terminal, names
from tinsmith.constraint.grammars.source import Source

MOST_LEADING = 200  # optional items at the beginning of a rule, in a grammar with %ignore
FIRST = "'"  # suffix of a rule's variant without ignored text before it
OPTIONS = ("ignore_once", "allow_initial_skip")


def compile_lark(grammar: str) -> Constraint:
    """ConstraintError for an invalid grammar."""
    from tinsmith.constraint.machine.automaton import compile_grammar

    return compile_grammar(read_lark(grammar), "lark")


def read_lark(grammar: str) -> Grammar:
    source = Source(grammar, "Lark")
    result = Grammar(start="lark")
    result.rules[result.start] = _Rules(source, read(source), result, "lark.").start()
    return result


class _Rules:
    """One grammar's rules. prefix: of their names, unique among nested grammars and schemas."""

    def __init__(self, source: Source, document: Document, grammar: Grammar, prefix: str) -> None:
        self.source, self.grammar, self.prefix = source, grammar, prefix
        self.definitions = document.definitions
        self.terminals = Terminals(source, document)
        self.options = self.checked(document.options)
        self.gap: Expr = EMPTY
        if document.ignored:
            ignored = choice([self.terminals.part(node) for node in document.ignored])
            grammar.rules[prefix + "%ignore"] = (
                optional(ignored) if self.options["ignore_once"] else Repeat(ignored)
            )
            self.gap = Ref(prefix + "%ignore")
        self.rules = {name: one for name, one in self.definitions.items() if not is_terminal(name)}

    def checked(self, options: dict[str, Any]) -> dict[str, bool]:
        for name, value in options.items():
            if name not in OPTIONS or not isinstance(value, bool):
                self.source.fail(
                    f"%llguidance: {name} is not known here; known are true and false for {OPTIONS}", 0
                )
        return {name: options.get(name, False) for name in OPTIONS}

    def start(self) -> Expr:
        """Adds the rules; returns the expression of the whole text."""
        if "start" not in self.rules:
            self.source.fail("there is no rule 'start' for the whole text; add start: ...", 0)
        self.empty = self.may_be_empty()
        twice = self.gap is not EMPTY and not self.options["allow_initial_skip"]
        for name, rule in self.rules.items():
            self.grammar.rules[self.prefix + name] = self.rest(rule)
            if twice:
                self.grammar.rules[self.prefix + name + FIRST] = self.first(rule)
        if not twice:
            return Ref(self.prefix + "start")
        first = Ref(self.prefix + "start" + FIRST)
        return optional(first) if "start" in self.empty else first

    def may_be_empty(self) -> set[str]:
        """The rules that may have no terminal."""
        users: dict[str, set[str]] = {}
        for name, rule in self.rules.items():
            for used in names(rule):
                users.setdefault(used.value, set()).add(name)
        self.empty = set()
        waiting = list(self.rules)
        while waiting:
            name = waiting.pop()
            if name not in self.empty and self.is_empty(self.rules[name]):
                self.empty.add(name)
                waiting += users.get(name, ())
        return self.empty

    def is_empty(self, node: Node) -> bool:
        match node:
            case Row(parts=parts):
                return all(map(self.is_empty, parts))
            case Either(parts=parts):
                return any(map(self.is_empty, parts))
            case Times(part=part, least=least):
                return not least or self.is_empty(part)
            case Text(value=value):
                return not value
            case Name(value=value):
                return value in self.empty
        return False

    def rest(self, node: Node) -> Expr:
        """The expression with ignored text before every terminal."""
        match node:
            case Row(parts=parts):
                return sequence(map(self.rest, parts))
            case Either(parts=parts):
                return choice(map(self.rest, parts))
            case Times(part=part, least=least, most=most):
                return Repeat(self.rest(part), least, most)
            case Name(value=value) if not is_terminal(value):
                return self.rule(node, "")
            case Text(value=""):
                return EMPTY
        return sequence((self.gap, self.terminal(node)))

    def first(self, node: Node) -> Expr:
        """The same, but not empty, and without ignored text before its first terminal."""
        match node:
            case Row(parts=parts):
                return self.first_of_row(parts)
            case Either(parts=parts):
                return choice(map(self.first, parts))
            case Times(most=0) | Text(value=""):
                return NOTHING
            case Times(part=part, least=least, most=most):
                more = Repeat(self.rest(part), max(least - 1, 0), None if most is None else most - 1)
                return sequence((self.first(part), more))
            case Name(value=value) if not is_terminal(value):
                return self.rule(node, FIRST)
        return self.terminal(node)

    def first_of_row(self, parts: tuple[Node, ...]) -> Expr:
        rest = [self.rest(part) for part in parts]
        alternatives: list[Expr] = []
        for k, part in enumerate(parts):
            if k == MOST_LEADING:
                self.source.fail(
                    f"more than {MOST_LEADING} items that may be empty begin a rule; group them", part.at
                )
            alternatives.append(sequence((self.first(part), *rest[k + 1 :])))
            if not self.is_empty(part):
                break
        return choice(alternatives)

    def rule(self, name: Name, form: str) -> Expr:
        if name.value not in self.rules:
            known = ", ".join(sorted(self.rules)[:20])
            self.source.fail(f"the rule {name.value} is used but not defined; defined are {known}", name.at)
        return Ref(self.prefix + name.value + form)

    def terminal(self, node: Node) -> Expr:
        """A terminal of the rules."""
        match node:
            case Text(value=value, any_case=False):
                return text(value)
            case Name(value=value):
                name = self.prefix + value
                if name not in self.grammar.rules:
                    self.grammar.rules[name] = self.terminals.part(node)
                return Ref(name)
            case Token(value=value):
                return token(self.source.token(value, node.at))
            case Json():
                return self.json(node)
            case Nested(document=document):
                prefix = f"{self.prefix}{node.at}."
                return _Rules(self.source, document, self.grammar, prefix).start()
            case Both():
                self.source.fail("'&' works in terminals only; write the rule's name in capitals", node.at)
        return self.terminals.part(node)

    def json(self, node: Json) -> Expr:
        from tinsmith.constraint.json_schema import Options, schema_expr
        from tinsmith.constraint.schema.json_text import Spacing

        schema, where = node.schema, f"Lark {self.source.place(node.at)} %json "
        spacing: Spacing = "compact"
        if isinstance(schema, dict) and "x-guidance" in schema:
            schema = dict(schema)
            match schema.pop("x-guidance"):
                case {"whitespace_flexible": bool(flexible), **others} if not others:
                    spacing = "free" if flexible else "compact"
                case _:
                    self.source.fail('"x-guidance" takes {"whitespace_flexible": true or false} here', node.at)
        return schema_expr(self.grammar, schema, where, Options(spacing=spacing))
