"""Time to a validation loss: tinsmith's LoRA beside transformers' Trainer with peft, on the same data.

    python benchmarks/training.py examples/home/recipe.toml --work runs/training
        [--rates 3e-4,6e-4,1.2e-3,2.4e-3] [--threads 2] [--examples 100] [--steps 30]

The contestants train on the recipe's examples as they are, rendered, tokenized and masked once for all (loss on
answers only), each in a process of its own with the same threads:

- tinsmith, by the recipe's defaults without augmentation;
- transformers' Trainer with peft's LoRA of the same rank, alpha, layers, epochs and warm-up, batches by length
  of as many examples as tinsmith's have on the mean (or --batch), at each of the --rates, in the fastest of
  --types: `float32`, `autocast` (bf16=True) or `bfloat16` (the base's weights too);
- Unsloth's recipe for Gemma 3 270M (unslothai/notebooks, `nb/Gemma3_(270M).ipynb`: rank and alpha 128, all
  linear layers, rate 5e-5 falling linearly after 5 steps, batches of 4, weight decay 0.001) by transformers and
  peft, as Unsloth itself needs a GPU: for as many epochs as the others instead of its 100 steps, with torch's
  AdamW instead of bitsandbytes' in 8 bits, and without gradient checkpointing.

The loss on the validation examples, the mean over their answers' tokens, is taken before the first step and
then --validations times an epoch, while the clock stands still. A contestant that was done with the same
settings and data is not run again (delete --work to measure anew); an interrupted one is. Prints one line of
JSON: of each run the curve of [step, seconds, seconds of all cores, loss], tokens (without padding) a second
and peak memory, and of each peer `share`: of the time that it took to its best loss, what tinsmith took to one
as good; `best_peer` is the rate with the lowest loss.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from contestants import TYPES, Contest, Peer, prepare, run_peer, run_tinsmith
from report import add_out, report

TINSMITH, UNSLOTH = "tinsmith", "unsloth"
PROBED = 12  # steps that tell which type is the fastest
CLOCKS = {"share": 1, "share_of_cores": 2}  # by places in a point of a curve


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--rates", default="3e-4,6e-4,1.2e-3,2.4e-3", help="of transformers and peft")
    parser.add_argument("--types", default=",".join(TYPES), help="of transformers, to choose the fastest from")
    parser.add_argument("--batch", type=int, help="examples in transformers' batch")
    parser.add_argument("--examples", type=int, help="of the training set, and at most of the validation set")
    parser.add_argument("--steps", type=int, default=0, help="where each run stops, for a trial")
    parser.add_argument("--validations", type=int, default=8, help="in an epoch")
    parser.add_argument("--threads", type=int, default=2)
    add_out(parser)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    os.environ |= {"OMP_NUM_THREADS": str(args.threads), "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    shared = (args.examples, args.steps, args.validations, args.threads)
    contest, like = alone(prepare, Contest(str(args.recipe.resolve()), str(args.work.resolve()), *shared))
    like = replace(like, batch=args.batch or like.batch)
    runs = {TINSMITH: settled(contest, TINSMITH, run_tinsmith)}
    types = args.types.split(",")
    speeds = {kind: probe(contest, replace(like, type=kind)) for kind in types} if len(types) > 1 else {}
    fastest = max(types, key=lambda kind: speeds.get(kind, 0.0))
    peers = {
        f"peft {rate:g}": replace(like, rate=rate, type=fastest) for rate in map(float, args.rates.split(","))
    }
    best = min(peers, key=lambda name: runs.setdefault(name, peer_run(contest, name, peers[name]))["best_loss"])
    runs[UNSLOTH] = peer_run(contest, UNSLOTH, unsloth(like.epochs, fastest))
    for run in (runs[name] for name in (*peers, UNSLOTH)):
        run |= {clock: share(runs[TINSMITH], run, place) for clock, place in CLOCKS.items()}
    result = {**asdict(contest), "types": speeds, "best_peer": best, "share": runs[best]["share"], "runs": runs}
    rows = [
        {
            "Contestant": name,
            "Seconds": round(run["seconds"]),
            "Tokens per second": round(run["tokens_per_second"]),
            "Memory, GB": round(run["peak_bytes"] / 1e9, 1),
            "Lowest loss": round(run["best_loss"], 3),
            "Share of the time": run.get("share"),
        }
        for name, run in runs.items()
    ]
    report(args.out, result, rows)
    return 0


def unsloth(epochs: int, kind: str) -> Peer:
    """By its notebook for Gemma 3 270M."""
    return Peer(
        rate=5e-5,
        type=kind,
        epochs=epochs,
        rank=128,
        alpha=128,
        batch=4,
        warmup=5,
        decay=0.001,
        seed=3407,
    )


def peer_run(contest: Contest, name: str, peer: Peer) -> dict[str, Any]:
    return settled(contest, name, run_peer, peer)


def probe(contest: Contest, like: Peer) -> float:
    """Tokens a second of a few steps."""
    few = replace(contest, steps=PROBED, validations=0)
    return float(peer_run(few, f"probe {like.type}", replace(like, rate=1e-4))["tokens_per_second"])


def settled(contest: Contest, name: str, run: Callable[..., Any], *peer: Peer) -> dict[str, Any]:
    """A run's report, from an earlier time where its settings and data were the same."""
    path = Path(contest.out) / f"{name.replace(' ', '-')}.json"
    wanted = json.loads(json.dumps([asdict(contest), *map(asdict, peer)]))
    if path.exists():
        report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if report["settings"] == wanted:
            return report
    report = {"settings": wanted, **alone(run, contest, *peer)}
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(report), encoding="utf-8")
    fresh.replace(path)
    told = ("steps", "seconds", "tokens_per_second", "best_loss")
    print(f"{name}: {', '.join(f'{key} {report[key]}' for key in told)}", file=sys.stderr)
    return report


def alone(run: Callable[..., Any], *arguments: Any) -> Any:
    """What the function gives in a process of its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(run, *arguments).result()


def share(ours: dict[str, Any], theirs: dict[str, Any], place: int) -> float | None:
    """Of the time that theirs took to its best loss, what ours took to one as good; None where ours took for
    ever, or theirs was best before its first step."""

    def reached(run: dict[str, Any]) -> float:
        good = (one[place] for one in run["curve"] if one[3] is not None and one[3] <= theirs["best_loss"])
        return float(next(good, math.inf))

    taken, given = reached(ours), reached(theirs)
    return None if math.isinf(taken) or not given else round(taken / given, 3)


if __name__ == "__main__":
    sys.exit(main())
