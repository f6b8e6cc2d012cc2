"""The verbs as click has them: each is imported when it is called, or asked for its own help or completion."""

from __future__ import annotations

import importlib
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from tinsmith.cli._command import Verb, name_of
from tinsmith.errors import InputError

FAILED = 2
FOLDER = Path(__file__).parent
ABOUT = "Turns examples and a small base model into a sealed language model that runs anywhere."
SECTIONS = ("begin", "train", "build", "run", "ship", "measure")  # in the overview's order
SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class Entry(NamedTuple):
    help: str
    section: str


@cache
def verbs(folder: Path = FOLDER) -> dict[str, Entry]:
    """Every verb's HELP and SECTION, read from its source; those of a subfolder as `data check`."""
    found = {}
    for path in sorted([*folder.glob("[!_]*.py"), *folder.glob("*/[!_]*.py")]):
        lines = dict(re.findall(r'^(HELP|SECTION) = "(.*)"$', path.read_text(encoding="utf-8"), re.MULTILINE))
        name = " ".join(path.relative_to(folder).with_suffix("").parts)
        found[name] = Entry(lines["HELP"], lines["SECTION"])
    return found


class Group(click.Group):
    """verbs: its own, without the words before them."""

    def __init__(self, name: str, package: str, verbs: dict[str, Entry], help: str = "") -> None:
        super().__init__(name, help=help, context_settings=SETTINGS, subcommand_metavar="VERB [ARGS]...")
        self.package, self.verbs = package, verbs

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args and not ctx.resilient_parsing:
            click.echo(ctx.get_help())
            ctx.exit(FAILED)
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(dict.fromkeys(name.split()[0] for name in self.verbs))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in self.verbs:
            return Verb(cmd_name, importlib.import_module(f"{self.package}.{cmd_name}"))
        start = f"{cmd_name} "
        inner = {
            name.removeprefix(start): entry for name, entry in self.verbs.items() if name.startswith(start)
        }
        return Group(cmd_name, f"{self.package}.{cmd_name}", inner) if inner else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        known = self.list_commands(ctx)
        if args[0] not in known and not ctx.resilient_parsing:
            from tinsmith.tables import nearest

            raise InputError(
                f"{args[0]}: no such verb{nearest(args[0], known)}; the verbs are {', '.join(known)}"
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for section in SECTIONS:
            rows = [(name, entry.help) for name, entry in self.verbs.items() if entry.section == section]
            if rows:
                with formatter.section(section.capitalize()):
                    formatter.write_dl(rows)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names alone: click's own asks each verb for its help, and so imports it."""
        names = [CompletionItem(name) for name in self.list_commands(ctx) if name.startswith(incomplete)]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]


def root(folder: Path = FOLDER, package: str = "tinsmith.cli") -> Group:
    group = Group("tinsmith", package, verbs(folder), ABOUT)
    click.version_option(package_name="tinsmith", message="tinsmith %(version)s")(group)
    return group


def call(arguments: list[str], group: Group | None = None) -> int:
    """Runs a command line; returns the exit code. Raises InputError for one that can't be understood."""
    group = group or root()
    try:
        with group.make_context(group.name, arguments) as ctx:
            code: int = group.invoke(ctx)
            return code
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.UsageError as error:
        raise InputError(reason(error)) from None


def reason(error: click.UsageError) -> str:
    """One line for a command line that can't be understood."""
    ctx, param = error.ctx, getattr(error, "param", None)
    if ctx and param and not isinstance(error, click.MissingParameter):
        named = ctx.get_parameter_source(param.name) is ParameterSource.ENVIRONMENT
        return f"{param.envvar if named else name_of(param)} {error.message}"
    message = error.format_message().rstrip(".")
    return f"{message} (see {ctx.command_path} --help)" if ctx else message
