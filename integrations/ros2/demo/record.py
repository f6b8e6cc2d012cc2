"""The log of a run and its replay: commands, when they were executed, and the world's state each second."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mujoco
from asked import TOOLS, Called, Mind
from pilot import Pilot
from world import FILE, World


def _about(mind: Mind) -> dict[str, str]:
    """The inputs of a run besides its commands."""
    files = {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in (("world", FILE), ("tools", TOOLS))
    }
    return {"file": mind.model.digest, **files, "mujoco": mujoco.__version__}


class Record:
    """Lines of JSON. path None: nothing is kept."""

    def __init__(self, path: Path | None, mind: Mind) -> None:
        self._lines = None if path is None else path.open("w")
        self._write(about=_about(mind))

    def answer(self, asked: int, tick: int, answer: Called) -> None:
        """asked, tick: when it was begun, and obeyed."""
        call = {"name": answer.name, "arguments": answer.arguments, "digest": str(answer.digest)}
        self._write(asked=asked, tick=tick, command=answer.command, **call)

    def state(self, tick: int, digest: str) -> None:
        self._write(tick=tick, state=digest)

    def end(self, tick: int, digest: str) -> None:
        self._write(end=tick, state=digest)
        if self._lines:
            self._lines.close()

    def _write(self, **line: Any) -> None:
        if self._lines:
            self._lines.write(json.dumps(line) + "\n")


class Replay:
    def __init__(self, path: Path) -> None:
        self._path = path
        about, *self._lines = [json.loads(line) for line in path.read_text().splitlines()]
        self._about = about["about"]
        if not self._lines or "end" not in self._lines[-1]:
            raise SystemExit(f"{path}: has no end; the run was cut off")

    def differs(self, mind: Mind, make: Callable[[], tuple[World, Pilot]]) -> str | None:
        """The first difference, in a line; None where there is none. Every command is asked again, and the
        world is stepped again from the beginning."""
        here = _about(mind)
        for name, value in self._about.items():
            if here[name] != value:
                return f"{self._path}: {name} was {value}, here it is {here[name]}"
        world, pilot = make()
        tick = 0
        for line in self._lines:
            until = line.get("tick", line.get("end"))
            while tick < until:
                world.step(*pilot.steer(world.pose))
                tick += 1
            if "command" in line:
                answer = mind.answered(line["command"])
                found = (answer.name, answer.arguments, str(answer.digest))
                logged = (line["name"], line["arguments"], line["digest"])
                if found != logged:
                    return f"{self._path}: {line['command']!r} was answered by {logged}, here by {found}"
                pilot.call(answer.name, answer.arguments)
            elif world.digest != line["state"]:
                return f"{self._path}: tick {tick}: another state of the world"
        return None
