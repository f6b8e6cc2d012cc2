"""Batches on a Ray cluster (extra `ray`), with the bytes that one machine gives.

    import tinsmith.batch.ray as batches
    answers = batches.map(ray.data.read_parquet("s3://…"), "home.tin", max_tokens=64, checkpoint="/shared/run")
    answers.write_parquet("s3://…")

The model's image lies in the object store, once a node, and every actor there maps it. `tinsmith batch --ray`
gives the windows of a file to actors, and keeps the journal where it runs; `map` is for data that Ray reads and
writes. Ray reports nothing to its makers.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from logging import ERROR
from pathlib import Path
from threading import Lock
from typing import Any

from tinsmith.batch.engine import SLOTS, Engine, Window, WindowResult
from tinsmith.batch.executors import WorkerConfig
from tinsmith.batch.items import Items, layout_of
from tinsmith.batch.settings import Settings
from tinsmith.data.containers import Row
from tinsmith.data.readers import Where
from tinsmith.errors import InputError, MissingExtraError, RuntimeFault
from tinsmith.system import files, reading

WINDOW = 512  # rows that an actor is given at a time
ANSWER = ("text", "finish", "receipt", "error")  # columns that `map` adds
_GIVEN = 2  # windows that an actor has at a time


def _ray() -> Any:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        import ray
    except ImportError:
        raise MissingExtraError("ray", "ray") from None
    return ray


def connect(address: str) -> None:
    """To the cluster of an address, unless this process is in one already; "local": one of this machine
    alone."""
    ray = _ray()
    if ray.is_initialized():
        return
    try:
        if address == "local":
            ray.init(include_dashboard=False, log_to_driver=False, logging_level=ERROR)
        else:
            ray.init(address=address, log_to_driver=False, logging_level=ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InputError(f"--ray {address}: no cluster answers: {str(error).splitlines()[0]}") from None


@dataclass(frozen=True)
class Shared:
    """A job, and the model's image in the object store: the file's bytes, or what was compiled of it. digest:
    the file's, as receipts have it."""

    job: WorkerConfig
    image: Any
    digest: str

    def engine(self) -> Engine:
        job = replace(self.job, digest=self.digest)
        return job.engine(job.load_image(_mapped(_ray().get(self.image)), threads=1))


def share(job: WorkerConfig) -> Shared:
    ray = _ray()
    import numpy as np

    model = job.load()
    return Shared(job, ray.put(np.frombuffer(model.tin.image, dtype=np.uint8)), model.digest)


def _mapped(image: Any) -> memoryview:
    """The array's memory; a copy, where the store has put it at an address that the core does not take."""
    from tinsmith import _core
    from tinsmith.runtime.adapters import aligned

    return memoryview(image) if image.ctypes.data % _core.ALIGNMENT == 0 else aligned(memoryview(image))


class _Actor:
    """Loads the model once, and answers windows. Two are under way at a time, each in a thread of its own, so
    that no place is empty while one comes to its end: whoever has the lock computes for both."""

    def __init__(self, shared: Shared) -> None:
        self._engine = shared.engine()
        self._lock = Lock()
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
    """A crew of actors, at most `count`, of one processor each. A window of an actor that dies, as with its
    node, is given to another, `retry` times; then RuntimeFault is raised."""

    def __init__(self, job: WorkerConfig, address: str, count: int | None = None) -> None:
        connect(address)
        self._ray = _ray()
        self._shared = share(job)
        self._count = count or max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        self._tries: dict[int, int] = {}
        self._in_flight: dict[Any, tuple[Any, Window]] = {}  # actor and window by future
        self._actors = [self._actor() for _ in range(self._count)]

    def _actor(self) -> Any:
        made = self._ray.remote(num_cpus=1, max_restarts=0, max_concurrency=_GIVEN)(_Actor)
        return made.remote(self._shared)

    def _busy(self, actor: Any) -> int:
        return sum(one is actor for one, _ in self._in_flight.values())

    @property
    def has_room(self) -> bool:
        return len(self._in_flight) < _GIVEN * len(self._actors)

    def submit(self, window: Window) -> None:
        actor = min(self._actors, key=self._busy)
        self._in_flight[actor.answer.remote(window)] = actor, window

    def results(self) -> list[WindowResult]:
        ready, _ = self._ray.wait(list(self._in_flight), num_returns=1)
        actor, window = self._in_flight.pop(ready[0])
        try:
            return [self._ray.get(ready[0])]
        except self._ray.exceptions.RayTaskError as error:
            raise RuntimeFault(
                "TIN_ERR_STATE", f"an actor failed: {str(error.cause).splitlines()[0]}"
            ) from None
        except self._ray.exceptions.RayError as error:
            self._lost(actor, window, error)
            return []

    def _lost(self, actor: Any, window: Window, error: Exception) -> None:
        """The actor's other windows come here on their own."""
        tries = self._tries[window.first] = self._tries.get(window.first, 0) + 1
        if tries > self._shared.job.retry:
            said = str(error).splitlines()[0]
            raise RuntimeFault("TIN_ERR_STATE", f"the actors of a window died {tries} times: {said}") from None
        self._actors = [one for one in self._actors if one is not actor]
        free = self._ray.available_resources().get("CPU", 0) >= 1
        if not self._actors or (free and len(self._actors) < self._count):
            self._actors.append(self._actor())
        self.submit(window)

    def close(self) -> None:
        for actor in self._actors:
            with suppress(Exception):
                self._ray.kill(actor)


class _Mapper:
    """What Ray Data maps batches of rows by. checkpoint: a folder of what was answered."""

    def __init__(
        self, shared: Shared, key: str, way: tuple[str, tuple[str, ...]], checkpoint: str | None
    ) -> None:
        self._engine = shared.engine()
        self._items = Items(Path("dataset"), shared.job.settings, way[0], way[1], ())
        self._key, self._folder = key, None if checkpoint is None else Path(checkpoint)

    def __call__(self, table: Any) -> Any:
        import pyarrow as pa

        rows = table.to_pylist()
        kept = self._kept(rows)
        if kept is not None and kept.is_file():
            lines = reading.read_bytes(kept)
        else:
            items = [self._items.item(k, Row(Where("dataset", k, "row"), row)) for k, row in enumerate(rows, 1)]
            self._engine.submit(Window(0, items))
            while not (done := self._engine.results()):
                pass
            lines = done[0].lines
            if kept is not None:
                with files.atomic_write(kept) as file:
                    file.write(lines)
        answers = [json.loads(line) for line in lines.splitlines()]
        for name in ANSWER:
            table = table.append_column(name, pa.array([one.get(name) for one in answers], pa.string()))
        return table

    def _kept(self, rows: list[Mapping[str, Any]]) -> Path | None:
        """The file of these rows' answers: named by all that they follow from."""
        if self._folder is None:
            return None
        asked = json.dumps([self._key, rows], ensure_ascii=False, default=repr, sort_keys=True)
        name = hashlib.sha256(asked.encode("utf-8", "surrogatepass")).hexdigest()
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
    """A Ray Dataset with the columns text, finish, receipt and error added to those of `dataset`.

    file: a .tin, a .gguf or a Hugging Face folder, where this runs. options: fields of
    tinsmith.batch.settings.Settings, such as input, max_tokens and system, where no settings are given; where,
    sample and limit are the dataset's own `filter`, `random_sample` and `limit`. concurrency: actors, or the
    fewest and most; None: one a processor of the cluster, but for one of each node, as what Ray reads and
    writes needs some too. window: rows of a batch, whose answers come together; retry: how often a batch is
    given again whose actor died. checkpoint: a folder that all nodes see: the answers of each batch are kept
    there, and a run after one that was killed takes them. opening: isa and kv, as tinsmith.load.

    Raises InputError for settings that are not for a dataset, DataError where its columns don't say what is
    asked.
    """
    ray = _ray()
    settings = replace(settings or Settings(**options), shape="rows")
    if settings.where or settings.sample or settings.limit:
        raise InputError("where, sample and limit are of a file's rows; filter the dataset itself")
    connect("auto" if os.environ.get("RAY_ADDRESS") else "local")
    job = WorkerConfig(
        file=Path(file), settings=settings, loading=dict(opening or {}), slots=slots, retry=retry
    )
    shared = share(job)
    way = layout_of("the dataset", dataset.columns(), settings.input)
    taken = next((name for name in dataset.columns() if name in ANSWER), None)
    if taken is not None:
        raise InputError(f'the dataset has a column "{taken}", as an answer has; rename it')
    key = json.dumps([shared.digest, settings.as_json(), dict(job.loading)], sort_keys=True)
    spare = sum(node["Alive"] for node in ray.nodes())  # a processor of each node is left to read and write
    count = concurrency or max(1, int(ray.cluster_resources().get("CPU", 1)) - spare)
    least, most = count if isinstance(count, tuple) else (count, count)
    return dataset.map_batches(
        _Mapper,
        batch_size=window,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(min_size=least, max_size=most),
        fn_constructor_args=(shared, key, way, None if checkpoint is None else str(checkpoint)),
        num_cpus=1,
        max_restarts=-1,
        max_task_retries=retry,
    )
