"""The voice loop of a house: somebody speaks, the ears hear, the model decides, a switch moves.

    python loop.py --file house.tin "turn on the kitchen lamp" "lights out in the hall"
    python loop.py --file house.tin --ears whisper --whisper FOLDER --wav command.wav

Sentences are spoken by espeak-ng, as if by a person; --wav takes a recording instead, 16 bits in one channel:
`arecord -d 4 -f S16_LE -r 16000 command.wav`.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
import tomllib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ears import RATE, Ears, Sphinx, Whisper, grammar, samples_of
from house import House

import tinsmith
from tinsmith.chat.tool_formats import Call
from tinsmith.errors import TinsmithError
from tinsmith.runtime.answerer import own_calls

HERE = Path(__file__).parent
WORDS = HERE.parent / "house"
NOTHING = "HassNevermind"


@dataclass(frozen=True)
class Turn:
    """heard: the words; call: what the model makes of them. seconds: of hearing and of deciding."""

    heard: str
    call: Call
    seconds: tuple[float, float]


def spoken(text: str, voice: str = "en-us") -> array[int]:
    """The sentence as espeak-ng says it. Raises FileNotFoundError where it is not installed."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "said.wav"
        subprocess.run(["espeak-ng", "-v", voice, "-s", "140", "-w", path, text], check=True)
        said = samples_of(path)
    pause, noise = array("h", bytes(RATE)), random.Random(1)  # half a second, in a room that is never silent
    samples = (one + noise.randrange(-40, 41) for one in pause + said + pause)
    return array("h", (max(-32768, min(32767, one)) for one in samples))


def listened(model: tinsmith.Model, ears: Ears, samples: array[int]) -> Turn:
    """From samples to a call of the file's own tools; an answer below the abstention threshold is no call."""
    began = time.perf_counter()
    heard = ears.hear(samples)
    between = time.perf_counter()
    if not heard:
        return Turn("", Call(NOTHING, {}), (between - began, 0.0))
    answer = model.chat([{"role": "user", "content": heard}])
    (call,) = own_calls(answer.text) if answer.confident is not False else [Call(NOTHING, {})]
    return Turn(heard, call, (between - began, time.perf_counter() - between))


def words() -> dict[str, list[str]]:
    """The house's, of which its model was trained."""
    read: dict[str, list[str]] = tomllib.loads((WORDS / "house.toml").read_text(encoding="utf-8"))
    return read


def sphinx() -> Sphinx:
    """Ears for the commands of the house."""
    known = words()
    return Sphinx(grammar(known["devices"], known["areas"]))


def house() -> House:
    known = words()
    lamps = [name for name in known["devices"] if "lamp" in name or "light" in name]
    rooms = {area: [name for name in lamps if area in name] for area in known["areas"]}
    rooms["living room"], rooms["bedroom"], rooms["office"] = ["ceiling lamp"], ["reading light"], ["desk lamp"]
    return House(known["devices"], rooms)


def turns(given: argparse.Namespace, model: tinsmith.Model, ears: Ears) -> Iterator[Turn]:
    for text in given.text:
        yield listened(model, ears, spoken(text))
    for path in given.wav:
        yield listened(model, ears, samples_of(path))


def show(turn: Turn, home: House) -> None:
    hearing, deciding = (f"{1000 * seconds:.0f} ms" for seconds in turn.seconds)
    print(f"heard    {turn.heard or 'nothing'}  ({hearing})")
    print(f"decided  {turn.call.name} {turn.call.arguments}  ({deciding})")
    try:
        switched = home.obey(turn.call.name, turn.call.arguments)
    except LookupError as error:
        print(f"but      {error}")
        return
    for name in switched:
        print(f"now      {name}: {'on' if home.on[name] else 'off'}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", nargs="*", help="sentences that are spoken")
    parser.add_argument("--file", type=Path, required=True, help="the house's model")
    parser.add_argument("--key", help="refuse a file that this minisign key's owner did not sign")
    parser.add_argument("--ears", choices=("sphinx", "whisper"), default="sphinx")
    parser.add_argument("--whisper", type=Path, help="the folder of Whisper's model")
    parser.add_argument("--wav", type=Path, action="append", default=[], help="a recording; repeatable")
    given = parser.parse_args()
    try:
        if given.ears == "whisper" and given.whisper is None:
            raise ValueError("--ears whisper wants the model's folder: --whisper FOLDER")
        model, home = tinsmith.load(given.file, key=given.key), house()
        ears = sphinx() if given.ears == "sphinx" else Whisper(given.whisper)
        for turn in turns(given, model, ears):
            show(turn, home)
    except (TinsmithError, ValueError, OSError) as error:
        print(f"loop: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
