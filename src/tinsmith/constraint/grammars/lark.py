"""Lark's EBNF in llguidance's dialect (its docs/syntax.md): rules, terminals, %ignore, %import common, %json.

llguidance's lexer cuts the text into terminals, each as long as possible, before parsing. Here a text is
accepted if any cut works: `start: /[a-z]+/ "s"` accepts "cats" here, while llguidance reads the "s" as a letter
and waits for another one.

Differences:
- patterns are those of regex.py, so \\d and \\w are ASCII
- %json has no white space
- ignored terminals may also stand before and after %json, but not inside it
- attributes such as [lazy], options of %llguidance, %regex, %lark, grammars by @name, parametric rules,
  intersections, complements and control tokens are errors
"""

from __future__ import annotations

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
)
from tinsmith.constraint.grammars.lark_syntax import (
    Document,
    Either,
    Json,
    Name,
    Node,
    Parser,
    Row,
    Text,
    Times,
)
from tinsmith.constraint.grammars.lark_terminals import Terminals, is_terminal, names
from tinsmith.constraint.grammars.source import Source
from tinsmith.constraint.json_schema import schema_expr

MOST_LEADING = 200  # optional items at the beginning of a rule, in a grammar with %ignore
START, IGNORED = "%start", "%ignore"  # rules beside those of the grammar
FIRST = "'"  # suffix of a rule's variant without ignored text before it


def read(grammar: str) -> Grammar:
    """ConstraintError for an invalid grammar."""
    parser = Parser(grammar)
    return _Rules(parser, parser.document()).grammar


class _Rules:
    def __init__(self, source: Source, document: Document) -> None:
        self.source, self.grammar = source, Grammar(start=START)
        self.terminals = Terminals(source, document)
        self.rules = {name: one for name, one in document.definitions.items() if not is_terminal(name)}
        if "start" not in self.rules:
            source.fail("there is no rule 'start' for the whole text; add start: ...", 0)
        self.empty = self.may_be_empty()
        rules = self.grammar.rules
        self.gap: Expr = EMPTY
        rules[START] = Ref("start")
        if document.ignored:
            rules[IGNORED] = Repeat(choice([self.terminals.part(node) for node in document.ignored]))
            self.gap = Ref(IGNORED)
            first = Ref("start" + FIRST)
            rules[START] = optional(first) if "start" in self.empty else first
        for name, rule in self.rules.items():
            rules[name] = self.rest(rule)
            if document.ignored:
                rules[name + FIRST] = self.first(rule)

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
        return Ref(name.value + form)

    def terminal(self, node: Node) -> Expr:
        """A terminal of the rules."""
        match node:
            case Text(value=value, any_case=False):
                return text(value)
            case Name(value=value):
                if value not in self.grammar.rules:
                    self.grammar.rules[value] = self.terminals.part(node)
                return Ref(value)
            case Json(schema=schema):
                return schema_expr(self.grammar, schema, f"Lark {self.source.place(node.at)} %json ")
        return self.terminals.part(node)
