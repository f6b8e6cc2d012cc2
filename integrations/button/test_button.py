"""The program as on a board, but that its button is a pipe: the kernel's events are bytes like any others."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from button import MOST, Actions
from presses import EVENT, Presses

import tinsmith
from tinsmith.runtime.calls import prompt_of, toolbox

HERE = Path(__file__).parent
TINS = Path(os.environ["TINS"])
CASES = json.loads((TINS / "cases.json").read_text())
FILE = TINS / CASES["files"]["plain"]
ACTIONS, STATE = HERE / "demo" / "actions.json", HERE / "demo" / "state.txt"
START = 1_000_000.0
KEY, LED = 1, 17  # EV_KEY, EV_LED


def event(at: float, value: int, code: int = 28, kind: int = KEY) -> bytes:
    seconds = int(START + at)
    return EVENT.pack(seconds, round((START + at - seconds) * 1e6), kind, code, value) + EVENT.pack(
        0, 0, 0, 0, 0
    )


def pressed(*times: tuple[float, float], code: int = 28) -> bytes:
    """Held from and until."""
    return b"".join(event(down, 1, code) + event(up, 0, code) for down, up in times)


@pytest.mark.parametrize(
    ("times", "presses"),
    [
        ([(0, 0.1)], ["short"]),
        ([(0, 0.1), (0.3, 0.4)], ["double"]),
        ([(0, 0.1), (0.6, 0.7)], ["short", "short"]),
        ([(0, 0.9)], ["long"]),
        ([(0, 0.1), (0.2, 1.2)], ["short", "long"]),
        ([(0, 0.1), (0.3, 0.4), (0.5, 0.6)], ["double", "short"]),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 4096])
def test_events_are_presses_however_they_are_read(times, presses, size):
    data, button, found = pressed(*times), Presses(), []
    for at in range(0, len(data), size):
        found += button.feed(data[at : at + size])
    assert found + list(button.waited(float("inf"))) == presses


def test_other_keys_and_kinds_are_no_presses():
    button = Presses(code=28)
    data = pressed((0, 0.9), code=30) + event(1, 1, kind=LED) + event(1, 2) + event(1, 0)
    assert not [*button.feed(data), *button.waited(float("inf"))]


def run(*more: object, data: bytes | None = b"", file: Path = FILE, actions: Path = ACTIONS):
    line = [sys.executable, HERE / "button.py", "--file", file, "--actions", actions, *more]
    return subprocess.run(list(map(str, line)), input=data, capture_output=True, timeout=120)


def told(done) -> list[dict]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def wanted(press: str, known: str = "") -> list[int]:
    """The tokens that Python answers with."""
    model = tinsmith.load(FILE, threads=1)
    box = toolbox(model, Actions(ACTIONS).tools, None, parallel=False, none=False)
    text = f"The button was pressed: {press}." + (f" {known}" if known else "")
    return model.generate(prompt_of(model, text, box), constraint=box.constraint, max_tokens=MOST).token_ids


def test_a_press_becomes_the_action_that_the_model_calls():
    done = run("--state", STATE, "--key", CASES["keys"]["maker"], data=pressed((0, 0.9)))
    assert done.returncode == 0, done.stderr
    (one,) = told(done)
    assert one["press"] == "long" and one["code"] == 0
    assert one["tokens"] == wanted("long", STATE.read_text().strip())
    actions = json.loads(ACTIONS.read_text())
    ran = [str(one["arguments"].get(word.strip("{}"), word)) for word in actions[one["name"]]["run"]]
    assert ran[0] == "true" or " ".join(ran[1:]) in done.stderr.decode()


def test_words_on_stdin():
    done = run("--words", data=b"twice, in the dark\n")
    assert done.returncode == 0 and told(done)[0]["tokens"] == wanted("twice, in the dark")


def test_a_press_takes_the_place_of_the_one_before():
    """And its answer is that of a fresh start."""
    done = run(data=pressed((0, 0.9)) + pressed((5, 5.9)))
    first, second = told(done)
    assert first == {"press": "long", "error": "another press came"}
    assert second["tokens"] == wanted("long")


def test_a_device_that_stays_open(tmp_path):
    device = tmp_path / "event0"
    os.mkfifo(device)
    line = [sys.executable, HERE / "button.py", "--file", FILE, "--actions", ACTIONS, "--device", device]
    process = subprocess.Popen(list(map(str, line)), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with process, device.open("wb", buffering=0) as pipe:
        assert process.stderr.readline() == b"ready\n"
        now = time.time() - START
        pipe.write(pressed((now, now + 0.1)))  # sure only once no second press came
        assert json.loads(process.stdout.readline())["press"] == "short"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"file": TINS / "nowhere.tin"}, "nowhere.tin: no such file"),
        ({"key": CASES["keys"]["other"]}, "plain.tin"),
        ({"actions": STATE}, "state.txt"),
        ({"device": "/dev/input/nothing"}, "/dev/input/nothing"),
    ],
)
def test_what_is_wrong_is_one_line(more, says):
    options = {name: more.pop(name) for name in ("file", "actions") if name in more}
    done = run(*(word for name, value in more.items() for word in (f"--{name}", value)), **options)
    error = done.stderr.decode()
    assert done.returncode == 1 and error.startswith("error: ") and says in error and error.count("\n") == 1


def test_an_argument_is_read_by_no_shell(tmp_path, capfd):
    path = tmp_path / "actions.json"
    path.write_text(json.dumps({"say": {"run": ["echo", "{what}"]}, "gone": {"run": ["/nowhere/program"]}}))
    actions = Actions(path)
    assert actions.run("gone", {}) == 127
    assert actions.run("say", {"what": "$(id); `id`"}) == 0
