"""`tinsmith batch` beside plain loops; killed at random moments; its memory; on Ray.

    python benchmarks/batch.py home-5m-q8_0.tin [--items 1000] [--max-tokens 48] [--system home]
        [--many 1000]                  so many of the items by one generate_many (default: all)
        [--gguf home-5m-q8_0.gguf]     and a loop over llama-cpp-python, --peer items of it, as of generate
        [--kills 20]                   SIGKILL so often, and the bytes of OUT beside an undisturbed run's
        [--times 100]                  peak memory of so many times the items beside that of --items
        [--ray]                        the same items by two workers, and by an actor on each of two local nodes
        [--size 100000000]             what so many items take, by the rate and the bytes of --items

Items are commands for a home, made by number; --in takes a file's own. batch's time is the whole command's,
with its start; the loops' is without loading. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from report import add_out, report

import tinsmith
from tinsmith.system.cores import usable_cores

ROOMS = (
    "kitchen",
    "bedroom",
    "living room",
    "hall",
    "office",
    "garage",
    "bathroom",
    "attic",
    "cellar",
    "porch",
)
STORE = 1 << 28  # bytes of objects that a node of Ray holds
FORMS = (
    "turn on the {room} light at {n} percent",
    "set the thermostat in the {room} to {n} degrees",
    "remind me in {n} minutes to look into the {room}",
    "dim the {room} lamp by {n} percent, please",
    "what is the temperature of sensor {n} in the {room}?",
)


def commands(count: int) -> list[str]:
    """Each of them another."""
    forms, rooms = len(FORMS), len(ROOMS)
    return [
        FORMS[k % forms].format(room=ROOMS[k // forms % rooms], n=k // (forms * rooms) + 1)
        for k in range(count)
    ]


class Bench:
    def __init__(self, args: argparse.Namespace, folder: Path) -> None:
        self.args, self.folder = args, folder

    def given(self, count: int) -> Path:
        path = self.folder / f"in-{count}.jsonl"
        if self.args.given is not None:
            lines = self.args.given.read_text(encoding="utf-8").splitlines()[:count]
        else:
            lines = [json.dumps({"input": one}) for one in commands(count)]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    def start(self, given: Path, out: Path, *more: str) -> subprocess.Popen[bytes]:
        """Which is the leader of its own process group."""
        words = ["batch", self.args.file, given, out, "--max-tokens", self.args.max_tokens, *more]
        words += ["--system", self.args.system] if self.args.system else []
        words += ["--workers", self.args.workers] if self.args.workers else []
        command = [sys.executable, "-m", "tinsmith", *map(str, words)]
        return subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)

    def run(self, given: Path, out: Path, *more: str) -> float:
        """Seconds of a whole run."""
        started = time.perf_counter()
        code = self.start(given, out, *more).wait()
        if code not in (0, 1):
            raise SystemExit(f"tinsmith batch ended with {code}")
        return time.perf_counter() - started

    def messages(self, text: str) -> list[dict[str, str]]:
        before = [{"role": "system", "content": self.args.system}] if self.args.system else []
        return [*before, {"role": "user", "content": text}]


def sized(bench: Bench, rate: float) -> dict[str, Any]:
    """Hours and bytes of --size items, by what --items take more than a tenth of them: without a start."""
    args = bench.args
    few = args.items // 10
    more, size = args.items - few, args.size
    started = bench.run(bench.given(few), bench.folder / "few.jsonl")
    steady = more / max(1e-9, args.items / rate - started)

    def grown(name: str) -> int:
        many, some = (bench.folder / f"{one}.jsonl{name}" for one in ("rates", "few"))
        return round(size * (many.stat().st_size - some.stat().st_size) / more)

    return {
        "items": size,
        "items_per_second": round(steady, 2),
        "hours": round(size / steady / 3600, 1),
        "out_bytes": grown(""),
        "journal_bytes": grown(".journal"),
    }


def rates(bench: Bench) -> dict[str, Any]:
    """items/s of each way."""
    args, given = bench.args, bench.given(bench.args.items)
    out = bench.folder / "rates.jsonl"
    seconds = bench.run(given, out)
    counts = json.loads(out.with_name(f"{out.name}.journal").read_text().splitlines()[-1])["counts"]
    texts = [json.loads(line)["input"] for line in given.read_text(encoding="utf-8").splitlines()]
    model = tinsmith.load(args.file)
    prompts = [model.render(bench.messages(text)) for text in texts[: args.many]]
    started = time.perf_counter()
    many = model.generate_many(prompts, max_tokens=args.max_tokens)
    plain = time.perf_counter() - started
    looped = prompts[: args.peer]
    started = time.perf_counter()
    for prompt in looped:
        model.generate(prompt, max_tokens=args.max_tokens)
    loop = time.perf_counter() - started
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    found = {
        "items": len(texts),
        "tokens": counts["tokens"],
        "answered_by_an_equal_item": counts["known"],
        "batch": round(len(texts) / seconds, 2),
        "generate_many": round(len(many) / plain, 2),
        "generate": round(len(looped) / loop, 2),
        "equal_to_generate_many": [row.get("text") for row in rows[: len(many)]] == [one.text for one in many],
    }
    if args.gguf:
        found["llama_cpp"] = round(_llama(bench, texts[: args.peer]), 2)
    return found


def _llama(bench: Bench, texts: list[str]) -> float:
    from llama_cpp import Llama

    cores = usable_cores()
    peer = Llama(bench.args.gguf, n_ctx=1024, n_threads=cores, n_threads_batch=cores, verbose=False)
    started = time.perf_counter()
    for text in texts:
        peer.create_chat_completion(bench.messages(text), max_tokens=bench.args.max_tokens, temperature=0.0)
    return len(texts) / (time.perf_counter() - started)


def kills(bench: Bench) -> dict[str, Any]:
    """Ends runs at random moments, the workers with them or not, until each has been ended so often."""
    args, given = bench.args, bench.given(bench.args.items)
    whole, out = bench.folder / "whole.jsonl", bench.folder / "killed.jsonl"
    seconds = bench.run(given, whole)
    chance, killed, equal, runs = random.Random(args.seed), 0, 0, 0
    while killed < args.kills:
        running = bench.start(given, out)
        try:
            running.wait(chance.uniform(0, max(1.0, 3 * seconds / args.kills)))
        except subprocess.TimeoutExpired:
            if killed % 2:
                os.killpg(running.pid, signal.SIGKILL)
            else:
                running.kill()
            running.wait()
            killed += 1
            if killed < args.kills:
                continue
            bench.run(given, out)
        runs += 1
        equal += out.read_bytes() == whole.read_bytes()
        for path in (out, out.with_name(f"{out.name}.journal")):
            path.unlink()
    return {"kills": killed, "outs": runs, "outs_equal_to_undisturbed": equal}


def memory(bench: Bench) -> dict[str, Any]:
    """Peak of the proportional set sizes of the command and its workers, in bytes; and how fast they were."""
    found, rate = {}, {}
    for count in (bench.args.items, bench.args.items * bench.args.times):
        given, started = bench.given(count), time.perf_counter()
        running = bench.start(given, bench.folder / f"memory-{count}.jsonl")
        most = 0
        while running.poll() is None:
            most = max(most, _held(running.pid))
            time.sleep(0.05)
        if running.returncode not in (0, 1):
            raise SystemExit(f"tinsmith batch ended with {running.returncode}")
        found[str(count)] = most
        rate[str(count)] = round(count / (time.perf_counter() - started), 2)
    few, many = found.values()
    return {"peak_bytes": found, "ratio": round(many / few, 4), "items_per_second": rate}


def _held(group: int) -> int:
    """Bytes of a process group's memory, shared pages by their share."""
    total = 0
    for folder in Path("/proc").iterdir():
        with suppress(OSError, ValueError, IndexError):
            if folder.name.isdecimal() and os.getpgid(int(folder.name)) == group:
                lines = (folder / "smaps_rollup").read_text().splitlines()
                total += next(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))
    return total


def on_ray(bench: Bench) -> dict[str, Any]:
    """Seconds of the same batch by two processes and by an actor on each of two nodes, with their loading."""
    import ray as _ray
    from ray.cluster_utils import RayExecutor

    from tinsmith.batch import executors, ray
    from tinsmith.batch.run import Batch, run
    from tinsmith.batch.settings import Settings
    from tinsmith.system.progress import Silent

    args, given, count = bench.args, bench.given(bench.args.items), 2
    os.environ["RAY_AUTH_MODE"] = "disabled"
    nodes = RayExecutor(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": STORE})
    nodes.add_node(num_cpus=1, object_store_memory=STORE)
    nodes.wait_for_nodes()
    ray.connect(nodes.address)
    settings = Settings(max_tokens=args.max_tokens, system=args.system or None)
    seconds = {}

    def timed(name: str, hired: Callable[[Settings], Any]) -> None:
        batch = Batch(Path(args.file), given, bench.folder / f"{name}.jsonl", settings)
        started = time.perf_counter()
        run(batch, hired, Silent())
        seconds[name] = time.perf_counter() - started

    def job(settings: Settings) -> executors.WorkerConfig:
        return executors.WorkerConfig(file=Path(args.file), settings=settings, retry=2)

    timed("workers", lambda settings: executors.ProcessPool(job(settings), count))
    timed("actors", lambda settings: ray.RayExecutor(job(settings), nodes.address, count))
    _ray.shutdown()
    nodes.shutdown()
    same = len({(bench.folder / f"{name}.jsonl").read_bytes() for name in seconds}) == 1
    return {**{name: round(one, 2) for name, one in seconds.items()}, "same_bytes": same}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file")
    parser.add_argument("--in", dest="given", type=Path)
    parser.add_argument("--items", type=int, default=500)
    parser.add_argument("--max-tokens", type=int, default=48)
    parser.add_argument("--system", default="")
    parser.add_argument("--many", type=int)
    parser.add_argument("--gguf")
    parser.add_argument("--peer", type=int, default=100)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--times", type=int, default=0)
    parser.add_argument("--ray", action="store_true")
    parser.add_argument("--size", type=int, default=0)
    parser.add_argument("--workers", type=int, default=0, help="of batch; 0: its default")
    parser.add_argument("--seed", type=int, default=0)
    add_out(parser)
    args = parser.parse_args()
    with TemporaryDirectory() as folder:
        bench = Bench(args, Path(folder))
        result: dict[str, Any] = {"cores": usable_cores(), "items_per_second": rates(bench)}
        if args.size:
            result["size"] = sized(bench, result["items_per_second"]["batch"])
        if args.kills:
            result["kills"] = kills(bench)
        if args.times:
            result["memory"] = memory(bench)
        if args.ray:
            result["ray_seconds"] = on_ray(bench)
    ways = ("batch", "generate_many", "generate", "llama_cpp")
    rows = [
        {"Way": way, "Model": Path(args.file).name, "Items per second": result["items_per_second"][way]}
        for way in ways
        if way in result["items_per_second"]
    ]
    report(args.out, result, rows, [args.seed])
    return 0


if __name__ == "__main__":
    sys.exit(main())
