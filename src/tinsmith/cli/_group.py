"""The verbs as click has them: each is imported when it is called, or asked for its own help or completion."""

from __future__ import annotations

import importlib
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from tinsmith.cli._command import Verb
from tinsmith.cli._verbs import FAILED, FOLDER, entries, overview
from tinsmith.errors import InputError

# auto_envvar_prefix: TINSMITH_<VERB>_<OPTION> of the environment is that option's default.
SETTINGS = {"auto_envvar_prefix": "TINSMITH", "help_option_names": ["-h", "--help"], "max_content_width": 100}


class Group(click.Group):
    """The verbs of a folder, which is the package `package`."""

    def __init__(self, name: str, folder: Path, package: str, help: str = "") -> None:
        super().__init__(name, help=help)
        self.folder, self.package, self.entries = folder, package, entries(folder)

    def get_help(self, ctx: click.Context) -> str:
        return overview(ctx.command_path, self.folder, self.help or "")

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args and not ctx.resilient_parsing:
            print(self.get_help(ctx))
            ctx.exit(FAILED)
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self.entries.get(cmd_name)
        if entry is None:
            return None
        package = f"{self.package}.{cmd_name}"
        if entry.path.is_dir():
            return Group(cmd_name, entry.path, package, entry.help)
        return Verb(cmd_name, importlib.import_module(package))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        known = list(self.entries)
        if args[0] not in known and not ctx.resilient_parsing:
            from tinsmith.tables import nearest

            raise InputError(
                f"{args[0]}: no such verb{nearest(args[0], known)}; the verbs are {', '.join(known)}"
            )
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        names = [
            CompletionItem(name, help=entry.help)
            for name, entry in self.entries.items()
            if name.startswith(incomplete)
        ]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]


def root(folder: Path = FOLDER, package: str = "tinsmith.cli") -> Group:
    group = Group("tinsmith", folder, package)
    group.context_settings = dict(SETTINGS)
    group.params.append(
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_version,
            help="version",
        )
    )
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
        from tinsmith.cli._usage import reason

        raise InputError(reason(error)) from None


def _version(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked and not ctx.resilient_parsing:
        from tinsmith import __version__

        print(f"tinsmith {__version__}")
        ctx.exit()
