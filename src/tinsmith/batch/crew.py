"""Who answers windows on this machine: this process, or as many others as there are cores.

A process that computes alone on its core answers more than threads that share each step: a small model's steps
are short, and threads would wait for each other at every one.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import IO, TYPE_CHECKING, Any

from tinsmith.batch.answers import PLACES, Answers, Done, Window
from tinsmith.errors import RuntimeFault, TinsmithError
from tinsmith.system import children, files

if TYPE_CHECKING:
    from tinsmith.batch.settings import Settings
    from tinsmith.runtime import Model
    from tinsmith.spec import Buffer

_GIVEN = 2  # windows that a worker has at a time: one to work on, one to go on with


@dataclass(frozen=True)
class Job:
    """What a worker needs. file, opening: as tinsmith.load takes them; more: adapters that are not in the file,
    by name; places, retry: as Answers; cache: its folder. image: a file of what FILE was compiled to, where
    that is no tin; digest: FILE's."""

    file: Path
    settings: Settings
    opening: Mapping[str, Any]
    more: Mapping[str, str]
    places: int = PLACES
    retry: int = 0
    cache: Path | None = None
    image: Path | None = None
    digest: str = ""

    def load(self, threads: int | None = None) -> Model:
        from tinsmith.runtime import load

        if self.image is not None:
            return self.of_image(files.map_file(self.image), threads)
        return self.with_adapters(load(self.file, threads=threads, **self.opening))

    def of_image(self, image: Buffer, threads: int | None) -> Model:
        from tinsmith.runtime.opening import of_image

        given = {name: self.opening.get(name) for name in ("isa", "kv", "duty_cycle")}
        opening = {name: value for name, value in given.items() if value is not None}
        model = of_image(image, self.file.name, threads, **opening)
        model.digest = self.digest
        return self.with_adapters(model)

    def with_adapters(self, model: Model) -> Model:
        for name, path in self.more.items():
            if name not in model.adapters:  # a folder may be called as an adapter of the file is
                model.adapters.add(name, path)
        return model

    def answers(self, model: Model) -> Answers:
        from tinsmith.batch.cache import Cache

        cache = None if self.cache is None else Cache(self.cache)
        return Answers(model, self.settings, places=self.places, retry=self.retry, cache=cache)


class Alone:
    """This process."""

    def __init__(self, job: Job) -> None:
        self._answers = job.answers(job.load())

    @property
    def has_room(self) -> bool:
        return self._answers.has_room

    def give(self, window: Window) -> None:
        self._answers.add(window)

    def take(self) -> list[Done]:
        return self._answers.step()

    def close(self) -> None:
        self._answers.close()


class Workers:
    """Processes of this machine. One that dies (killed for memory) is replaced, and its windows are given
    again, `retry` times; then RuntimeFault is raised."""

    def __init__(self, job: Job, count: int) -> None:
        self._image = None if job.file.suffix == ".tin" or sys.platform == "win32" else _compiled(job)
        if self._image is not None:
            name = Path(f"/dev/fd/{self._image.file.fileno()}")
            job = replace(job, image=name, digest=self._image.digest)
        self._job = job
        self._tries = 1 + job.retry
        self._news: SimpleQueue[tuple[_Worker, list[Done] | TinsmithError | None]] = SimpleQueue()
        self._workers = [self._worker() for _ in range(count)]

    def _worker(self) -> _Worker:
        return _Worker(self._job, self._news, () if self._image is None else (self._image.file.fileno(),))

    @property
    def has_room(self) -> bool:
        return any(len(worker.held) < _GIVEN for worker in self._workers)

    def give(self, window: Window) -> None:
        min(self._workers, key=lambda worker: len(worker.held)).give(window)

    def take(self) -> list[Done]:
        worker, news = self._news.get()
        if isinstance(news, TinsmithError):
            raise news
        if news is None:
            self._replace(worker)
            return []
        for done in news:
            del worker.held[done.first]
        return news

    def _replace(self, worker: _Worker) -> None:
        code = worker.close()
        self._tries -= 1
        if self._tries <= 0:
            raise RuntimeFault(
                "TIN_ERR_STATE",
                f"a worker died ({_said(code)}), as for want of memory; the same command goes on from here: "
                "give it fewer --workers or --places",
            )
        self._workers.remove(worker)
        self._workers.append(fresh := self._worker())
        for window in worker.held.values():
            fresh.give(window)

    def close(self) -> None:
        for worker in self._workers:
            worker.close()
        if self._image is not None:
            self._image.file.close()


@dataclass(frozen=True)
class _Image:
    """A file without a name, which is gone with the processes that have it open."""

    file: IO[bytes]
    digest: str


def _compiled(job: Job) -> _Image:
    """What the model's file is compiled to: once, and not in each worker."""
    model = job.load(threads=1)
    file = tempfile.TemporaryFile(prefix="tinsmith-")  # noqa: SIM115 - it is the crew's to close
    try:
        file.write(model.tin.image)
        file.flush()
    except OSError as error:
        file.close()
        raise files.write_fault(Path(tempfile.gettempdir(), "tinsmith-image"), error) from error
    return _Image(file, model.digest)


def _said(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


class _Worker:
    """A process, and the thread that hears it. held: the windows that it has."""

    def __init__(self, job: Job, news: SimpleQueue[Any], descriptors: tuple[int, ...] = ()) -> None:
        self.held: dict[int, Window] = {}
        self._process = subprocess.Popen(
            children.python("-m", "tinsmith.batch.worker"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=children.environment(),
            pass_fds=descriptors,
        )
        self._tell(job)
        Thread(target=self._hear, args=(news,), daemon=True).start()

    def give(self, window: Window) -> None:
        self.held[window.first] = window
        self._tell(window)

    def _tell(self, what: Any) -> None:
        assert self._process.stdin is not None
        with suppress(OSError):  # it has died: its thread says so
            pickle.dump(what, self._process.stdin)
            self._process.stdin.flush()

    def _hear(self, news: SimpleQueue[Any]) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as told:
            while (said := heard(told)) is not None:
                news.put((self, said))
        news.put((self, None))

    def close(self) -> int:
        """Ends it, with what it is at, and gives its exit code."""
        self._process.kill()
        if self._process.stdin is not None:
            with suppress(OSError):  # of what it did not take
                self._process.stdin.close()
        return self._process.wait()


def heard(stream: IO[bytes]) -> Any:
    """What the other side said; None when it is gone, in the middle of a word or not."""
    try:
        return pickle.load(stream)
    except Exception:  # of half a pickle: whatever its bytes happen to mean
        return None
