"""The command line: verbs, each a module of this folder, or of a folder in it, which is a group of verbs.

A verb states HELP and SECTION, each on one line, PARAMETERS (`_command.py`) and run(args). Only the verb that
is called is imported: the overview reads the others' lines from their source, and needs no click for that.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tinsmith.cli._terminal import shown
from tinsmith.errors import TinsmithError

FAILED = 2
INTERRUPTED = 130  # what a shell reports for a command ended by Ctrl-C
FOLDER = Path(__file__).parent
COMPLETE = "_TINSMITH_COMPLETE"  # of the environment: a shell asks for completions, or for its script
ABOUT = "Turns examples and a small base model into a sealed language model that runs anywhere."
# In the overview's order. The verbs of a group have none.
SECTIONS = ("begin", "train", "build", "run", "ship", "measure")


class Entry(NamedTuple):
    """A verb or a group. path: its source file, or its folder."""

    path: Path
    help: str
    section: str


def entries(folder: Path = FOLDER) -> dict[str, Entry]:
    """The verbs and groups of a folder by name, in alphabetical order."""
    found = {}
    for path in sorted(folder.iterdir()):
        source = path / "__init__.py" if path.is_dir() else path
        if source.suffix == ".py" and not path.name.startswith(("_", ".")) and source.is_file():
            text = source.read_text(encoding="utf-8")
            found[path.stem] = Entry(path, _constant(text, "HELP"), _constant(text, "SECTION"))
    return found


def _constant(source: str, name: str) -> str:
    found = re.search(rf'^{name} = "([^"\\\n]*)"$', source, flags=re.MULTILINE)
    return found[1] if found else ""


def verbs(folder: Path = FOLDER, prefix: str = "") -> dict[str, Path]:
    """Verb to source file; those of a group after its name, such as `adapters add`."""
    found: dict[str, Path] = {}
    for name, entry in entries(folder).items():
        if entry.path.is_dir():
            found |= verbs(entry.path, f"{prefix}{name} ")
        else:
            found[prefix + name] = entry.path
    return found


def help_line(file: Path) -> str:
    """The HELP text of a verb's source, read without importing it."""
    return _constant(file.read_text(encoding="utf-8"), "HELP")


def overview(command: str = "tinsmith", folder: Path = FOLDER, text: str = "") -> str:
    """What `--help` prints of all verbs, or of a group's. text: what the group is for."""
    known = entries(folder)
    width = max(map(len, known), default=0)
    lines = [f"Usage: {command} VERB [ARGUMENTS]", ""]
    lines += [text or ABOUT, ""]
    for section in dict.fromkeys((*SECTIONS, *(entry.section for entry in known.values()))):
        rows = [f"  {name:<{width}}  {entry.help}" for name, entry in known.items() if entry.section == section]
        lines += [f"{section.capitalize() or 'Verbs'}:", *rows, ""] if rows else []
    version = "; tinsmith --version prints the version" if folder == FOLDER else ""
    return "\n".join([*lines, f"{command} VERB --help says more of one verb{version}."])


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line; returns the exit code: 0, 2 for an error of the user's, 130 when interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _dispatch(arguments)
        sys.stdout.flush()
        return code
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
    instruction = os.environ.get(COMPLETE)
    if instruction:
        from tinsmith.cli import _shells

        return _shells.answer(instruction)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(overview())
        return 0 if arguments else FAILED
    from tinsmith.cli import _group

    return _group.call(arguments)


def _fail(message: str) -> int:
    print(shown(f"tinsmith: error: {' '.join(message.split())}", sys.stderr), file=sys.stderr)
    return FAILED
