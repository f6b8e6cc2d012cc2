"""A process that serves some of a server's files to its front: `python -m tinsmith.serve.hand`.

Its task is a line of JSON on its standard input: {"files", "socket", "loading", "limits", "places", "context"};
it says {"names"} or {"error"} on its standard output, and ends when its input does.
"""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from tinsmith.errors import TinsmithError
from tinsmith.serve import run, shelf
from tinsmith.serve.guard import Guard
from tinsmith.serve.hands import SCOPE
from tinsmith.serve.limits import Limits

if TYPE_CHECKING:
    import uvicorn
    from starlette.requests import Request


class Passed(Guard):
    """Behind the front, which has checked who asks."""

    def __init__(self, limits: Limits) -> None:
        super().__init__((), (), True, limits)

    def check(self, request: Request, open: bool) -> str:
        return request.headers.get(SCOPE.decode(), "")


def prepared(task: dict[str, Any]) -> tuple[list[str], uvicorn.Server]:
    limits = Limits(**task["limits"])
    models = shelf.opened(task["files"], **task["loading"])
    house, made = run.behind(Passed(limits), models, limits, task["places"], task["context"])
    return house.shelf.names, made


def main() -> None:
    task = json.loads(sys.stdin.readline())
    try:
        names, made = prepared(task)
    except TinsmithError as error:
        print(json.dumps({"error": str(error)}), flush=True)
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as bound:
        Path(task["socket"]).unlink(missing_ok=True)  # of one that ended before
        bound.bind(task["socket"])
        bound.listen()
        bound.setblocking(False)
        print(json.dumps({"names": names}), flush=True)

        def end() -> None:
            sys.stdin.read()
            made.should_exit = True

        Thread(target=end, daemon=True).start()
        made.run(sockets=[bound])


if __name__ == "__main__":
    main()
