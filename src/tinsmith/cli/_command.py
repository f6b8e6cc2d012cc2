"""What a verb's file is made of: PARAMETERS, which are options and arguments, and the command they make.

PARAMETERS = [
    argument("file", "FILE", File(".tin"), help="a .tin"),
    option("--threads", Whole(1), metavar="N", help="threads that work on one step"),
    flag("--json", help="as JSON"),
    *one_of(option("--schema", File(".json")), option("--tools", File(".json"))),
]
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from types import ModuleType, SimpleNamespace
from typing import Any

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from tinsmith.cli._outputs import guarded
from tinsmith.cli._types import File, Folder, Kind, Switch

Args = SimpleNamespace  # what a verb's run() is given: the values of its parameters by their `dest`
_OPEN = "tinsmith.cli.open"  # of a context: the option of several values that the line ends in


class Option(click.Option):
    """dest: its name among Args. group: the heading it stands under. several: it takes the words that follow,
    up to the next option. closed: an empty variable is refused like an empty value, and not taken for one that
    is not set. rivals: those of which one alone may be given; one_needed: and one must."""

    dest: str
    group = ""
    several = False
    closed = False
    rivals: Sequence[Option] = ()
    one_needed = False

    def environment(self, ctx: click.Context) -> str:
        """The variable of the environment that is this option's default for the verb."""
        return f"{ctx.auto_envvar_prefix}_{str(self.name).upper()}"

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        value = os.environ.get(self.variable(ctx))
        return value if value or self.closed else None

    def variable(self, ctx: click.Context) -> str:
        """The verb's own variable, or else one that several verbs read; rather one that isn't empty."""
        own = self.environment(ctx)
        names = [own, *([self.envvar] if isinstance(self.envvar, str) else [])]
        return next(filter(os.environ.get, names), next((name for name in names if name in os.environ), own))

    def came_from(self, ctx: click.Context, source: ParameterSource) -> bool:
        return ctx.get_parameter_source(str(self.name)) is source


class Argument(click.Argument):
    """dest: its name among Args. text: its help, which click's arguments have none of before 8.5."""

    dest: str
    text: str

    def get_usage_pieces(self, ctx: click.Context) -> list[str]:
        more = "..." if self.nargs == -1 else ""
        return [f"{self.metavar}{more}" if self.required else f"[{self.metavar}]{more}"]

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        open = _open(ctx)
        return open.shell_complete(ctx, incomplete) if open else super().shell_complete(ctx, incomplete)


def argument(
    name: str,
    metavar: str,
    type: Kind | None = None,
    *,
    help: str,
    required: bool = True,
    several: bool = False,
) -> Argument:
    """several: it takes one word or more, and is a list."""
    made = Argument([name], metavar=metavar, type=type or Kind(), required=required, nargs=-1 if several else 1)
    made.dest, made.text = name, help
    return made


def option(
    name: str,
    type: Kind | Switch | None = None,
    *,
    dest: str = "",
    group: str = "",
    several: bool = False,
    multiple: bool = False,
    closed: bool = False,
    metavar: str | None = None,
    **more: Any,
) -> Option:
    """dest: its name among Args where that is not the flag's. multiple: it may be given again. more: as
    click.Option takes it, such as `help`, `default` and `required`."""
    metavar = f"{metavar} ..." if several else metavar
    type = type or Kind()
    made = Option([name], type=type, multiple=multiple or several, metavar=metavar, **more)
    made.dest, made.group, made.several = dest or str(made.name), group, several
    made.closed = closed or isinstance(type, (File, Folder))
    return made


def flag(names: str, **more: Any) -> Option:
    """names: `--json`, or `--think/--no-think`. more: as option takes it."""
    return option(names, Switch(), is_flag=True, **more)


def one_of(*options: Option, required: bool = False) -> tuple[Option, ...]:
    for each in options:
        each.rivals, each.one_needed = options, required
    return options


class Verb(click.Command):
    """The command of a verb's module."""

    def __init__(self, name: str, module: ModuleType) -> None:
        super().__init__(name, params=list(module.PARAMETERS), help=module.HELP, callback=module.run)
        self.allow_extra_args = True  # parse_args refuses them, in our words
        self.options = [param for param in self.params if isinstance(param, Option)]
        self.arguments = [param for param in self.params if isinstance(param, Argument)]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            rest = super().parse_args(ctx, self._repeated(ctx, args))
        except click.UsageError as error:
            error.ctx = error.ctx or ctx
            raise
        if ctx.resilient_parsing:
            return rest
        if rest:
            raise click.UsageError(f"{rest[0]!r} is one argument too many", ctx)
        for rivals, one_needed in {option.rivals: option.one_needed for option in self.options}.items():
            _decide(ctx, rivals, one_needed)
        return rest

    def invoke(self, ctx: click.Context) -> int:
        declared: list[Argument | Option] = [*self.arguments, *self.options]
        values = {param.dest: ctx.params[str(param.name)] for param in declared}
        lists = {name: list(value) for name, value in values.items() if isinstance(value, tuple)}
        assert self.callback is not None
        with guarded(declared, ctx.params):
            code: int = self.callback(Args(**values | lists))
            return code

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        open = None if incomplete.startswith("-") else _open(ctx)
        return open.shell_complete(ctx, incomplete) if open else super().shell_complete(ctx, incomplete)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        self.format_usage(ctx, formatter)
        self.format_help_text(ctx, formatter)
        headings: dict[str, list[tuple[str, str]]] = {
            "Arguments": [(str(param.metavar), param.text) for param in self.arguments],
            "Options": [],
        }
        for param in self.get_params(ctx):
            record = None if isinstance(param, Argument) else param.get_help_record(ctx)
            if record:
                headings.setdefault(getattr(param, "group", "") or "Options", []).append(record)
        for heading, rows in headings.items():
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows)
        if self.options:
            name, variable = self.options[0].opts[0], self.options[0].environment(ctx)
            formatter.write_paragraph()
            formatter.write_text(
                f"Environment: {variable} is the default of {name}, and so on for each option."
            )

    def _repeated(self, ctx: click.Context, args: Sequence[str]) -> list[str]:
        """`--format q8_0 q4_0` in click's way: `--format q8_0 --format q4_0`."""
        several = {name: option for option in self.options if option.several for name in option.opts}
        words: list[str] = []
        open, begun = None, False
        for place, word in enumerate(args):
            if word == "--":
                return [*words, *args[place:]]
            if word.startswith("-"):
                open, begun = several.get(word), False
            elif open is not None:
                words += [open.opts[0]] if begun else []
                begun = True
            words.append(word)
        ctx.meta[_OPEN] = open
        return words


def _open(ctx: click.Context) -> Option | None:
    option: Option | None = ctx.meta.get(_OPEN)
    return option


def _decide(ctx: click.Context, rivals: Sequence[Option], one_needed: bool) -> None:
    """That one alone was given. What the environment states gives way to the command line."""
    given = [rival for rival in rivals if ctx.params[str(rival.name)] not in (None, False)]
    typed = [rival for rival in given if rival.came_from(ctx, ParameterSource.COMMANDLINE)]
    stated = [rival for rival in given if rival.came_from(ctx, ParameterSource.ENVIRONMENT)]
    for rival in stated if typed else ():
        ctx.params[str(rival.name)] = False if rival.is_flag else None
    chosen = typed or stated
    if len(chosen) > 1:
        raise click.UsageError(f"give only one of {', '.join(rival.opts[0] for rival in chosen)}", ctx)
    if one_needed and not chosen:
        raise click.UsageError(f"give one of {', '.join(rival.opts[0] for rival in rivals)}", ctx)
