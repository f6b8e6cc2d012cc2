"""Instructions a token on the boards that qemu plays, by instruction set, for one tin.

    python benchmarks/cortex.py FILE.tin [cortex-m55 cortex-m7]

qemu lets one instruction take a nanosecond (-icount shift=0), and SysTick counts the board's clock, so counts
repeat exactly. They are instructions, not cycles: a core that issues two at once, or waits for flash, differs.
Prints JSON: by board and set, millions of instructions a token of the self-test's prompts.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from tinsmith import _core, targets
from tinsmith.compiler import selftest
from tinsmith.cross import firmware
from tinsmith.system.files import map_file
from tinsmith.system.progress import PlainDisplay

COUNTED = ["-icount", "shift=0,sleep=off"]


def counts(tin: Path, board: str) -> dict[str, float]:
    target = targets.load(board)
    prompts = selftest.read(_core.Model(map_file(tin)).entry("selftest.bin"))
    longest = max(len(tokens) for tokens, _ in prompts)
    with tempfile.TemporaryDirectory() as folder:
        built = firmware.image(tin, target, Path(folder), PlainDisplay(), context=longest)
        ticks = firmware.measure(built, tin, target, options=COUNTED).ticks
    per_tick = 1e9 / (target.cpu.clock_mhz * 1e6)
    return {isa: round(clocks * per_tick / tokens / 1e6, 1) for isa, (tokens, clocks) in ticks.items()}


def main() -> None:
    tin, *boards = sys.argv[1:]
    print(json.dumps({board: counts(Path(tin), board) for board in boards or ["cortex-m55"]}, indent=1))


if __name__ == "__main__":
    main()
