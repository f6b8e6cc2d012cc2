#!/usr/bin/env python3
"""A rover with 50 Hz control and a language model in the same loop.

python rover.py --file rover.tin [--seconds 60] [--budget 4] [--log run.jsonl] [--json run.json]
python rover.py --file rover.tin --replay run.jsonl

Commands come from a script (--commands: lines of "seconds text"), or, with --ros, from the topic
rover/commands; calls are then published on rover/calls. --always asks the script's commands one after
the other, so that the model always works. Between blocks of control come blocks of an idle loop of the
same period, so that the two see the same machine.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import math
import sys
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from asked import Mind
from pilot import Pilot
from record import Record, Replay
from timing import Beat, drawn
from world import World

RATE = 50  # ticks a second
BLOCK = 250  # ticks of control, and of the idle loop
SCRIPT = """\
0.5 hey rover, go to the charger
9 turn left by ninety degrees please
12 drive forward one hundred and twenty centimetres
17 head for the door
29 full speed
30 now go to the table
38 stop right there
40 back up half a metre
44 come home, thanks
"""

Commands = Callable[[int, bool], Iterator[str]]


def scripted(text: str) -> Commands:
    """At each tick those that are due. Raises SystemExit for a line without a time."""
    due: deque[tuple[int, str]] = deque()
    for number, line in enumerate(filter(None, map(str.strip, text.splitlines())), 1):
        seconds, _, command = line.partition(" ")
        try:
            due.append((round(float(seconds) * RATE), command.strip()))
        except ValueError:
            raise SystemExit(f"line {number} of the commands: {line!r}; give seconds and a command") from None

    def now(tick: int, idle: bool) -> Iterator[str]:
        while due and due[0][0] <= tick:
            yield due.popleft()[1]

    return now


def always(text: str) -> Commands:
    """One after the other, without a pause and without an end."""
    commands = itertools.cycle([line.split(maxsplit=1)[1] for line in text.splitlines() if line.strip()])
    return lambda tick, idle: iter([next(commands)] if idle else [])


class Rover:
    """mind, world, pilot and log of one run. tick() is all of a control cycle but the waiting."""

    def __init__(self, mind: Mind, commands: Commands, budget: float, record: Record, say: Any) -> None:
        """budget: seconds of a tick that the model may take."""
        self.world, self.pilot = World(RATE), Pilot()
        self._mind, self._commands, self._budget = mind, commands, budget
        self._record, self._say = record, say
        self._waiting: deque[str] = deque()
        self._asked = 0  # the tick
        self._tick = 0
        self.answers = self.tokens = 0

    def tick(self) -> None:
        idle = self._mind.idle and not self._waiting
        self._waiting.extend(self._commands(self._tick, idle))
        if self._mind.idle and self._waiting:
            self._asked = self._tick
            self._mind.begin(self._waiting.popleft())
        if not self._mind.idle and self._mind.think(self._budget):
            self._obey()
        self.world.step(*self.pilot.steer(self.world.pose))
        self._tick += 1
        if self._tick % RATE == 0:
            self._record.state(self._tick, self.world.digest)

    def _obey(self) -> None:
        answer = self._mind.answer
        self.pilot.call(answer.name, answer.arguments)
        self._record.answer(self._asked, self._tick, answer)
        self.answers, self.tokens = self.answers + 1, self.tokens + answer.tokens
        self._say(answer, self._tick, self._tick - self._asked + 1)

    def end(self) -> None:
        self._record.end(self._tick, self.world.digest)


def controlled(rover: Rover, ticks: int, waiting: bool) -> dict[str, Beat]:
    """Runs it. waiting: in real time, with blocks of an idle loop between its own."""
    beats = {"control": Beat(10**9 // RATE), "idle loop": Beat(10**9 // RATE)}
    gc.collect()
    gc.disable()  # what a control loop allocates is freed by reference counts
    for first in range(0, ticks, BLOCK):
        count = min(BLOCK, ticks - first)
        for name, beat in beats.items():
            beat.begin()
            for _ in range(count if waiting or name == "control" else 0):
                if waiting:
                    beat.wait()
                if name == "control":
                    rover.tick()
    gc.enable()
    rover.end()
    return beats


def printed(answer: Any, tick: int, ticks: int) -> None:
    given = ", ".join(f"{name}={value}" for name, value in answer.arguments.items())
    print(
        f"{tick / RATE:6.2f} s  {answer.command!r} -> {answer.name}({given})  within {ticks} ticks", flush=True
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--file", required=True, help="a .tin; demo/recipe.toml makes one")
    parser.add_argument("--seconds", type=float, default=50, help="of the rover's time")
    parser.add_argument("--budget", type=float, default=4, help="milliseconds of each tick for the model")
    parser.add_argument("--commands", type=Path, help="lines of: seconds, a space, the command")
    parser.add_argument("--always", action="store_true", help="ask without a pause")
    parser.add_argument("--ros", action="store_true", help="take commands from a topic")
    parser.add_argument("--fast", action="store_true", help="as fast as it goes, without the period")
    parser.add_argument("--log", type=Path, help="what --replay reads")
    parser.add_argument("--json", type=Path, help="periods and histograms")
    parser.add_argument("--image", type=Path, help="a PNG of the end (MUJOCO_GL=egl without a display)")
    parser.add_argument("--replay", type=Path, help="a log: runs it again, and compares")
    given = parser.parse_args()
    mind = Mind(given.file)
    if given.replay:
        wrong = Replay(given.replay).differs(mind, lambda: (World(RATE), Pilot()))
        print(wrong or f"{given.replay}: the same, bit for bit")
        return bool(wrong)
    script = given.commands.read_text() if given.commands else SCRIPT
    say, commands, close = printed, (always if given.always else scripted)(script), lambda: None
    if given.ros:
        from topics import Topics

        topics = Topics()
        say, commands, close = topics.said(printed), topics.commands, topics.close
    rover = Rover(mind, commands, given.budget * 1e-3, Record(given.log, mind), say)
    beats = controlled(rover, math.ceil(given.seconds * RATE), not given.fast)
    close()
    told: dict[str, Any] = {"answers": rover.answers, "tokens": rover.tokens, "budget_ms": given.budget}
    if not given.fast:
        told |= {name.replace(" ", "_"): beat.told() for name, beat in beats.items()}
        print(drawn(beats))
    print(rover.world.map())
    if given.json:
        given.json.write_text(json.dumps(told, indent=2) + "\n")
    if given.image:
        rover.world.image(given.image)
    return 0


if __name__ == "__main__":
    sys.exit(main())
