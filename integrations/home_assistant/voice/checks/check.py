"""Speaks, hears, decides and switches, without a microphone. Exit code 0 if all held.

check.py --house FILE --work FOLDER [--whisper FOLDER]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import wave
from pathlib import Path

HERE = Path(__file__).parents[1]
sys.path.insert(0, str(HERE))

from ears import Ears, Whisper  # noqa: E402
from loop import NOTHING, house, listened, sphinx, spoken  # noqa: E402

import tinsmith  # noqa: E402

ON, OFF = "HassTurnOn", "HassTurnOff"
SAID = {
    "turn on the kitchen lamp": (ON, {"name": "kitchen lamp"}),
    "switch on the fan": (ON, {"name": "fan"}),
    "turn on the radio": (ON, {"name": "radio"}),
    "turn off the coffee machine": (OFF, {"name": "coffee machine"}),
    "turn on the lights in the bedroom": (ON, {"area": "bedroom", "domain": "light"}),
}
AFTER = {"kitchen lamp": True, "fan": True, "radio": True, "coffee machine": False, "reading light": True}
WHISPERED = {
    "please turn off the kitchen lamp": (OFF, {"name": "kitchen lamp"}),
    "what is the weather like": (NOTHING, {}),
}


def decided(model: tinsmith.Model, ears: Ears, said: dict[str, tuple[str, dict[str, str]]]) -> list[str]:
    """What went wrong. The house is as AFTER says where all was obeyed."""
    home, wrong = house(), []
    for text, want in said.items():
        turn = listened(model, ears, spoken(text))
        got = (turn.call.name, turn.call.arguments)
        print(f"{text!r}: heard {turn.heard!r}, {got[0]} {got[1]}", flush=True)
        if got != want:
            wrong.append(f"{text!r} was heard as {turn.heard!r}, and taken for {got}")
        else:
            home.obey(*got)
    if said is SAID and not wrong:
        wrong += [f"{name} is {home.on[name]}" for name, on in AFTER.items() if home.on[name] is not on]
    return wrong


def commands(file: Path, work: Path) -> list[str]:
    """The example as one runs it: a recording, and what it says where it can't go on."""
    recording = work / "command.wav"
    with wave.open(str(recording), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16_000)
        out.writeframes(spoken("turn on the kitchen lamp").tobytes())
    runs = {
        "now      kitchen lamp: on": (0, "--file", file, "--wav", recording),
        "nowhere.tin: no such file": (1, "--file", work / "nowhere.tin", "radio on"),
        "house.tin.minisig": (
            1,
            "--file",
            file,
            "--key",
            "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3",
        ),
        "wants the model's folder": (1, "--file", file, "--ears", "whisper", "radio on"),
    }
    wrong = []
    for expected, (code, *options) in runs.items():
        command = [sys.executable, HERE / "loop.py", *options]
        made = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=120)
        if made.returncode != code or expected not in made.stdout + made.stderr:
            wrong.append(
                f"{options}: {made.returncode}, {made.stdout}{made.stderr}, and not {code}, {expected!r}"
            )
        if code and len(made.stderr.splitlines()) != 1:
            wrong.append(f"{options}: more than one line: {made.stderr}")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser()
    for name, needed in (("house", True), ("work", True), ("whisper", False)):
        parser.add_argument(f"--{name}", type=lambda text: Path(text).absolute(), required=needed)
    given = parser.parse_args()
    model = tinsmith.load(given.house)
    wrong = decided(model, sphinx(), SAID) + commands(given.house, given.work)
    if given.whisper is not None:
        wrong += decided(model, Whisper(given.whisper), WHISPERED)
    for line in wrong:
        print(f"wrong: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
