"""Instructions a token on the boards that qemu plays, by instruction set, for one tin.

    python benchmarks/cortex.py FILE.tin [cortex-m55 cortex-m7]

qemu lets one instruction take a nanosecond (-icount shift=0), and SysTick counts the board's clock, so counts
repeat exactly. They are instructions, not cycles: a core that issues two at once, or waits for flash, differs.
Prints JSON: by board and set, millions of instructions a token of the self-test's prompts.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from pathlib import Path

from report import add_out, report

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
        printed = firmware.run(built, tin, target, options=COUNTED)
    tokens, clocks = Counter[str](), Counter[str]()
    for line in printed.splitlines():
        match line.split():
            case ["ticks", isa, _, count, ticks]:
                tokens[isa] += int(count)
                clocks[isa] += int(ticks)
    per_tick = 1e9 / (target.cpu.clock_mhz * 1e6)
    return {isa: round(clocks[isa] * per_tick / tokens[isa] / 1e6, 1) for isa in tokens}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("tin", type=Path)
    parser.add_argument("boards", nargs="*", default=["cortex-m55"])
    add_out(parser)
    args = parser.parse_args()
    found = {board: counts(args.tin, board) for board in args.boards}
    report(args.out, found, [{"Model": args.tin.name, "Core": board, **sets} for board, sets in found.items()])


if __name__ == "__main__":
    main()
