"""What an adapter beside its base costs: the swap, decoding, prompts, and eight of them in one batch.

    python benchmarks/adapters.py BASE.gguf ADAPTER_DIR [--threads 1] [--rounds 5] [--tokens 64] [--prompt 512]
        [--llama]

BASE in the format that ships, such as Q4_0; ADAPTER_DIR: a folder in peft's format, trained on that base.
`none` is the base alone, which is as fast as the merged model is in the same format. A batch is of eight
sessions: all of them under one adapter, or each under one of eight adapters, which are copies that the runtime
can't know to be alike. --llama measures llama.cpp with the same adapter in the same rounds.

Everything runs once in each round, in turns, and a figure is the median over the rounds; swaps are timed one by
one in the middle of a generation, with what was computed kept, and those of prefixes without what is computed
again. Prints one line of JSON: milliseconds a swap, tokens a second, and `ratios` of each pair in the same
round, as the median.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from report import add_out, report

import tinsmith
from tinsmith import _core
from tinsmith.bench import llama
from tinsmith.bench.engine import filler
from tinsmith.compiler.adapter import compile_prefix
from tinsmith.compiler.program import read_program
from tinsmith.runtime import Model
from tinsmith.train.adapters import bin as adapter_bin
from tinsmith.train.adapters import gguf as adapter_gguf

BATCH = 8
SWAPS = 200
PREFIX = 64  # tokens


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("base", type=Path)
    parser.add_argument("adapter", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--llama", action="store_true", help="measure llama.cpp too")
    add_out(parser)
    args = parser.parse_args()
    model = tinsmith.load(args.base, threads=args.threads)
    for format in adapter_bin.FORMATS:
        data = adapter_bin.compiled(args.adapter, model.tin, format)
        for number in range(BATCH):
            model.adapters.add(f"{format} {number}", data)
    tasks: dict[str, Callable[[], float]] = {}
    for name, chosen in {"none": None, "Q8_0": "Q8_0 0", "F16": "F16 0"}.items():
        tasks[f"decode {name}"] = decoding(model, chosen, args)
        tasks[f"prompt {name}"] = prompting(model, chosen, args)
    for format in adapter_bin.FORMATS:
        tasks[f"batch {format}, one adapter"] = batched(model, [f"{format} 0"] * BATCH, args)
        tasks[f"batch {format}, {BATCH} adapters"] = batched(
            model, [f"{format} {k}" for k in range(BATCH)], args
        )
    if args.llama:
        tasks |= peers(args)
    rates: dict[str, list[float]] = {name: [] for name in tasks}
    for number in range(args.rounds + 1):
        for name, task in tasks.items():
            rate = task()
            if number:  # the first warms up
                rates[name].append(rate)
        print(f"round {number} of {args.rounds}", file=sys.stderr)
    pairs = {
        f"{work} {format} to none": (f"{work} {format}", f"{work} none")
        for work in ("decode", "prompt")
        for format in adapter_bin.FORMATS
    }
    pairs |= {
        f"batch {format}, {BATCH} adapters to one": (
            f"batch {format}, {BATCH} adapters",
            f"batch {format}, one adapter",
        )
        for format in adapter_bin.FORMATS
    }
    if args.llama:
        pairs |= {
            f"{work} to llama.cpp's": (f"{work} Q8_0", f"{work} llama.cpp") for work in ("decode", "prompt")
        }
        pairs |= {
            f"llama.cpp's {work} to its none": (f"{work} llama.cpp", f"{work} llama.cpp none")
            for work in ("decode", "prompt")
        }
    found = {
        "threads": args.threads,
        "isa": model.info.isa,
        "formats": model.info.formats,
        "adapter": {format: model.adapters[f"{format} 0"].bytes for format in adapter_bin.FORMATS},
        "swap_ms": swaps(model, args),
        "prefix_swap_ms": prefix_swaps(model, args),
        "tokens_per_second": {name: round(statistics.median(each), 1) for name, each in rates.items()},
        "ratios": {
            name: round(statistics.median(a / b for a, b in zip(rates[one], rates[other], strict=True)), 3)
            for name, (one, other) in pairs.items()
        },
    }
    rows = [{"Measure": name, "Ratio": ratio} for name, ratio in found["ratios"].items()]
    for name, each in (("swap, ms", found["swap_ms"]), ("swap of a prefix, ms", found["prefix_swap_ms"])):
        rows.append({"Measure": name, "Median": each["median"], "Worst": each["worst"]})
    report(args.out, found, rows)
    return 0


def session_of(model: Model, chosen: str | None, context: int, **options: Any) -> _core.Session:
    session = _core.Session(model.core, context=context, adapter_rank=model.adapters["Q8_0 0"].rank, **options)
    for adapter, scale in model.applied(chosen):
        session.adapter(adapter, scale)
    return session


def decoding(model: Model, chosen: str | None, args: argparse.Namespace) -> Callable[[], float]:
    session = session_of(model, chosen, args.tokens + 8, threads=args.threads)

    def run() -> float:
        session.rewind(0)
        session.append([1])
        finish(session)
        began = time.perf_counter()
        for token in filler(args.tokens, model.info.vocab):
            session.append([token])
            finish(session)
        return float(args.tokens / (time.perf_counter() - began))

    return run


def prompting(model: Model, chosen: str | None, args: argparse.Namespace) -> Callable[[], float]:
    session = session_of(model, chosen, args.prompt, threads=args.threads)

    def run() -> float:
        session.rewind(0)
        session.append(filler(args.prompt, model.info.vocab))
        began = time.perf_counter()
        finish(session)
        return float(args.prompt / (time.perf_counter() - began))

    return run


def batched(model: Model, chosen: list[str], args: argparse.Namespace) -> Callable[[], float]:
    """Decoding in a batch: all sessions together."""
    batch = _core.Batch(
        model.core, rows=BATCH, threads=args.threads, adapter_rank=model.adapters["Q8_0 0"].rank
    )
    sessions = [session_of(model, one, args.tokens + 8, batched=True) for one in chosen]
    for session in sessions:
        batch.add(session)

    def step() -> None:
        left = set(range(BATCH))
        while left:
            left -= {k for k, event in enumerate(batch.step()) if event == _core.STEP_LOGITS}

    def run() -> float:
        tokens = filler(args.tokens, model.info.vocab)
        for session in sessions:
            session.rewind(0)
            session.append([1])
        step()
        began = time.perf_counter()
        for token in tokens:
            for session in sessions:
                session.append([token])
            step()
        return float(BATCH * args.tokens / (time.perf_counter() - began))

    return run


def swaps(model: Model, args: argparse.Namespace) -> dict[str, float]:
    """Milliseconds from one adapter to another in the middle of a conversation."""
    session = session_of(model, "Q8_0 0", args.prompt + SWAPS + 8, threads=args.threads)
    session.append(filler(args.prompt, model.info.vocab))
    finish(session)
    taken = []
    for number in range(SWAPS):
        old, new = (model.adapters.opened(f"Q8_0 {k % BATCH}") for k in (number, number + 1))
        began = time.perf_counter()
        session.adapter(old, 0.0, True)
        session.adapter(new, 1.0, True)
        taken.append(1e3 * (time.perf_counter() - began))
        session.append([1])
        finish(session)
    return {"median": round(statistics.median(taken), 4), "worst": round(max(taken), 4)}


def prefix_swaps(model: Model, args: argparse.Namespace) -> dict[str, float]:
    """Milliseconds from one prefix of PREFIX random tokens to another, without what is then computed again."""
    import numpy as np

    program, chance = read_program(model.tin.entry("program.bin")), np.random.default_rng(0)
    prefixes = []
    for name in ("one", "other"):
        caches, states = (
            [chance.standard_normal(shape, np.float32).tobytes() for shape in shapes]
            for shapes in (
                [(2, one.heads, PREFIX, one.head_dim) for one in program.caches],
                [(one.heads, one.rows, one.columns) for one in program.states],
            )
        )
        model.adapters.add(name, compile_prefix(PREFIX, caches, states, program))
        prefixes.append(model.adapters.opened(name))
    session = _core.Session(model.core, context=args.prompt + PREFIX + 8, threads=args.threads)
    session.adapter(prefixes[0], 1.0)
    taken = []
    for number in range(SWAPS):
        session.rewind(0)
        session.append(filler(8, model.info.vocab))
        finish(session)
        began = time.perf_counter()
        session.adapter(prefixes[number % 2], 0.0)
        session.adapter(prefixes[1 - number % 2], 1.0)
        taken.append(1e3 * (time.perf_counter() - began))
    return {"median": round(statistics.median(taken), 4), "worst": round(max(taken), 4)}


def finish(session: _core.Session) -> None:
    event = session.step()
    assert event == _core.STEP_LOGITS


def peers(args: argparse.Namespace) -> dict[str, Callable[[], float]]:
    """llama.cpp with and without the adapter."""
    from tinsmith import models

    tasks: dict[str, Callable[[], float]] = {}
    with TemporaryDirectory() as scratch:
        path = Path(scratch, "adapter.gguf")
        adapter_gguf.write(args.adapter, models.load(args.base), path)
        for name, adapts in {"llama.cpp": True, "llama.cpp none": False}.items():
            engine = llama.open_model(llama.find_source(args.base))
            engine.prepare(args.threads, 0, args.prompt, args.tokens)
            if adapts:
                engine.adapt(path)
            tasks[f"decode {name}"] = lambda engine=engine: args.tokens / engine.decode()  # type: ignore[misc]
            tasks[f"prompt {name}"] = lambda engine=engine: args.prompt / engine.prompt()  # type: ignore[misc]
    return tasks


if __name__ == "__main__":
    sys.exit(main())
