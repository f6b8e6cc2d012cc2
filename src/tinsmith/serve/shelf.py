"""The models that are served, by the names that requests give."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinsmith.errors import InputError
from tinsmith.formats.router import ENTRY
from tinsmith.serve.eyes import Eyes
from tinsmith.serve.faults import Refused
from tinsmith.serve.worker import Worker

if TYPE_CHECKING:
    from tinsmith.runtime.loaded import Loaded
    from tinsmith.runtime.skill import Skill
    from tinsmith.serve.limits import Limits

AUTO = "auto"
CONTEXT = 4096  # most tokens of a conversation, where the model has more and nobody says otherwise


@dataclass(frozen=True)
class Target:
    """What a name stands for. adapter: of the file; None: its base. routed: the file's router chooses."""

    name: str
    served: Served
    adapter: str | None = None
    routed: bool = False

    @property
    def skill(self) -> Skill:
        return self.served.model.skill_of(self.adapter)


class Served:
    """A model file, and the thread that computes with it. eyes: None where it has none."""

    def __init__(self, path: Path, model: Loaded, places: int, context: int | None, limits: Limits) -> None:
        """context: most tokens of a conversation; None: the model's, and CONTEXT at most."""
        self.name, self.path, self.model = path.stem.replace(":", "-"), path, model
        most = model.info.context
        self.eyes = Eyes(model, limits) if "vision" in model.tin.manifest else None
        self.worker = Worker(self.name, model, places, min(context or CONTEXT, most), limits.queue)
        self.created = int(path.stat().st_mtime)
        self.digest = model.digest  # of the whole file: worked out now, and not at the first answer

    @property
    def report(self) -> Path | None:
        """What `tinsmith make` wrote beside the file, where it is there. A link may lead anywhere, and is
        none."""
        path = self.path.with_name("report.html")
        return path if path.is_file() and not path.is_symlink() else None

    @property
    def routes(self) -> bool:
        """Whether the file has a router."""
        return ENTRY in self.model.tin.names

    def targets(self) -> Iterator[Target]:
        yield Target(self.name, self)
        for name in self.model.adapters:
            yield Target(f"{self.name}:{name}", self, name)
        if self.routes:
            yield Target(f"{self.name}:{AUTO}", self, routed=True)

    def about(self, target: Target) -> dict[str, Any]:
        """What a page or a program wants to know before it asks."""
        skill = target.skill
        return {
            "adapters": list(self.model.adapters),
            "constraint": skill.constraint is not None,
            "context": self.worker.context,
            "can_chat": skill.can_chat,
            "template": skill.can_chat,
            "sees": self.eyes is not None,
        }


class Shelf:
    def __init__(self, served: Sequence[Served]) -> None:
        self.served = list(served)
        self._targets = {target.name: target for one in self.served for target in one.targets()}
        routing = [one for one in self.served if one.routes]
        if len(routing) == 1:
            self._targets[AUTO] = Target(AUTO, routing[0], routed=True)

    @property
    def names(self) -> list[str]:
        return list(self._targets)

    def __iter__(self) -> Iterator[Target]:
        return iter(self._targets.values())

    def find(self, name: str) -> Target:
        target = self._targets.get(name)
        if target is None:
            raise unknown(name, self.names)
        return target

    def close(self) -> None:
        for one in self.served:
            if one.eyes is not None:
                one.eyes.close()
            one.worker.close()


def unknown(name: str, known: Sequence[str]) -> Refused:
    message = f"there is no model {name[:80]!r}; there are {', '.join(known[:20])}"
    return Refused(404, message, "model", code="model_not_found")


def check_names(files: Sequence[Path]) -> None:
    """Raises InputError where two files would have one name."""
    names = [path.stem for path in files]
    for path in files:
        if names.count(path.stem) > 1:
            raise InputError(
                f"{path}: two files are named {path.stem}; a file's name is its model's: rename one"
            )


def opened(paths: Sequence[str | Path], **options: Any) -> list[tuple[Path, Loaded]]:
    """The files' models. options: as `load`. Raises InputError where two files would have one name."""
    from tinsmith.runtime.opening import load

    files = [Path(path) for path in paths]
    check_names(files)
    models: list[tuple[Path, Loaded]] = []
    for path in files:
        model = load(path, **options)
        for name in model.adapters:
            model.applied(name)  # what is damaged is said now
        models.append((path, model))
    return models
