"""Decode speed beside one busy loop a core: does a second thread still pay, and does the pool keep its share?

    python benchmarks/busy.py MODEL [--threads 1,2] [--depth 0,512] [--seconds 0.5] [--rounds 5]
    python benchmarks/busy.py MODEL --cores 1 --loops 6      one crowded core: are two threads slower than one?

MODEL is a .tin, a .gguf or a name that `tinsmith pull` knows. Every round measures each row quiet, then each
row beside the loops; the figures are medians. JSON on stdout, a row for each depth and number of threads:
quiet and busy in tokens a second, fair_share (half of quiet: each core is shared by two) and kept, which is
busy / fair_share.

The loops are ordinary processes, pinned to each core that this process may use. They stay in this process's
session, so that Linux shares the cores by thread and not by session (autogroup).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from tinsmith import _core, hub
from tinsmith.runtime import load

LOOP = "import os, sys; os.sched_setaffinity(0, {int(sys.argv[1])}); print(flush=True)\nwhile True: pass"
LONGEST = 2048  # tokens of one run


class Decoder:
    """A session that holds `depth` tokens, and decodes from there as often as asked."""

    def __init__(self, model: _core.Model, threads: int, depth: int) -> None:
        self.threads, self.depth = threads, depth
        self.first = 0
        self.session = _core.Session(
            model, context=min(model.info()["context"], depth + LONGEST), threads=threads
        )
        self.fill = [100 + k % 1000 for k in range(max(depth, 1))]
        self.quiet: list[float] = []
        self.busy: list[float] = []

    def run(self, seconds: float) -> float:
        """Tokens a second, greedy, from `depth` on."""
        session = self.session
        session.rewind(min(self.depth, session.tokens()[0]))
        session.append(self.fill[len(session.tokens()[1]) :] or [self.first])
        session.step()
        self.first = token = session.sample()
        made, start = 0, time.perf_counter()
        while (spent := time.perf_counter() - start) < seconds and made < LONGEST - 2:
            session.append([token])
            session.step()
            token = session.sample()
            made += 1
        return made / spent


@contextlib.contextmanager
def busy_loops(cores: list[int]) -> Iterator[None]:
    """One process a core that does nothing but run."""
    command = [sys.executable, "-S", "-c", LOOP]
    loops = [subprocess.Popen([*command, str(core)], stdout=subprocess.PIPE) for core in cores]
    try:
        for loop in loops:
            assert loop.stdout is not None
            loop.stdout.readline()
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--threads", type=numbers, default=[1, 2])
    parser.add_argument("--depth", type=numbers, default=[0, 512])
    parser.add_argument("--seconds", type=float, default=0.5, help="of one measurement")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--loops", type=int, default=1, help="busy loops a core")
    parser.add_argument("--cores", type=numbers, help="where the loops run; all cores unless given")
    options = parser.parse_args()
    model = load(options.model if Path(options.model).exists() else hub.pull(options.model), threads=1)
    cores = (options.cores or sorted(os.sched_getaffinity(0))) * options.loops
    decoders = [Decoder(model.core, t, d) for d in options.depth for t in options.threads]
    for decoder in decoders:
        decoder.run(0.05)
    for _ in range(options.rounds):
        for decoder in decoders:
            decoder.quiet.append(decoder.run(options.seconds))
        with busy_loops(cores):
            for decoder in decoders:
                decoder.busy.append(decoder.run(options.seconds))
    rows = []
    for decoder in decoders:
        quiet, busy = median(decoder.quiet), median(decoder.busy)
        rows.append(
            {
                "threads": decoder.threads,
                "depth": decoder.depth,
                "quiet": round(quiet, 1),
                "busy": round(busy, 1),
                "fair_share": round(quiet / 2, 1),
                "kept": round(busy / (quiet / 2), 3),
            }
        )
    json.dump({"isa": model.info.isa, "loops": len(cores), "rows": rows}, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
