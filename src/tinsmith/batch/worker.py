"""A worker process: reads a WorkerConfig and Windows from stdin, writes lists of WindowResult, or a
TinsmithError, to stdout. It ends with its stdin."""

from __future__ import annotations

import os
import pickle
import signal
import sys
from queue import SimpleQueue
from threading import Thread
from typing import Any

from tinsmith.batch.executors import WorkerConfig, receive
from tinsmith.errors import InputError, TinsmithError


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's
    source, out = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # keeps what libraries print out of the pickles
    config: WorkerConfig = receive(source)
    try:
        _work(config, source, out)
    except TinsmithError as error:
        _send(out, InputError(str(error)))


def _work(config: WorkerConfig, source: Any, out: Any) -> None:
    engine = config.engine(config.load(threads=1))
    windows: SimpleQueue[Any] = SimpleQueue()

    def read() -> None:
        while (window := receive(source)) is not None:
            windows.put(window)
        os._exit(0)  # the parent is gone

    Thread(target=read, daemon=True).start()
    while True:
        while engine.idle or (engine.has_room and not windows.empty()):
            engine.submit(windows.get())
        if results := engine.results():
            _send(out, results)


def _send(out: Any, value: Any) -> None:
    pickle.dump(value, out)
    out.flush()


if __name__ == "__main__":
    main()
