"""What a verb's file is made of: PARAMETERS, which are options and arguments, and the command they make.

PARAMETERS = [
    argument("file", "FILE", File(".tin"), help="a .tin"),
    option("--threads", Whole(1), help="threads that work on one step"),
    flag("--json", help="as JSON"),
    *one_of(option("--schema", File(".json")), option("--tools", File(".json"))),
]
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import click
from click.core import ParameterSource, augment_usage_errors
from click.shell_completion import CompletionItem

from tinsmith.cli._types import File, Folder, Kind
from tinsmith.errors import InputError

Args = SimpleNamespace  # the argument of a verb's run(): the values of its parameters by name
ADAPTER = "NAME[:SCALE]"  # metavar of a value that may be a path
_OPEN = "tinsmith.cli.open"  # of a context: the option of several values that the line ends in


class Option(click.Option):
    """group: its heading in the help. several: it takes the words that follow, up to the next option.
    needs, excludes: flags or metavars that must, or may not, be given beside it; `--add|--remove` is either.
    rivals: those of which one alone may be given; one_needed: and one must."""

    group = needs = excludes = ""
    several = False
    rivals: Sequence[Option] = ()
    one_needed = False

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """An empty variable too, which the option's type refuses: it may not turn a check off."""
        return os.environ.get(str(self.envvar)) if self.envvar else None


class Argument(click.Argument):
    """text: its help, which click's arguments have none of before 8.5."""

    text = ""

    def get_usage_pieces(self, ctx: click.Context) -> list[str]:
        more = "..." if self.nargs == -1 else ""
        return [f"{self.metavar}{more}" if self.required else f"[{self.metavar}]{more}"]

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        open: Option | None = ctx.meta.get(_OPEN)
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
    made.text = help
    return made


def option(
    name: str,
    type: click.ParamType | None = None,  # type: ignore[type-arg]  # not generic before click 8.2
    *,
    dest: str = "",
    needs: str = "",
    excludes: str = "",
    several: bool = False,
    metavar: str | None = None,
    multiple: bool = False,
    **more: Any,
) -> Option:
    """dest: its name among Args where that is not the flag's. more: as click.Option takes it, such as `help`,
    `default`, `multiple` and `required`."""
    type = type or Kind()
    more.setdefault("show_default", "(default" not in more.get("help", ""))
    if several:
        metavar = f"{metavar or type.name.upper()} ..."
    names = [name, dest] if dest else [name]
    made = Option(names, type=type, multiple=multiple or several, metavar=metavar, **more)
    made.several, made.needs, made.excludes = several, needs, excludes
    return made


def flag(names: str, **more: Any) -> Option:
    """names: `--json`, or `--think/--no-think`. more: as option takes it."""
    return option(names, click.BOOL, is_flag=True, **more)


def grouped(group: str, *options: Option, needs: str = "") -> list[Option]:
    """Under a heading of their own. needs: what they all need."""
    for each in options:
        each.group, each.needs = group, each.needs or needs
    return list(options)


def values(args: Args, *names: str) -> dict[str, Any]:
    return {name: getattr(args, name) for name in names}


def refuse(*faults: tuple[object, str]) -> None:
    """Raises InputError for the first condition that holds."""
    for wrong, message in faults:
        if wrong:
            raise InputError(message)


def one_of(*options: Option, required: bool = False) -> tuple[Option, ...]:
    for each in options:
        each.rivals, each.one_needed = options, required
    return options


class Verb(click.Command):
    """The command of a verb's module."""

    def __init__(self, name: str, module: ModuleType) -> None:
        super().__init__(name, params=list(module.PARAMETERS), help=module.HELP, callback=module.run)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        with augment_usage_errors(ctx):
            rest = super().parse_args(ctx, self._repeated(ctx, args))
        if not ctx.resilient_parsing:
            self._check(ctx)
        return rest

    def invoke(self, ctx: click.Context) -> int:
        assert self.callback is not None
        lists = {name: list(value) for name, value in ctx.params.items() if isinstance(value, tuple)}
        with guarded(self.params, ctx.params):
            return int(self.callback(Args(**ctx.params | lists)))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        open: Option | None = None if incomplete.startswith("-") else ctx.meta.get(_OPEN)
        return open.shell_complete(ctx, incomplete) if open else super().shell_complete(ctx, incomplete)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """click's own, with the arguments' help and the options' headings."""
        self.format_usage(ctx, formatter)
        self.format_help_text(ctx, formatter)
        headings: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for param in self.get_params(ctx):
            if isinstance(param, Argument):
                headings["Arguments"].append((str(param.metavar), param.text))
            elif record := param.get_help_record(ctx):
                headings.setdefault(getattr(param, "group", "") or "Options", []).append(record)
        for heading, rows in headings.items():
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows)

    def _check(self, ctx: click.Context) -> None:
        """Raises UsageError for options that need or exclude each other."""
        sources = {name_of(param): ctx.get_parameter_source(str(param.name)) for param in self.params}
        given = {name for name, source in sources.items() if source not in (None, ParameterSource.DEFAULT)}
        for param in self.params:
            if not isinstance(param, Option):
                continue
            name, rivals = name_of(param), [name_of(rival) for rival in param.rivals]
            if len(both := [rival for rival in rivals if rival in given]) > 1:
                raise click.UsageError(f"give only one of {', '.join(both)}", ctx)
            if param.one_needed and not both:
                raise click.UsageError(f"give one of {', '.join(rivals)}", ctx)
            for needed in param.needs.split() if name in given else ():
                if not given & {*needed.split("|")}:
                    raise click.UsageError(f"{name} needs {needed.replace('|', ' or ')}", ctx)
            if name in given and (excluded := given & {*param.excludes.split()}):
                raise click.UsageError(f"{name} excludes {', '.join(sorted(excluded))}; give one of them", ctx)

    def _repeated(self, ctx: click.Context, args: Sequence[str]) -> list[str]:
        """`--format q8_0 q4_0` in click's way: `--format q8_0 --format q4_0`."""
        options = [param for param in self.params if isinstance(param, Option) and param.several]
        several = {name: option for option in options for name in option.opts}
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


@contextmanager
def guarded(params: Sequence[click.Parameter], values: Mapping[str, Any]) -> Iterator[None]:
    """No verb overwrites its input: within this, writing a file or folder that a parameter reads raises
    InputError. So does entering, if a parameter names an input as its output, or two outputs are one file."""
    from tinsmith.system import files

    reads: dict[Path, str] = {}
    writes: dict[Path, tuple[Path, str]] = {}
    rewritten = {param.type.rewrites for param in params if isinstance(param.type, File)}
    for param in params:
        written, name = isinstance(param.type, File | Folder) and param.type.out, name_of(param)
        for path in _paths(param, values[str(param.name)]):
            if not written and param.name not in rewritten and os.path.lexists(path):
                reads.setdefault(files.resolved(path), name)
            elif written and isinstance(param.type, File) and not os.path.isdir(path):  # noqa: PTH112
                _, other = writes.setdefault(files.resolved(path), (path, name))
                if other != name:
                    raise InputError(f"{path}: is the output of both {other} and {name}; give two paths")

    def check(path: Path) -> None:
        real = files.resolved(path)
        for read, name in reads.items():
            inside = read in real.parents and os.path.lexists(real) and _is_of(real, read)
            if real == read or real in read.parents or inside:
                raise InputError(f"{path}: is the input of {name}; give another path for the output")

    for path, _ in writes.values():
        check(path)
    with files.claims(check):
        yield


def _paths(param: click.Parameter, value: Any) -> Iterator[Path]:
    given = value if isinstance(value, list | tuple) else [value]
    for one in given:
        if isinstance(param.type, File | Folder) and isinstance(one, str | Path):
            yield Path(one)
        elif param.metavar == ADAPTER and isinstance(one, str):
            yield from (Path(text) for text in (one, one.rpartition(":")[0]) if text)


def name_of(param: click.Parameter) -> str:
    return param.opts[0] if param.param_type_name == "option" else str(param.metavar)


def _is_of(path: Path, folder: Path) -> bool:
    """Whether reading the folder reads the file: of a model folder, only the model's own files count."""
    from tinsmith.formats.model_files import gguf_pair, model_files

    if (folder / "config.json").exists() or gguf_pair(folder):
        return path in model_files(folder)
    return True
