"""Batches on a Ray cluster (extra `ray`), with the same bytes as on one machine.

    import tinsmith.batch.ray as batches
    answers = batches.map(ray.data.read_parquet("s3://…"), "home.tin", max_tokens=64, checkpoint="/shared/run")
    answers.write_parquet("s3://…")

The object store has the model's image once per node, and the node's actors map it. `tinsmith batch --ray` sends
a file's windows to actors and keeps the journal on this machine; `map` answers a Ray Dataset. Ray's usage
reports are off.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from logging import ERROR
from pathlib import Path
from threading import Lock
from typing import Any

from tinsmith import _core
from tinsmith.batch.engine import SLOTS, Engine, Window, WindowResult
from tinsmith.batch.executors import WorkerConfig
from tinsmith.batch.items import Items, layout_of
from tinsmith.batch.settings import Settings
from tinsmith.data.containers import Row
from tinsmith.data.readers import Where
from tinsmith.errors import InputError, MissingExtraError, RuntimeFault
from tinsmith.runtime.adapters import aligned
from tinsmith.system import files, reading

WINDOW = 512  # rows
ANSWER = ("text", "finish", "receipt", "error")  # columns that `map` adds
_WINDOWS = 2  # in flight per actor


def _ray() -> Any:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        import ray
    except ImportError:
        raise MissingExtraError("ray", "ray") from None
    return ray


def connect(address: str) -> None:
    """Connects to a cluster, unless the process is connected already. "local": a cluster of this machine."""
    ray = _ray()
    if ray.is_initialized():
        return
    where: dict[str, Any] = {"include_dashboard": False} if address == "local" else {"address": address}
    try:
        ray.init(**where, log_to_driver=False, logging_level=ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InputError(f"--ray {address}: no cluster answers: {str(error).splitlines()[0]}") from None


@dataclass(frozen=True)
class Shared:
    """image: the compiled model's, in the object store."""

    config: WorkerConfig
    image: Any

    def engine(self) -> Engine:
        array = _ray().get(self.image)
        image = memoryview(array)
        if array.ctypes.data % _core.ALIGNMENT:  # the store's address is not aligned for the core
            image = aligned(image)
        return self.config.engine(self.config.load_image(image, threads=1))


def share(config: WorkerConfig) -> Shared:
    ray = _ray()
    import numpy as np

    model = config.load()
    image = ray.put(np.frombuffer(model.tin.image, dtype=np.uint8))
    return Shared(replace(config, digest=model.digest), image)


class _Actor:
    """Loads the model once and answers windows. It has two in flight, each in its own thread, to keep the slots
    full while one ends; the thread that has the lock computes for both."""

    def __init__(self, shared: Shared) -> None:
        self._engine, self._lock = shared.engine(), Lock()
        self._done: dict[int, WindowResult] = {}

    def answer(self, window: Window) -> WindowResult:
        with self._lock:
            self._engine.submit(window)
        while True:
            with self._lock:
                if window.first in self._done:
                    return self._done.pop(window.first)
                self._done |= {done.first: done for done in self._engine.results()}


class RayExecutor:
    """At most `count` actors of one CPU each. Submits a window of an actor that died to another, `retry` times;
    then it raises RuntimeFault."""

    def __init__(self, config: WorkerConfig, address: str, count: int | None = None) -> None:
        connect(address)
        self._ray = _ray()
        self._shared = share(config)
        self._count = count or max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        self._tries: Counter[int] = Counter()
        self._in_flight: dict[Any, tuple[Any, Window]] = {}  # actor and window by future
        self._actors = [self._start() for _ in range(self._count)]

    def _start(self) -> Any:
        actor = self._ray.remote(num_cpus=1, max_restarts=0, max_concurrency=_WINDOWS)(_Actor)
        return actor.remote(self._shared)

    @property
    def has_room(self) -> bool:
        return len(self._in_flight) < _WINDOWS * len(self._actors)

    def submit(self, window: Window) -> None:
        busy = [actor for actor, _ in self._in_flight.values()]
        actor = min(self._actors, key=busy.count)
        self._in_flight[actor.answer.remote(window)] = actor, window

    def results(self) -> list[WindowResult]:
        (ready,), _ = self._ray.wait(list(self._in_flight), num_returns=1)
        actor, window = self._in_flight.pop(ready)
        try:
            return [self._ray.get(ready)]
        except self._ray.exceptions.RayTaskError as error:
            reason = str(error.cause).splitlines()[0]
            raise RuntimeFault("TIN_ERR_STATE", f"an actor failed: {reason}") from None
        except self._ray.exceptions.RayError as error:
            self._replace(actor, window, error)
            return []

    def _replace(self, actor: Any, window: Window, error: Exception) -> None:
        """Handles one window of a dead actor; its other windows fail by themselves."""
        self._tries[window.first] += 1
        if (tries := self._tries[window.first]) > self._shared.config.retry:
            reason = str(error).splitlines()[0]
            raise RuntimeFault(
                "TIN_ERR_STATE", f"the actors of a window died {tries} times: {reason}"
            ) from None
        self._actors = [one for one in self._actors if one is not actor]
        free = self._ray.available_resources().get("CPU", 0) >= 1
        if not self._actors or (free and len(self._actors) < self._count):
            self._actors.append(self._start())
        self.submit(window)

    def close(self) -> None:
        for actor in self._actors:
            with suppress(Exception):
                self._ray.kill(actor)


class _Mapper:
    """Answers a table of rows for Ray Data. checkpoint: folder of finished answers."""

    def __init__(
        self, shared: Shared, key: str, layout: tuple[str, tuple[str, ...]], checkpoint: str | None
    ) -> None:
        self._engine = shared.engine()
        self._items = Items(Path("dataset"), shared.config.settings, *layout, ())
        self._key, self._folder = key, None if checkpoint is None else Path(checkpoint)

    def __call__(self, table: Any) -> Any:
        import pyarrow as pa

        rows = table.to_pylist()
        path = self._path(rows)
        if path is not None and path.is_file():
            lines = reading.read_bytes(path)
        else:
            lines = self._answer(rows)
            if path is not None:
                with files.atomic_write(path) as file:
                    file.write(lines)
        answers = [json.loads(line) for line in lines.splitlines()]
        for name in ANSWER:
            table = table.append_column(name, pa.array([one.get(name) for one in answers], pa.string()))
        return table

    def _answer(self, rows: list[dict[str, Any]]) -> bytes:
        items = [self._items.item(k, Row(Where("dataset", k, "row"), row)) for k, row in enumerate(rows, 1)]
        self._engine.submit(Window(0, items))
        while not (done := self._engine.results()):
            pass
        return done[0].lines

    def _path(self, rows: list[dict[str, Any]]) -> Path | None:
        """The checkpoint of these rows, named by a hash of all that determines their answers."""
        if self._folder is None:
            return None
        inputs = json.dumps([self._key, rows], ensure_ascii=False, default=repr, sort_keys=True)
        name = hashlib.sha256(inputs.encode("utf-8", "surrogatepass")).hexdigest()
        return self._folder / name[:2] / f"{name}.jsonl"


def map(
    dataset: Any,
    file: str | Path,
    *,
    settings: Settings | None = None,
    concurrency: int | tuple[int, int] | None = None,
    window: int = WINDOW,
    slots: int = SLOTS,
    retry: int = 2,
    checkpoint: str | Path | None = None,
    opening: Mapping[str, Any] | None = None,
    **options: Any,
) -> Any:
    """A Ray Dataset: `dataset` with the columns text, finish, receipt and error.

    file: a .tin, a .gguf or a Hugging Face folder on this machine. options: fields of
    tinsmith.batch.settings.Settings, such as input, max_tokens and system, in place of `settings`. For where,
    sample and limit, use the dataset's `filter`, `random_sample` and `limit`. concurrency: number of actors, or
    its minimum and maximum; None: one per CPU, less one per node for reading and writing. window: rows of a
    batch. retry: how often a batch is submitted again after its actor died. checkpoint: a folder that all nodes
    share; finished batches are stored there, and a later run reuses them. opening: isa and kv, as for
    tinsmith.load.

    Raises InputError for settings that don't apply to a dataset, DataError for unclear columns of the prompt.
    """
    ray = _ray()
    settings = replace(settings or Settings(**options), shape="rows")
    if settings.where or settings.sample or settings.limit:
        raise InputError("where, sample and limit apply to files; use the dataset's own methods")
    connect("auto" if os.environ.get("RAY_ADDRESS") else "local")
    config = WorkerConfig(
        file=Path(file), settings=settings, loading=dict(opening or {}), slots=slots, retry=retry
    )
    shared = share(config)
    layout = layout_of("the dataset", dataset.columns(), settings.input)
    taken = next((name for name in dataset.columns() if name in ANSWER), None)
    if taken is not None:
        raise InputError(f'the dataset\'s column "{taken}" has the name of a column of answers; rename it')
    key = json.dumps([shared.config.digest, settings.as_json(), dict(config.loading)], sort_keys=True)
    nodes = sum(node["Alive"] for node in ray.nodes())
    count = concurrency or max(1, int(ray.cluster_resources().get("CPU", 1)) - nodes)
    least, most = count if isinstance(count, tuple) else (count, count)
    return dataset.map_batches(
        _Mapper,
        batch_size=window,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(min_size=least, max_size=most),
        fn_constructor_args=(shared, key, layout, None if checkpoint is None else str(checkpoint)),
        num_cpus=1,
        max_restarts=-1,
        max_task_retries=retry,
    )
