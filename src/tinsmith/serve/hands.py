"""Processes that each serve some of the files, on a socket that only this user's processes reach."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

import h11

from tinsmith.errors import InputError
from tinsmith.serve.faults import Refused
from tinsmith.system import children

SCOPE = b"x-tinsmith-scope"  # whose request it is, as the front found
_PAUSE = 1.0  # seconds before a process that ended is started again
_END = 15.0  # seconds that it has to end
_KNOWN = (b"content-type", b"accept")
_OWN = (b"connection", b"transfer-encoding", b"date", b"content-length")


class Hand:
    """One process. task: as hand.py reads it. names: of its models, once it is up."""

    def __init__(self, task: Mapping[str, Any]) -> None:
        self.names: list[str] = []
        self.up = False
        self._task, self._over = task, False
        self._process = self._begun()

    def _begun(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            children.python("-m", "tinsmith.serve.hand"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=children.environment(),
            text=True,
        )
        assert process.stdin
        with suppress(OSError):  # it has ended; it is found out below
            process.stdin.write(json.dumps(self._task) + "\n")
            process.stdin.flush()
        return process

    def ready(self) -> None:
        """Waits for it. Raises InputError with what it failed at."""
        assert self._process.stdout
        line = self._process.stdout.readline()
        said: dict[str, Any] = json.loads(line) if line else {"error": "its process ended; see above"}
        if "error" in said:
            self.close()
            raise InputError(said["error"])
        self.names, self.up = said["names"], True

    def watch(self) -> None:
        """Starts it again whenever it ends, until it is closed."""
        Thread(target=self._watched, daemon=True).start()

    def _watched(self) -> None:
        while True:
            code = self._process.wait()
            self.up = False
            if self._over:
                return
            named = ", ".join(self.names)
            print(f"the process of {named} ended with {code}; it is started again", file=sys.stderr)
            time.sleep(_PAUSE)
            self._process = self._begun()
            with suppress(InputError):
                self.ready()

    def close(self) -> None:
        self._over = True
        self.up = False
        assert self._process.stdin and self._process.stdout
        with suppress(OSError):
            self._process.stdin.close()  # which it takes for its end
        try:
            self._process.wait(_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    async def asked(
        self, method: str, target: bytes, headers: Sequence[tuple[bytes, bytes]], body: bytes, scope: str
    ) -> AsyncGenerator[Any, None]:
        """The response's head as h11 has it, then its data. Raises Refused where the process does not
        answer."""
        given = [(name, value) for name, value in headers if name.lower() in _KNOWN]
        given += [(b"host", b"localhost"), (SCOPE, scope.encode()), (b"content-length", b"%d" % len(body))]
        client = h11.Connection(h11.CLIENT)
        try:
            reader, writer = await asyncio.open_unix_connection(self._task["socket"])
        except OSError:
            raise self.gone() from None
        try:
            parts = (h11.Request(method=method, target=target, headers=given), h11.Data(data=body))
            writer.write(b"".join(client.send(one) or b"" for one in (*parts, h11.EndOfMessage())))
            await writer.drain()
            while not isinstance(event := client.next_event(), h11.EndOfMessage):
                if event is h11.NEED_DATA:
                    client.receive_data(await reader.read(1 << 16))
                else:
                    yield event
        except (OSError, h11.RemoteProtocolError):
            raise self.gone() from None
        finally:
            writer.close()

    def gone(self) -> Refused:
        message = f"the process of {', '.join(self.names)[:200]} ended and starts again; ask again later"
        return Refused(503, message, code="overloaded", after=2)


def kept(headers: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Of a response's headers, those that are the answer's and not the connection's."""
    return [(name, value) for name, value in headers if name.lower() not in _OWN]


class Hands:
    """All of them. groups: of files; common: of their tasks."""

    def __init__(self, groups: Sequence[Sequence[str]], common: Mapping[str, Any]) -> None:
        """Raises InputError where one does not start."""
        self._folder = tempfile.TemporaryDirectory(prefix="tinsmith-")
        self.all: list[Hand] = []
        try:
            for number, files in enumerate(groups):
                socket = str(Path(self._folder.name) / str(number))
                self.all.append(Hand({**common, "files": list(files), "socket": socket}))
            for hand in self.all:
                hand.ready()
        except BaseException:
            self.close()
            raise
        for hand in self.all:
            hand.watch()

    def close(self) -> None:
        for hand in self.all:
            hand.close()
        self._folder.cleanup()
