"""The whole loop with a real Home Assistant at its end: what is heard is said to its conversation agent, and an
input_boolean switches. Exit code 0 if all held.

    at_home.py --house FILE --work FOLDER
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parents[2]
sys.path[:0] = [str(HERE / "voice"), str(HERE / "checks")]

from home import home, say, set_up, speech  # noqa: E402
from loop import sphinx, spoken  # noqa: E402

SAID = {"turn on the kitchen lamp": "kitchen_lamp", "switch on the fan": "fan", "turn on the radio": "radio"}


async def run(given: argparse.Namespace) -> None:
    folder, ears = given.work / "config", sphinx()
    shutil.rmtree(folder, ignore_errors=True)
    async with home(folder, HERE / "custom_components" / "tinsmith") as hass:
        entry = await set_up(hass, "file", {"file": str(given.house)})
        for text, switch in SAID.items():
            heard = await hass.async_add_executor_job(ears.hear, spoken(text))
            reply = await say(hass, entry, heard)
            state = hass.states.get(f"input_boolean.{switch}").state
            print(f"{text!r}: heard {heard!r}, said {speech(reply)!r}, {switch} is {state}", flush=True)
            assert state == "on", f"{switch} is {state}"


def main() -> int:
    parser = argparse.ArgumentParser()
    for name in ("house", "work"):
        parser.add_argument(f"--{name}", type=lambda text: Path(text).absolute(), required=True)
    asyncio.run(run(parser.parse_args()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
