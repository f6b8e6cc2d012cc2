"""What `tinsmith plan --target host` foretells beside what is measured, for five models.

    python benchmarks/plan.py [--context 512] [--threads 1] [--rounds 5] [--only NAME ...]

SmolLM2-135M-Instruct, which is fetched, in Q8_0 and Q4_0, and models of other families with random weights,
each opened by a process of its own. JSON on stdout, per model:

memory    bytes planned of a session and of the whole, beside tin_session_size and what the kernel says of the
          process (/proc/self/smaps): anonymous memory that a full session adds, and resident pages of the file
decode    tokens a second: planned from rates measured in between, and measured, the best pass of each round;
          the ratio is of the medians of all rounds
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from random_model import random_spec
from report import add_out, report

import tinsmith
from tinsmith import _core, compiler, hub, models, plan
from tinsmith.plan import contents, host, speed
from tinsmith.quant import shipping
from tinsmith.system.progress import PlainDisplay

BASE = "smollm2-135m-instruct"
RANDOM = {
    "qwen3-0.6b-q4_0": ("qwen3-0.6b", "Q4_0"),
    "gemma3-270m-q8_0": ("gemma3-270m", "Q8_0"),
    "qwen3.5-0.8b-q4_0": ("qwen3.5-0.8b", "Q4_0"),
}
FETCHED = {"smollm2-135m-q8_0": "Q8_0", "smollm2-135m-q4_0": "Q4_0"}
PASSES = 10


def make(name: str, folder: Path) -> Path:
    if name in FETCHED:
        spec, preset = models.load(hub.pull(BASE)), FETCHED[name]
        spec = shipping.prepared(spec, name, 0)
        ((_, tin),) = shipping.build_files(spec, folder, [shipping.Weights(preset)], PlainDisplay()).values()
        return tin
    path = folder / f"{name}.tin"
    compiler.build_tin(random_spec(*RANDOM[name]), path)
    return path


def anonymous() -> int:
    """Bytes of this process's own memory, added up by the kernel: reading all mappings takes memory too."""
    (kilobytes,) = re.findall(r"^Anonymous:\s+(\d+) kB", Path("/proc/self/smaps_rollup").read_text(), re.M)
    return 1024 * int(kilobytes)


def resident(path: Path) -> int:
    """Bytes of a mapped file that are in memory."""
    total, ours = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            ours = line.endswith(str(path))
        elif ours and line.startswith("Rss:"):
            total += 1024 * int(line.split()[1])
    return total


def evaluate(session: _core.Session, tokens: list[int], threads: int = 1) -> float:
    """Seconds; of one thread its own, so that the turns of others on a busy machine do not count."""
    clock = time.thread_time if threads == 1 else time.perf_counter
    session.append(tokens)
    began = clock()
    while session.step() != _core.STEP_LOGITS:
        pass
    return clock() - began


def measure(path: Path, context: int, threads: int, rounds: int) -> dict[str, Any]:
    model_file = contents.of(path)
    planned = plan.memory_of(model_file, host.target(threads), plan.Options(context=context))
    model = tinsmith.load(path, threads=threads)
    vocab = model.info.vocab
    anonymous()  # reading takes memory of its own the first time
    before = anonymous()
    session = _core.Session(model.core, context=context, threads=threads)
    evaluate(session, [(7 * k * k + 3) % vocab for k in range(context)])
    session.sample(1.0, 0, 0.95)
    memory = {
        "planned_session": planned.session.bytes,
        "session_size": session.size(),
        "anonymous": anonymous() - before,
        "planned_file_read": planned.weights + planned.tables,
        "file_resident": resident(path),
        "planned_ram": planned.ram,
    }
    measured_ram = memory["anonymous"] + memory["file_resident"] + planned.model
    memory["ram_ratio"] = round(planned.ram / measured_ram, 4)
    memory["session_ratio"] = round(planned.session.bytes / memory["anonymous"], 4)
    return {"memory": memory, "decode": decode(model_file, session, threads, rounds)}


def decode(model_file: contents.Contents, session: _core.Session, threads: int, rounds: int) -> dict[str, Any]:
    depth = 16
    planned, measured = [], []
    for _ in range(rounds + 1):
        session.rewind(0)
        evaluate(session, [5] * (depth - PASSES // 2))
        measured.append(1 / min(evaluate(session, [7], threads) for _ in range(PASSES)))
        if len(measured) > rounds:
            break
        rates = host.rates(model_file.program, threads)
        cost = speed.one_pass(model_file.program, rates, rows=1, depth=depth, kv="f16")
        planned.append(1 / cost.seconds)
    middle = statistics.median(planned), statistics.median(measured)
    return {
        "threads": threads,
        "planned_tok_s": [round(value, 1) for value in planned],
        "measured_tok_s": [round(value, 1) for value in measured],
        "planned_over_measured": round(middle[0] / middle[1], 3),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=[*FETCHED, *RANDOM], default=[*FETCHED, *RANDOM])
    parser.add_argument("--tin", help=argparse.SUPPRESS)  # a model's process
    add_out(parser)
    args = parser.parse_args()
    if args.tin:
        print(json.dumps(measure(Path(args.tin), args.context, args.threads, args.rounds)))
        return 0
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in args.only:
            print(f"plan: {name}", file=sys.stderr)
            tin = make(name, Path(folder))
            command = [sys.executable, __file__, "--tin", str(tin), "--context", str(args.context)]
            command += ["--threads", str(args.threads), "--rounds", str(args.rounds)]
            rows[name] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
            tin.unlink()
    columns = {
        "Session planned, bytes": ("memory", "planned_session"),
        "`tin_session_size`": ("memory", "session_size"),
        "RAM, ratio": ("memory", "ram_ratio"),
        "Decoding, ratio": ("decode", "planned_over_measured"),
    }
    table = [
        {"Model": name} | {column: row[part][key] for column, (part, key) in columns.items()}
        for name, row in rows.items()
    ]
    report(args.out, rows, table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
