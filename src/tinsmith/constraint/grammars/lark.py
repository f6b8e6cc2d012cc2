"""Lark's EBNF as llguidance reads it (its docs/syntax.md): rules, terminals, %ignore, %import common, %json,
%regex, %lark.

There a lexer cuts the text into terminals, each as long as it can be, and the parser sees the result. Here a
text is accepted if it can be cut in any way. So with `start: /[a-z]+/ "s"`, "cats" is accepted here, while
llguidance's lexer takes the "s" for a letter and waits for another one.

Read otherwise than there:
- `~` is never a broken UTF-8 sequence; patterns are those of regex.py, so \\d and \\w are ASCII
- %json has no white space unless its schema says so: "x-guidance": {"whitespace_flexible": true}
- what is ignored may stand before and after %json and %lark too; inside of them it is not ignored
- [stop], [max_tokens], [temperature] and [capture] are refused, for they say no text, and so are grammars by
  @name, parametric rules and ranges of tokens
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
from tinsmith.constraint.grammars.source import Source, Tokens

MOST_LEADING = 200  # optional items that a rule begins with, where something is ignored
FIRST = "'"  # ends the name of a rule's form before which nothing is ignored
OPTIONS = ("ignore_once", "allow_initial_skip")


def compile_lark(grammar: str, tokens: Tokens | None = None) -> Constraint:
    """tokens: finds control tokens; without it, only ids are read. ConstraintError: where, what, what to do."""
    from tinsmith.constraint.machine.automaton import compile_grammar

    return compile_grammar(read_lark(grammar, tokens), "lark")


def read_lark(grammar: str, tokens: Tokens | None = None) -> Grammar:
    source = Source(grammar, "Lark")
    result = Grammar(start="lark")
    result.rules[result.start] = _Rules(source, read(source), result, tokens, "lark.").start()
    return result


class _Rules:
    """One grammar's rules. prefix: of their names, which keeps nested grammars and schemas apart."""

    def __init__(
        self, source: Source, document: Document, grammar: Grammar, tokens: Tokens | None, prefix: str
    ) -> None:
        self.source, self.grammar, self.tokens, self.prefix = source, grammar, tokens, prefix
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
            self.source.fail("there is no rule 'start', which says what the whole text is; add start: ...", 0)
        self.empty = self.may_be_empty()
        twice = self.gap is not EMPTY and not self.options["allow_initial_skip"]
        for name, rule in self.rules.items():
            self.grammar.rules[self.prefix + name] = self.rest(rule.node)
            if twice:
                self.grammar.rules[self.prefix + name + FIRST] = self.first(rule.node)
        if not twice:
            return Ref(self.prefix + "start")
        first = Ref(self.prefix + "start" + FIRST)
        return optional(first) if "start" in self.empty else first

    def may_be_empty(self) -> set[str]:
        """The rules that may be no terminal at all."""
        users: dict[str, set[str]] = {}
        for name, rule in self.rules.items():
            for used in names(rule.node):
                users.setdefault(used.value, set()).add(name)
        self.empty = set()
        waiting = list(self.rules)
        while waiting:
            name = waiting.pop()
            if name not in self.empty and self.is_empty(self.rules[name].node):
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
        """Every terminal with what is ignored before it."""
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
        """The same, but no empty text, and nothing ignored before its first terminal."""
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
        """What is one piece to the rules."""
        match node:
            case Text(value=value, any_case=False):
                return text(value)
            case Name(value=value):
                name = self.prefix + value
                if name not in self.grammar.rules:
                    self.grammar.rules[name] = self.terminals.part(node)
                return Ref(name)
            case Token(value=value):
                return token(self.source.token(value, self.tokens, node.at))
            case Json():
                return self.json(node)
            case Nested(document=document):
                prefix = f"{self.prefix}{node.at}."
                return _Rules(self.source, document, self.grammar, self.tokens, prefix).start()
            case Both():
                self.source.fail("'&' is known in terminals alone; write the rule's name in capitals", node.at)
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
