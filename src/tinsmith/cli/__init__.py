"""The command group. A verb is a module of this folder: HELP, add_arguments(parser) and run(args).

Only the chosen verb is imported; the overview reads the others' HELP from their source.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import errno
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tinsmith.cli._terminal import shown
from tinsmith.errors import InputError, TinsmithError

FAILED = 2
INTERRUPTED = 130  # what a shell reports for a command ended by Ctrl-C


def verbs() -> dict[str, Path]:
    """Verb to source file, in alphabetical order."""
    folder = Path(__file__).parent
    return {file.stem: file for file in sorted(folder.glob("*.py")) if not file.stem.startswith("_")}


def help_line(file: Path) -> str:
    """The HELP text of a verb's source, read without importing it."""
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign):
            target = node.targets[0]
        elif isinstance(node, ast.AnnAssign):
            target = node.target
        else:
            continue
        if isinstance(target, ast.Name) and target.id == "HELP" and node.value is not None:
            return str(ast.literal_eval(node.value))
    return ""


def overview() -> str:
    known = verbs()
    width = max((len(name) for name in known), default=0)
    lines = [f"  {name:<{width}}  {help_line(file)}" for name, file in known.items()]
    return "\n".join(
        [
            "usage: tinsmith VERB [arguments]",
            "",
            "Turns examples and a small base model into a sealed language model that runs anywhere.",
            "",
            "verbs:",
            *lines,
            "",
            "tinsmith VERB --help says more of one verb; tinsmith --version prints the version.",
        ]
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line; returns the exit code: 0, 2 for an error of the user's, 130 when interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _dispatch(arguments)
    except TinsmithError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        print("tinsmith: interrupted; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output left (`| head`): not an error, and nothing may be printed any more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno == errno.ENOSPC:
            where = f"{error.filename}: " if error.filename else ""
            return _fail(f"{where}the disk is full; free some space and run the same command again")
        if error.filename is None:
            raise
        return _fail(f"{error.filename}: {error.strerror}")


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(overview())
        return 0 if arguments else FAILED
    if arguments[0] == "--version":
        from tinsmith import __version__

        print(f"tinsmith {__version__}")
        return 0
    name, *rest = arguments
    known = verbs()
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f", did you mean {close[0]}?" if close else ""
        raise InputError(f"{name}: no such verb{hint}; the verbs are {', '.join(known)}")
    module = importlib.import_module(f"tinsmith.cli.{name}")
    parser = argparse.ArgumentParser(prog=f"tinsmith {name}", description=module.HELP)
    module.add_arguments(parser)
    code: int = module.run(parser.parse_args(rest))
    sys.stdout.flush()
    return code


def _fail(message: str) -> int:
    print(shown(f"tinsmith: error: {' '.join(message.split())}", sys.stderr), file=sys.stderr)
    return FAILED
