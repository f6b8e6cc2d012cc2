"""Executors of windows. The Engine is the one of this process; ProcessPool has a process per core.

A process per core beats threads: a small model's steps are short, and threads would wait for each other.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import IO, Any, Protocol

from tinsmith.batch.engine import SLOTS, Engine, Window, WindowResult
from tinsmith.batch.settings import Settings
from tinsmith.errors import RuntimeFault, TinsmithError
from tinsmith.runtime import Model
from tinsmith.spec import Buffer
from tinsmith.system import children, files

_WINDOWS = 2  # per worker: one in progress, one to continue with


class Executor(Protocol):
    """Answers windows: here, in other processes, or on a cluster."""

    @property
    def has_room(self) -> bool:
        """Whether another window may be submitted."""

    def submit(self, window: Window) -> None: ...

    def results(self) -> list[WindowResult]:
        """Complete windows; waits for progress."""

    def close(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class WorkerConfig:
    file: Path
    settings: Settings
    loading: Mapping[str, Any] = field(default_factory=dict)  # options of tinsmith.load
    adapters: Mapping[str, str] = field(default_factory=dict)  # paths of those outside the file, by name
    slots: int = SLOTS  # of each worker
    retry: int = 0  # further tries of failed rows and windows
    cache: Path | None = None  # folder
    image: Path | None = None  # the compiled model, where `file` is no .tin
    digest: str = ""  # of `file`, with an image

    def load(self, threads: int | None = None) -> Model:
        from tinsmith.runtime import load

        if self.image is not None:
            return self.load_image(files.map_file(self.image), threads)
        return self._with_adapters(load(self.file, threads=threads, **self.loading))

    def load_image(self, image: Buffer, threads: int | None) -> Model:
        from tinsmith.runtime.opening import of_image

        given = {name: self.loading.get(name) for name in ("isa", "kv", "duty_cycle")}
        options = {name: value for name, value in given.items() if value is not None}
        model = of_image(image, self.file.name, threads, **options)
        model.digest = self.digest
        return self._with_adapters(model)

    def _with_adapters(self, model: Model) -> Model:
        for name, path in self.adapters.items():
            if name not in model.adapters:  # a folder may have the name of an adapter of the file
                model.adapters.add(name, path)
        return model

    def engine(self, model: Model) -> Engine:
        from tinsmith.batch.cache import Cache

        cache = None if self.cache is None else Cache(self.cache)
        return Engine(model, self.settings, slots=self.slots, retry=self.retry, cache=cache)


class ProcessPool:
    """Replaces a worker that dies, such as out of memory, and submits its windows again, `retry` times; then it
    raises RuntimeFault."""

    def __init__(self, config: WorkerConfig, count: int) -> None:
        self._image: IO[bytes] | None = None
        if config.file.suffix != ".tin" and sys.platform != "win32":
            self._image, digest = _compile(config)
            config = replace(config, image=Path(f"/dev/fd/{self._image.fileno()}"), digest=digest)
        self._config = config
        self._tries = 1 + config.retry
        self._updates: SimpleQueue[tuple[_Worker, list[WindowResult] | TinsmithError | None]] = SimpleQueue()
        self._workers = [self._start() for _ in range(count)]

    def _start(self) -> _Worker:
        descriptors = () if self._image is None else (self._image.fileno(),)
        return _Worker(self._config, self._updates, descriptors)

    @property
    def has_room(self) -> bool:
        return any(len(worker.windows) < _WINDOWS for worker in self._workers)

    def submit(self, window: Window) -> None:
        min(self._workers, key=lambda worker: len(worker.windows)).submit(window)

    def results(self) -> list[WindowResult]:
        worker, update = self._updates.get()
        if isinstance(update, TinsmithError):
            raise update
        if update is None:
            self._replace(worker)
            return []
        for result in update:
            del worker.windows[result.first]
        return update

    def _replace(self, worker: _Worker) -> None:
        code = worker.close()
        self._tries -= 1
        if self._tries <= 0:
            cause = f"signal {-code}" if code < 0 else f"exit code {code}"
            raise RuntimeFault(
                "TIN_ERR_STATE",
                f"a worker died ({cause}), perhaps out of memory; the same command resumes: give it fewer "
                "--workers or --slots",
            )
        self._workers.remove(worker)
        self._workers.append(new := self._start())
        for window in worker.windows.values():
            new.submit(window)

    def close(self) -> None:
        for worker in self._workers:
            worker.close()
        if self._image is not None:
            self._image.close()


def _compile(config: WorkerConfig) -> tuple[IO[bytes], str]:
    """Compiles the model once for all workers, to an unnamed file that disappears with them. Returns it with
    the model's digest."""
    model = config.load(threads=1)
    file = tempfile.TemporaryFile(prefix="tinsmith-")  # noqa: SIM115 - the pool closes it
    try:
        file.write(model.tin.image)
        file.flush()
    except OSError as error:
        file.close()
        raise files.write_fault(Path(tempfile.gettempdir(), "tinsmith-image"), error) from error
    return file, model.digest


class _Worker:
    """A process, and a thread that reads its results."""

    def __init__(self, config: WorkerConfig, updates: SimpleQueue[Any], descriptors: tuple[int, ...]) -> None:
        self.windows: dict[int, Window] = {}  # submitted, by their first item
        self._process = subprocess.Popen(
            children.python("-m", "tinsmith.batch.worker"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=children.environment(),
            pass_fds=descriptors,
        )
        self._send(config)
        Thread(target=self._receive, args=(updates,), daemon=True).start()

    def submit(self, window: Window) -> None:
        self.windows[window.first] = window
        self._send(window)

    def _send(self, value: Any) -> None:
        assert self._process.stdin is not None
        with suppress(OSError):  # it has died, as its thread reports
            pickle.dump(value, self._process.stdin)
            self._process.stdin.flush()

    def _receive(self, updates: SimpleQueue[Any]) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            while (value := receive(stream)) is not None:
                updates.put((self, value))
        updates.put((self, None))

    def close(self) -> int:
        """Kills the process. Returns its exit code."""
        self._process.kill()
        if self._process.stdin is not None:
            with suppress(OSError):  # of unread bytes
                self._process.stdin.close()
        return self._process.wait()


def receive(stream: IO[bytes]) -> Any:
    """The next pickled value; None after the sender's end, which may cut a value."""
    try:
        return pickle.load(stream)
    except Exception:  # a cut pickle may raise anything
        return None
