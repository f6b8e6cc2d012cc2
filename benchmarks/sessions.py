"""What slices of a frame and a batch of sessions cost.

    python benchmarks/sessions.py MODEL [--slices 20000] [--repeat 5] [--threads 1] [--only overshoot]
    python benchmarks/sessions.py MODEL --only overshoot --threads 2 --taken 1 --loops 3 [--frame 3]

MODEL is a .tin, a .gguf or a name that `tinsmith pull` knows. JSON on stdout:

overshoot   of `slices` steps with a budget of 1 ms, prompts of 512 tokens and 64 generated ones in turn: by how
            many milliseconds a step came back after its budget (percentiles of all steps that spent it);
            `spin`, the same of a loop that only looks at the clock, in turn with them; `beyond`, the first less
            the second; `prompt_tok_s`, how fast prompts came along. --taken: cores on which `loops` other
            processes spin meanwhile; --frame: a step begins every so many milliseconds, and the process sleeps
            in between
sliced      tokens a second with budgets of 2 ms over those without, prompt and generation, medians of `repeat`
            alternating runs
batch       tokens a second that five sessions generate together over what one does alone, likewise; each has
            100 tokens before it
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator

import busy

import tinsmith
from tinsmith import _core, hub

PROMPT, GENERATE, SESSIONS = 512, 64, 5
MS = 1_000_000


def tokens(model: _core.Model, count: int, seed: int = 1) -> list[int]:
    return [(7 * k * k + 3 * k + 11 * seed) % model.info()["vocab"] for k in range(count)]


class Slices:
    """Steps without end, and how fast prompts come along in them."""

    def __init__(self, model: _core.Model, threads: int) -> None:
        self.model = model
        self.session = _core.Session(model, context=PROMPT + GENERATE, threads=threads)
        self.prompt_ns = self.prompts = 0

    def times(self) -> Iterator[int]:
        """Nanoseconds of each step that spent its budget."""
        while True:
            self.session.rewind(0)
            self.session.append(tokens(self.model, PROMPT))
            self.session.generate(GENERATE)
            event, reading = _core.STEP_PENDING, True
            while event != _core.STEP_DONE:
                begin = time.perf_counter_ns()
                event = self.session.step(MS)
                took = time.perf_counter_ns() - begin
                if reading:
                    self.prompt_ns += took
                    reading = self.session.tokens()[0] < PROMPT
                    self.prompts += not reading
                if event == _core.STEP_PENDING:
                    yield took


def spins() -> Iterator[int]:
    while True:
        begin = now = time.perf_counter_ns()
        while now - begin < MS:
            now = time.perf_counter_ns()
        yield now - begin


def overshoot(model: _core.Model, threads: int, slices: int, frame_ms: float) -> dict[str, object]:
    ours = Slices(model, threads)
    kinds = {"step": ours.times(), "spin": spins()}
    over: dict[str, list[float]] = {name: [] for name in kinds}
    while len(over["step"]) < slices:
        time.sleep(max(0.0, frame_ms - 1) / 1000)
        for name, kind in kinds.items():
            over[name].append((next(kind) - MS) / MS)
    at = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
    result = {}
    for name, times in over.items():
        times.sort()
        result[name] = {q: times[min(len(times) - 1, int(part * len(times)))] for q, part in at.items()}
    result["beyond"] = {q: result["step"][q] - result["spin"][q] for q in at}
    rounded = {name: {q: round(t, 4) for q, t in times.items()} for name, times in result.items()}
    speed = PROMPT * ours.prompts / ours.prompt_ns * 1e9
    return rounded | {"slices": slices, "prompt_tok_s": round(speed, 1)}


def generate(session: _core.Session, budget: int) -> None:
    session.generate(GENERATE)
    while session.step(budget) != _core.STEP_DONE:
        pass


def rates(model: _core.Model, session: _core.Session, budget: int) -> tuple[float, float]:
    """Prompt and generated tokens a second."""
    session.rewind(0)
    session.append(tokens(model, PROMPT))
    begin = time.perf_counter()
    while session.step(budget) == _core.STEP_PENDING:
        pass
    middle = time.perf_counter()
    generate(session, budget)
    return PROMPT / (middle - begin), GENERATE / (time.perf_counter() - middle)


def sliced(model: _core.Model, threads: int, repeat: int) -> dict[str, object]:
    session = _core.Session(model, context=PROMPT + GENERATE, threads=threads)
    rates(model, session, 0)
    runs = [(rates(model, session, 0), rates(model, session, 2 * MS)) for _ in range(repeat)]
    whole, cut = (
        [statistics.median(side) for side in zip(*part, strict=True)] for part in zip(*runs, strict=True)
    )
    return {
        "prompt": round(cut[0] / whole[0], 3),
        "generate": round(cut[1] / whole[1], 3),
        "prompt_tok_s": round(whole[0], 1),
        "generate_tok_s": round(whole[1], 1),
    }


def batch(model: _core.Model, threads: int, repeat: int) -> dict[str, object]:
    together = _core.Batch(model, threads=threads)
    members = [_core.Session(model, context=256, batched=True) for _ in range(SESSIONS)]
    for member in members:
        together.add(member)
    alone = _core.Session(model, context=256, threads=threads)

    def many() -> float:
        for seed, member in enumerate(members):
            member.replace(tokens(model, 100, seed))
            while together.step().count(_core.STEP_IDLE) < SESSIONS:
                pass
        for member in members:
            member.append([5])  # what follows a prompt whose logits are gone with the batch's next pass
            member.generate(GENERATE)
        begin = time.perf_counter()
        made = 0
        while made < SESSIONS * GENERATE:
            events = together.step()
            made += events.count(_core.STEP_TOKEN)
            if _core.STEP_TOKEN not in events and _core.STEP_DONE not in events:
                break
        return made / (time.perf_counter() - begin)

    def one() -> float:
        alone.replace(tokens(model, 100))
        alone.step()
        begin = time.perf_counter()
        generate(alone, 0)
        return GENERATE / (time.perf_counter() - begin)

    many()
    one()
    runs = [(one(), many()) for _ in range(repeat)]
    single, five = (statistics.median(side) for side in zip(*runs, strict=True))
    return {"ratio": round(five / single, 3), "one_tok_s": round(single, 1), "five_tok_s": round(five, 1)}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--slices", type=int, default=20_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--taken", type=busy.numbers, default=[], help="cores on which others spin")
    parser.add_argument("--loops", type=int, default=1, help="how many on each")
    parser.add_argument("--frame", type=float, default=0, help="milliseconds from a slice to the next; 0: none")
    parser.add_argument("--only", choices=["sliced", "batch", "overshoot"])
    args = parser.parse_args()
    model = tinsmith.load(hub.pull(args.model)).core
    parts: dict[str, Callable[[], dict[str, object]]] = {
        "sliced": lambda: sliced(model, args.threads, args.repeat),
        "batch": lambda: batch(model, args.threads, args.repeat),
        "overshoot": lambda: overshoot(model, args.threads, args.slices, args.frame),
    }
    with busy.busy_loops(args.taken * args.loops):
        result = {
            "isa": model.info()["isa"],
            "threads": args.threads,
            "loops": len(args.taken) * args.loops,
        } | {name: part() for name, part in parts.items() if args.only in (None, name)}
    json.dump(result, sys.stdout, indent=2)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
