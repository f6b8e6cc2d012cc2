"""Starts a real Home Assistant and has it use the integration. Exit code 0 if all held.

check.py --tins FOLDER --house FILE --work FOLDER --server TINSMITH [NAME...]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import shutil
import sys
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "conformance"))

from cases import Cases
from home import home
from homeassistant.const import __version__
from house import House

INTEGRATION = Path(__file__).parents[1] / "custom_components" / "tinsmith"
CASES = (
    "answer",
    "unconstrained",
    "adapter",
    "choose",
    "budget",
    "cancel",
    "restore",
    "missing",
    "key",
    "memory",
)
HOUSE = ("command", "tools", "talk", "data", "limits", "files", "unload", "reports", "server")
Check = Callable[[], Awaitable[None]]


class Errors(logging.Handler):
    """The log entries with a traceback of the integration, and entries that cannot be set up."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if "tinsmith" in f"{record.name} {text}" and "Error setting up entry" not in text and record.exc_info:
            self.seen.append(text)


async def passed(name: str, check: Check) -> str:
    try:
        await asyncio.wait_for(check(), 300)
    except Exception as error:
        traceback.print_exc()
        return str(error) or type(error).__name__
    print(f"{name}: passed", flush=True)
    return "passed"


async def run(given: argparse.Namespace) -> dict[str, str]:
    folder = given.work / "config"
    shutil.rmtree(folder, ignore_errors=True)
    results = {}
    async with home(folder, INTEGRATION) as hass:
        cases = Cases(hass, given.tins)
        await cases.begin()
        for name in given.names or CASES:
            if name in CASES:
                results[name] = await passed(name, getattr(cases, name))
        assert await hass.config_entries.async_remove(cases.entry.entry_id)
        house = House(hass, given.house, cases.file, given.work, given.server)
        for name in given.names or HOUSE:
            if name in HOUSE:
                results[name] = await passed(name, getattr(house, name))
    return results


def main() -> int:
    parser = argparse.ArgumentParser()
    for name in ("tins", "house", "work", "server"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("names", nargs="*")
    given = parser.parse_args()
    errors = Errors()
    logging.getLogger().addHandler(errors)
    results = asyncio.run(run(given))
    if not given.names:
        told = {name: results[name] for name in CASES}
        table = {"host": "Home Assistant", "version": __version__, "cases": told}
        (given.work / "conformance.json").write_text(json.dumps(table, indent=2) + "\n")
    for text in errors.seen:
        print(f"Home Assistant logged: {text}", file=sys.stderr)
    failed = {name: what for name, what in results.items() if what != "passed"}
    for name, what in failed.items():
        print(f"{name}: {what}", file=sys.stderr)
    return 1 if failed or errors.seen else 0


if __name__ == "__main__":
    sys.exit(main())
