"""The measuring itself: engines in turn, again and again, and the medians of what they took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tinsmith.bench.engine import PEERS, check_room, module
from tinsmith.bench.process import Worker
from tinsmith.errors import InputError
from tinsmith.runtime.engine import NATIVE
from tinsmith.system import machine, progress

_MOST_THREADS = 64


@dataclass(frozen=True)
class Options:
    """What to measure; counts are in tokens."""

    threads: Sequence[int] = (1, 2)
    prompt: int = 512
    generate: int = 64
    depths: Sequence[int] = (0, 512)  # tokens in the KV cache before
    against: Sequence[str] = ()
    repeat: int = 5  # measurements of each, of which the median counts
    isa: str | None = None  # of the native engine; None: the best
    duty_cycle: int = 100  # of its threads, in percent


def run(path: Path, options: Options, display: progress.Display) -> dict[str, Any]:
    """Measures a .gguf or a .tin: {"rows", "ratios", "machine", "engines", "settings"}.

    Raises InputError for options out of range and for a depth that the model has no context for,
    MissingExtraError for a peer that is not installed; and what opening the file raises.
    """
    _check(path, options)
    with ExitStack() as stack:
        limits = stack.enter_context(closing(Worker("machine")))
        workers: dict[str, Worker] = {}
        for name in (NATIVE, *options.against):
            display.line(f"bench: opening {name}")
            worker = Worker(name, module(name).find_source(path), options.isa, options.duty_cycle)
            workers[name] = stack.enter_context(closing(worker))
            for depth in options.depths:
                check_room(workers[name].opened["context"], depth, options.prompt, options.generate)
        facts = {name: worker.opened["facts"] for name, worker in workers.items()}
        rows: list[dict[str, Any]] = []
        measured: dict[int, list[dict[str, float]]] = {threads: [] for threads in options.threads}
        with display.bar("bench", len(options.threads) * len(options.depths)) as bar:
            for threads in options.threads:
                for depth in options.depths:
                    bar.update(len(rows) // len(workers), f"{threads} threads, depth {depth}")
                    times = _measure(workers, limits, threads, depth, options, measured[threads])
                    rows += [_row(name, facts, threads, depth, options, times[name]) for name in workers]
    limit = _limits(measured)
    _compare_with(rows, limit)
    about = {**machine.describe(), "isa": facts[NATIVE]["isa"], **limit}
    settings = {
        "prompt": options.prompt,
        "generate": options.generate,
        "repeat": options.repeat,
        "duty_cycle": options.duty_cycle,
    }
    return {"rows": rows, "ratios": _ratios(rows), "machine": about, "engines": facts, "settings": settings}


def _check(path: Path, options: Options) -> None:
    if path.is_dir():
        raise InputError(f"{path}: a folder; give a .gguf or a .tin (`tinsmith build` makes both)")
    if not path.exists():
        raise InputError(f"{path}: no such file; give a .gguf or a .tin")
    for name in options.against:
        if name not in PEERS:
            raise InputError(f"--against {name}: not known; known: {', '.join(PEERS)}")
    least = [("threads", min(options.threads), 1), ("depth", min(options.depths), 0)]
    least += [(name, getattr(options, name), 1) for name in ("prompt", "generate", "repeat")]
    for name, given, allowed in least:
        if given < allowed:
            raise InputError(f"--{name} {given}: give at least {allowed}")
    if max(options.threads) > _MOST_THREADS:
        raise InputError(f"--threads {max(options.threads)}: give at most {_MOST_THREADS}")


def _measure(
    workers: Mapping[str, Worker],
    limits: Worker,
    threads: int,
    depth: int,
    options: Options,
    measured: list[dict[str, float]],
) -> dict[str, dict[str, list[float]]]:
    """By engine: the seconds of each `prompt` and `decode`."""
    for worker in workers.values():
        worker.call("prepare", threads, depth, options.prompt, options.generate)
    times: dict[str, dict[str, list[float]]] = {name: {"decode": [], "prompt": []} for name in workers}
    for _ in range(options.repeat):
        measured.append(limits.call("measure", threads))
        for name, worker in workers.items():
            for kind in ("decode", "prompt"):
                times[name][kind].append(worker.call(kind))
    return times


def _row(
    name: str, facts: Mapping[str, Any], threads: int, depth: int, options: Options, times: Mapping[str, Any]
) -> dict[str, Any]:
    decode = options.generate / median(times["decode"])
    row = {
        "engine": name,
        "format": facts[name].get("format", facts[NATIVE]["format"]),
        "threads": threads,
        "depth": depth,
        "prompt_tok_s": round(options.prompt / median(times["prompt"]), 1),
        "decode_tok_s": round(decode, 1),
    }
    if name == NATIVE:
        row["weight_gb_s"] = round(facts[name]["weight_bytes_per_token"] * decode / 1e9, 2)
    return row


def _limits(measured: Mapping[int, Sequence[Mapping[str, float]]]) -> dict[str, dict[str, float]]:
    """By number of threads, a text as JSON's keys are. The median over the whole run, since a shared host's
    limits move while it lasts."""
    return {
        key: {
            str(threads): round(median(one[key] for one in readings), 2)
            for threads, readings in measured.items()
        }
        for key in ("read_gb_s", "int8_gops")
    }


def _compare_with(rows: Sequence[dict[str, Any]], limit: Mapping[str, Mapping[str, float]]) -> None:
    for row in rows:
        if "weight_gb_s" in row:
            row["read_share"] = round(row["weight_gb_s"] / limit["read_gb_s"][str(row["threads"])], 3)


def _ratios(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """How many times a peer's speed the native engine has, each peer at each number of threads and depth."""
    native = {(row["threads"], row["depth"]): row for row in rows if row["engine"] == NATIVE}
    ratios = []
    for row in rows:
        if row["engine"] == NATIVE:
            continue
        ours = native[row["threads"], row["depth"]]
        ratio = {key: round(ours[f"{key}_tok_s"] / row[f"{key}_tok_s"], 2) for key in ("prompt", "decode")}
        ratios.append({"against": row["engine"], "threads": row["threads"], "depth": row["depth"], **ratio})
    return ratios
