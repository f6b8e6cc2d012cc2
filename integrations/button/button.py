#!/usr/bin/env python3
"""A button that acts: a model maps a press and the room's state to one of the allowed actions.

python button.py --file home.tin --actions actions.json --device /dev/input/event0 [--state FILE] [--key RW…]

--device is a path, or `-` for stdin, with evdev's events; with --words, each of its lines is a press in words.
A press while the model computes replaces the previous one. Each press is a line of JSON on stdout.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from presses import AGAIN, Presses

import tinsmith
from tinsmith.errors import InputError, TinsmithError
from tinsmith.runtime.calls import prompt_of, read_calls, toolbox
from tinsmith.runtime.stepped import Stepped
from tinsmith.system import reading

SLICE = 0.02  # seconds of thinking, after which the button is looked at
MOST = 256  # tokens of a call: none is ruled out for the length of its text


class Actions:
    """actions.json: {name: {"description", "parameters": JSON Schema, "run": [program, argument…]}}.

    An argument of `run` that is `{name}` is that parameter's value; nothing is read by a shell."""

    def __init__(self, path: Path) -> None:
        self._given = reading.read_table(path, advice="give actions by name")
        for name, action in self._given.items():
            if not isinstance(action, dict) or not isinstance(action.get("run"), list) or not action["run"]:
                raise InputError(f"{path}: {name} has no `run`; give a list: a program and its arguments")
        plain: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}
        self.tools = [
            {
                "name": name,
                "description": one.get("description", ""),
                "parameters": one.get("parameters", plain),
            }
            for name, one in self._given.items()
        ]

    def run(self, name: str, arguments: dict[str, Any]) -> int:
        """Its exit code; 127 where there is no such program."""
        line = [
            str(arguments.get(one[1:-1], one)) if one[:1] == "{" else one for one in self._given[name]["run"]
        ]
        try:
            return subprocess.run(line, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False).returncode
        except OSError:
            return 127


class Button:
    """Reads the device, runs the model and acts, in one thread."""

    def __init__(self, given: argparse.Namespace) -> None:
        self._actions = Actions(given.actions)
        self._model = tinsmith.load(given.file, key=given.key, threads=given.threads)
        self._box = toolbox(self._model, self._actions.tools, None, parallel=False, none=False)
        self._state: Path | None = given.state
        self._press, self._began = "", 0.0
        self._answer: Stepped | None = None

    def pressed(self, press: str) -> None:
        """Begins an answer and cancels the previous one."""
        if self._answer is not None:
            self._answer.cancel()
            self._say(self._press, error="another press came")
        known = reading.read_text(self._state, most=4096).strip() if self._state else ""
        text = f"The button was pressed: {press}." + (f" {known}" if known else "")
        tokens = prompt_of(self._model, text, self._box)
        self._press, self._began = press, time.perf_counter()
        self._answer = self._model.begin(tokens, constraint=self._box.constraint, max_tokens=MOST, record=True)

    @property
    def thinking(self) -> bool:
        return self._answer is not None

    def think(self) -> None:
        assert self._answer is not None
        self._answer.step_for(SLICE)
        if not self._answer.done:
            return
        done, self._answer = self._answer.completion, None
        seconds = round(time.perf_counter() - self._began, 3)
        (call,) = read_calls(self._model, done, self._box)
        code = self._actions.run(call.name, dict(call.arguments))
        told = {"name": call.name, "arguments": call.arguments, "tokens": done.token_ids}
        self._say(self._press, **told, seconds=seconds, code=code)

    def _say(self, press: str, **told: Any) -> None:
        print(json.dumps({"press": press, **told}), flush=True)


def words(data: bytes, rest: list[bytes]) -> Iterator[str]:
    """Complete lines; an incomplete one stays in rest."""
    *lines, last = (rest.pop() + data if rest else data).split(b"\n")
    rest.append(last)
    yield from (line.decode("utf-8", "replace").strip() for line in lines if line.strip())


def watch(button: Button, device: int, said: bool, code: int | None) -> None:
    """Runs until the device ends and all presses are answered."""
    presses, rest, open_ = Presses(code), [], True
    while open_ or button.thinking or presses.waiting:
        wait = 0.0 if button.thinking else AGAIN / 4 if presses.waiting else None
        if open_ and select.select([device], [], [], wait)[0]:
            data = os.read(device, 4096)
            open_ = bool(data)
            for press in words(data, rest) if said else presses.feed(data):
                button.pressed(press)
        for press in presses.waited(time.time() if open_ else float("inf")):
            button.pressed(press)
        if button.thinking:
            button.think()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--file", required=True, help="the .tin")
    parser.add_argument("--key", help="public key of minisign that must have signed it")
    parser.add_argument("--actions", type=Path, required=True, help="what may be done, in JSON")
    parser.add_argument(
        "--device", default="-", help="what gives the events: /dev/input/eventN, or - for stdin"
    )
    parser.add_argument("--code", type=int, help="of the key that counts (KEY_* of the kernel); any by default")
    parser.add_argument("--words", action="store_true", help="the device gives lines of text")
    parser.add_argument("--state", type=Path, help="a file that says what is known, read at each press")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        button = Button(given)
        device = 0 if given.device == "-" else os.open(given.device, os.O_RDONLY)
        print("ready", file=sys.stderr, flush=True)
        watch(button, device, given.words, given.code)
    except (TinsmithError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
