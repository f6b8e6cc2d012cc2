"""The command line: verbs, each a module of this folder, or of a folder in it.

A verb states HELP and SECTION, each on one line, PARAMETERS (`_command.py`) and run(args). Only the verb that
is called is imported: the overview reads the others' lines from their source.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tinsmith.cli._group import FAILED, SECTIONS, call, root, verbs
from tinsmith.cli._terminal import shown
from tinsmith.errors import FaultsError, TinsmithError

__all__ = ["COMPLETE", "FAILED", "INTERRUPTED", "SECTIONS", "main", "root", "verbs"]

COMPLETE = "_TINSMITH_COMPLETE"  # of the environment: a shell asks for completions, or for its script
_LONGEST = 4000  # characters of an error
INTERRUPTED = 130  # what a shell reports for a command ended by Ctrl-C
RESUMED = {"batch", "build", "compare", "docs", "make", "pull"}  # verbs that resume when called again


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line; returns the exit code: 0, 2 for an error of the user's, 130 when interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    _open_streams()
    # Before torch is loaded: its allocator else warns of the profiler that measures memory, where users read.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    try:
        if instruction := os.environ.get(COMPLETE):
            from tinsmith.cli import completion

            code = completion.answer(instruction)
        else:
            code = call(arguments)
        sys.stdout.flush()
        return code
    except FaultsError as error:
        _fail(f"{error.subject}:")
        print(*(shown(f"  {line}", sys.stderr) for line in error.lines), sep="\n", file=sys.stderr)
        return FAILED
    except TinsmithError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        resumed = bool(arguments) and arguments[0] in RESUMED
        more = "; run the same command again to resume" if resumed else ""
        print(f"tinsmith: interrupted{more}", file=sys.stderr)
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
        return _fail(f"{error.filename!s:.300}: {error.strerror}")


def _open_streams() -> None:
    """Opens closed streams (`>&-`) on the null device, so that no other file gets their numbers. A character
    that a stream's encoding lacks (Greek on a Latin-1 terminal) is written as an escape."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115
        elif mode == "w" and isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def _fail(message: str) -> int:
    line = " ".join(message.split())
    line = line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"
    print(shown(f"tinsmith: error: {line}", sys.stderr), file=sys.stderr)
    return FAILED
