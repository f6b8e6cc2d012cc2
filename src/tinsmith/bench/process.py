"""A process that measures when it is told to, and stands still otherwise.

Runtimes keep threads that spin after the work is done. So a worker is stopped (SIGSTOP) as soon as it has
answered, and nothing of it runs while another is timed.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import tempfile
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tinsmith import errors
from tinsmith.errors import TinsmithError
from tinsmith.system import children

# Where processes can't be stopped: longer than the runtimes' threads spin.
_SETTLE_SECONDS = 0.3


class Worker:
    """The parent's end. `call` runs a method of what the worker holds. name: an engine's, or "machine"."""

    def __init__(self, name: str, *arguments: Any) -> None:
        self.name = name
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._folder = tempfile.TemporaryDirectory(prefix="tinsmith-bench-")
        self._log = Path(self._folder.name) / "log.txt"
        self._process = context.Process(target=_serve, args=(name, arguments, theirs, self._log), daemon=True)
        with children.as_environment():
            self._process.start()
        theirs.close()
        self._stopped = False
        try:
            self.opened: dict[str, Any] = self._answer()
        except BaseException:
            self.close()
            raise
        self._stop()

    def call(self, method: str, *arguments: Any) -> Any:
        self._continue()
        with suppress(BrokenPipeError):  # then there is no answer either, and that says why
            self._pipe.send((method, arguments))
        answer = self._answer()
        self._stop()
        return answer

    def close(self) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()
        self._folder.cleanup()

    def _answer(self) -> Any:
        try:
            kind, answer = self._pipe.recv()
        except (EOFError, ConnectionResetError):
            self._process.join()
            raise TinsmithError(
                f"{self.name} ended with status {self._process.exitcode}: {self._last_line()}"
            ) from None
        if kind is None:
            return answer
        # Rebuilt without its class's own arguments, which the text already holds.
        error: TinsmithError = TinsmithError.__new__(getattr(errors, kind, TinsmithError))
        error.args = (answer,)
        raise error

    def _last_line(self) -> str:
        lines = self._log.read_text("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    def _stop(self) -> None:
        if sys.platform == "win32":
            time.sleep(_SETTLE_SECONDS)
        elif self._process.pid is not None:
            os.kill(self._process.pid, signal.SIGSTOP)

    def _continue(self) -> None:
        if sys.platform != "win32" and self._process.is_alive() and self._process.pid is not None:
            os.kill(self._process.pid, signal.SIGCONT)


def _serve(name: str, arguments: tuple[Any, ...], pipe: Connection, log: Path) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process
    # Whatever a runtime prints is not the answer.
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    try:
        held, opened = _open(name, arguments)
        pipe.send((None, opened))
        while True:
            method, given = pipe.recv()
            pipe.send((None, getattr(held, method)(*given)))
    except EOFError:
        return
    except TinsmithError as error:
        pipe.send((type(error).__name__, str(error)))


def _open(name: str, arguments: tuple[Any, ...]) -> tuple[Any, dict[str, Any]]:
    if name == "machine":
        from tinsmith.system.machine import Machine

        return Machine(), {}
    from tinsmith.bench.engine import module

    engine = module(name).open_model(*arguments)
    return engine, {"context": engine.context, "facts": engine.facts}
