"""The state of the application: models by name, limits, the constraint compiler, metrics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinsmith.errors import InputError
from tinsmith.formats.router import ENTRY
from tinsmith.runtime.generation import TokenRequest
from tinsmith.runtime.loaded import Loaded
from tinsmith.runtime.skill import Skill
from tinsmith.serve.compiler import ConstraintCompiler
from tinsmith.serve.errors import ApiError, rate_limited
from tinsmith.serve.fair_queue import FairThreadPool, Shares
from tinsmith.serve.images import ImageEncoder
from tinsmith.serve.limits import Limits
from tinsmith.serve.metrics import Metrics
from tinsmith.serve.worker import AnswerHandle, Deliver, Worker

AUTO = "auto"
CONTEXT = 4096  # default maximum of a conversation's tokens
_THREADS = 4  # the interpreter runs one at a time, the core several


@dataclass(frozen=True)
class ModelRef:
    """A model name's meaning: a file's base, one of its adapters, or its router's choice of one."""

    name: str
    served: ServedModel
    adapter: str | None = None
    routed: bool = False

    @property
    def model(self) -> Loaded:
        return self.served.model

    @property
    def worker(self) -> Worker:
        return self.served.worker

    @property
    def skill(self) -> Skill:
        return self.model.skill_of(self.adapter)


class ServedModel:
    """A model file with its worker and, for a vision-language model, its image encoder."""

    def __init__(self, path: Path, model: Loaded, slots: int, context: int | None, limits: Limits) -> None:
        """context: maximum tokens of a conversation; None: the model's, at most CONTEXT."""
        self.name, self.path, self.model = path.stem.replace(":", "-"), path, model
        context = min(context or CONTEXT, model.info.context)
        self.images = ImageEncoder(model, limits) if "vision" in model.tin.manifest else None
        self.worker = Worker(self.name, model, slots=slots, context=context, queue=limits.queue)
        self.created = int(path.stat().st_mtime)
        self.digest = model.digest  # hashes the whole file: now rather than in the first answer
        self.has_router = ENTRY in model.tin.names

    @property
    def report(self) -> Path | None:
        """The report.html of `tinsmith make` beside the file. A link is ignored: it may lead anywhere."""
        path = self.path.with_name("report.html")
        return path if path.is_file() and not path.is_symlink() else None

    def refs(self) -> Iterator[ModelRef]:
        yield ModelRef(self.name, self)
        for name in self.model.adapters:
            yield ModelRef(f"{self.name}:{name}", self, name)
        if self.has_router:
            yield ModelRef(f"{self.name}:{AUTO}", self, routed=True)

    def about(self, ref: ModelRef) -> dict[str, Any]:
        """Capabilities, for clients."""
        skill = ref.skill
        return {
            "adapters": list(self.model.adapters),
            "constraint": skill.constraint is not None,
            "context": self.worker.context,
            "can_chat": skill.can_chat,
            "template": skill.can_chat,
            "vision": self.images is not None,
        }

    def close(self) -> None:
        if self.images is not None:
            self.images.close()
        self.worker.close()


class AppState:
    def __init__(self, models: Sequence[ServedModel], limits: Limits) -> None:
        self.models, self.limits = models, limits
        self.refs = {ref.name: ref for model in models for ref in model.refs()}
        routed = [model for model in models if model.has_router]
        if len(routed) == 1:
            self.refs[AUTO] = ModelRef(AUTO, routed[0], routed=True)
        self.compiler = ConstraintCompiler(limits)
        self.metrics = Metrics([model.worker for model in models], self.compiler)
        self.threads = FairThreadPool(
            _THREADS, per_client=_THREADS - 1, max_waiting=limits.in_flight, what="requests"
        )
        self._in_flight = Shares()  # answers

    def find(self, name: str) -> ModelRef:
        ref = self.refs.get(name)
        if ref is None:
            message = f"no model {name[:80]!r}; the server has {', '.join(list(self.refs)[:20])}"
            raise ApiError(404, message, "model", code="model_not_found")
        return ref

    def find_or_only(self, name: str | None) -> ModelRef:
        """The model of this name; without a name, the only one."""
        if name is None and len(self.models) > 1:
            raise ApiError(400, f"name one of the models: {', '.join(list(self.refs)[:20])}", "model")
        return self.find(self.models[0].name if name is None else name)

    def check_in_flight(self, client: str, worker: Worker, answers: int) -> None:
        """Raises ApiError where `answers` more exceed the client's share or the queue."""
        limit, used = self.limits.in_flight, self._in_flight[client]
        if answers > limit:
            raise ApiError(400, f"{answers} answers requested; a client may have {limit} in flight", "n")
        if used + answers > limit:
            raise rate_limited(f"{used} of {limit} answers of this client are in flight")
        worker.check_queue(answers)

    @contextmanager
    def in_flight(self, client: str, worker: Worker, answers: int = 1) -> Iterator[None]:
        """Counts work outside the batch as `answers` answers."""
        self.check_in_flight(client, worker, answers)
        self._in_flight[client] += answers
        try:
            yield
        finally:
            self._in_flight.release(client, answers)

    def submit(self, worker: Worker, request: TokenRequest, deliver: Deliver) -> AnswerHandle:
        handle = worker.submit(request, deliver)
        self._in_flight[request.scope] += 1
        handle.on_end(lambda: self._in_flight.release(request.scope))
        return handle

    def close(self) -> None:
        self.compiler.close()
        self.threads.close()
        for model in self.models:
            model.close()


def load_models(paths: Sequence[str | Path], **options: Any) -> list[tuple[Path, Loaded]]:
    """options: of tinsmith.load."""
    from tinsmith.runtime.opening import load

    files = [Path(path) for path in paths]
    names = [path.stem for path in files]
    for path in files:
        if names.count(path.stem) > 1:
            raise InputError(
                f"{path}: two files are named {path.stem}, and a model has its file's name; rename one"
            )
    models: list[tuple[Path, Loaded]] = []
    for path in files:
        model = load(path, **options)
        for name in model.adapters:
            model.applied(name)  # reports a damaged adapter at the start
        models.append((path, model))
    return models
