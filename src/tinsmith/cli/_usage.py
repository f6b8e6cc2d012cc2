"""One line for a command line that can't be understood: what was given, what is wrong with it, what to do."""

from __future__ import annotations

import click
from click.core import ParameterSource

from tinsmith.cli._command import Option
from tinsmith.tables import nearest


def reason(error: click.UsageError) -> str:
    ctx = error.ctx
    if ctx is None:
        return error.format_message()
    more = f"; {ctx.command_path} --help says more"
    match error:
        case click.NoSuchOption():
            return f"{error.option_name}: no such option{_hint(error.option_name, ctx)}{more}"
        case click.MissingParameter():
            return f"{_named(error.param, ctx)} is missing{more}"
        case click.BadParameter():
            return f"{_named(error.param, ctx)} {error.message}"
        case click.BadOptionUsage():
            flags = {
                name for param in ctx.command.params if getattr(param, "is_flag", False) for name in param.opts
            }
            lack = "takes no value" if error.option_name in flags else "wants a value"
            return f"{error.option_name} {lack}{more}"
    return f"{error.format_message()}{more}"


def _hint(given: str, ctx: click.Context) -> str:
    if not given.startswith("--"):
        return ", write -- before a text that begins with -"
    known = [name for param in ctx.command.get_params(ctx) for name in (*param.opts, *param.secondary_opts)]
    return nearest(given, [name for name in known if name.startswith("--")])


def _named(param: click.Parameter | None, ctx: click.Context) -> str:
    """What the user knows a parameter by: its flag, its place, or the variable that its value came from."""
    if isinstance(param, Option):
        stated = param.came_from(ctx, ParameterSource.ENVIRONMENT)
        return param.variable(ctx) if stated else param.opts[0]
    return str(param.metavar) if param else ctx.command_path
