"""A process that answers windows: reads a Job and then Windows from stdin, and writes lists of Done, or the
TinsmithError that keeps it from answering, to stdout. It ends with its stdin."""

from __future__ import annotations

import os
import pickle
import signal
import sys
from queue import SimpleQueue
from threading import Thread
from typing import Any

from tinsmith.batch.crew import Job, heard
from tinsmith.errors import InputError, TinsmithError


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal: who started this process decides
    given, told = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is not for the pickles
    job: Job = heard(given)
    try:
        _work(job, given, told)
    except TinsmithError as error:
        _tell(told, InputError(str(error)))


def _work(job: Job, given: Any, told: Any) -> None:
    answers = job.answers(job.load(threads=1))
    windows: SimpleQueue[Any] = SimpleQueue()

    def hear() -> None:
        while (window := heard(given)) is not None:
            windows.put(window)
        os._exit(0)  # nobody is there any more

    Thread(target=hear, daemon=True).start()
    while True:
        while answers.idle or (answers.has_room and not windows.empty()):
            answers.add(windows.get())
            if done := answers.step():
                _tell(told, done)
        if done := answers.step():
            _tell(told, done)


def _tell(told: Any, what: Any) -> None:
    pickle.dump(what, told)
    told.flush()


if __name__ == "__main__":
    main()
