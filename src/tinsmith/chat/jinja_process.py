"""Examines and renders chat templates in a child process with limits (chat/jinja.py).

The first request starts the process. It ends with `close`, with its parent, or at a time limit; the next
request starts another. It runs this interpreter without environment, site packages or current folder:
`sys.executable -I -S`.

The time limit is CPU time, and limited.WALL times as much wall time; Windows has the latter alone. The memory
limit needs `resource.RLIMIT_AS` (Linux, the BSDs). Frozen applications, WebAssembly and phones cannot start the
process: UnsupportedError. A .tin needs none of this: its template was compiled at build time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tinsmith.errors import InputError, MissingExtraError, TinsmithError, UnsupportedError
from tinsmith.system import limited

_PROGRAM = Path(__file__).with_name("jinja.py")
SECONDS = 10.0  # a rendering takes under a millisecond
# Before 3.1.6 a template could escape the sandbox (CVE-2025-27516).
LEAST = (3, 1, 6)
# Variables that an interpreter may need to start: the folders of the system and of its own library.
_KEPT = ("SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_CHECK = "check the model's template"


class JinjaProcess(limited.Child):
    def _reset(self) -> None:
        super()._reset()
        self._left: float | None = None  # seconds of the current block; None outside of one

    def _is_late(self) -> bool:
        return self._left is not None and self._left <= 0

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Limits the time of all requests in the block together; raises InputError where they exceed it,
        whatever the block made of the interrupted request. Of nested blocks the outermost limits."""
        with self._lock:
            if self._left is not None:
                yield
                return
            self._left = seconds
            try:
                try:
                    yield
                except TinsmithError:
                    if not self._is_late():
                        raise
                if self._is_late():
                    raise InputError(f"the chat template takes too long: over {seconds:g} seconds; {_CHECK}")
            finally:
                self._left = None

    def reply(self, **request: Any) -> dict[str, Any]:
        """The reply to a request. Raises InputError where it takes too long or the process dies."""
        with self.within(SECONDS):
            if self._is_late():
                raise InputError("no time is left")
            assert self._left is not None
            try:
                reply = self.ask(request, self._left)
            except (ValueError, RecursionError) as error:
                raise InputError(f"the conversation can't be given to a chat template: {error}") from None
            except limited.Ended as ended:
                self._left = 0.0 if ended.late else self._left
                raise InputError(f"the chat template's process ended: {ended.status}; {_CHECK}") from None
            spent = reply.pop("seconds", None)  # anything but a time is a forgery
            self._left -= spent if isinstance(spent, float) and spent >= 0 else self._left
            return reply

    def _start(self) -> subprocess.Popen[bytes]:
        try:
            child = subprocess.Popen(
                _command(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={name: os.environ[name] for name in _KEPT if name in os.environ},
                cwd=_PROGRAM.parent,
            )
        except (OSError, NotImplementedError) as error:
            raise _cannot(str(error)) from error
        assert child.stdout is not None
        ready = child.stdout.readline()
        if not ready:
            raise _cannot(f"{sys.executable} ended with status {limited.end(child)}")
        version = str(json.loads(ready)["jinja2"])
        if tuple(int(part) if part.isdecimal() else 0 for part in version.split(".")[:3]) < LEAST:
            limited.end(child)
            raise UnsupportedError(
                f"jinja2 {version} lets a chat template escape its sandbox (CVE-2025-27516); "
                f"run: pip install 'jinja2>={'.'.join(map(str, LEAST))}'"
            )
        return child


def _command() -> list[str]:
    specs = {name: find_spec(name) for name in ("jinja2", "markupsafe")}
    if not all(specs.values()):
        raise MissingExtraError("jinja2", "gguf")
    if getattr(sys, "frozen", False) or not sys.executable or not _PROGRAM.is_file():
        raise _cannot("a frozen application has no interpreter to start")
    folders = {str(Path(str(spec.origin)).parents[1]): None for spec in specs.values() if spec is not None}
    return [sys.executable, "-I", "-S", str(_PROGRAM), *folders]


def _cannot(reason: str) -> UnsupportedError:
    return UnsupportedError(
        f"a chat template needs a Python child process, which can't be started here: {reason}; "
        "use a .tin, whose template is compiled"
    )


_shared = JinjaProcess("tinsmith.chat.jinja")
within = _shared.within
close = _shared.close


def render(template: str, given: Mapping[str, Any]) -> dict[str, Any]:
    return _shared.reply(do="render", template=template, given=given)


def examine(template: str) -> dict[str, Any]:
    return _shared.reply(do="examine", template=template)
