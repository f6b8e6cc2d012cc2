"""LoRA training of a hybrid model (gated delta rules, attention): packed rows beside padded ones, in one run.

    python benchmarks/hybrid_training.py examples/home/data/train-1000.jsonl

The model has Qwen3.5-0.8B's shape, of random weights and of as many layers as are asked for; lengths are those
of the examples under SmolLM2's tokenizer. A step is a forward and a backward pass of a batch, as training makes
it. Padded rows are computed as transformers computes them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from itertools import islice
from pathlib import Path

import torch
from random_model import random_spec

import tinsmith
from tinsmith import hub, models
from tinsmith.data.readers import Example
from tinsmith.train.batches.packing import Packing, pack, pad
from tinsmith.train.batches.sequences import Tokenization, TokenSequence, batches, shared_prefix
from tinsmith.train.model import devices, network


def sequences_of(path: Path, count: int) -> list[TokenSequence]:
    base = hub.pull("smollm2-135m-instruct")
    model = tinsmith.load(str(base))
    rows = [json.loads(line) for line in islice(path.read_text().splitlines(), count)]
    tokenize = Tokenization(
        models.load(base), lambda text: model.tokenize(text, special=True), "call", "home", 512
    )
    return tokenize([Example(row["input"], row["output"]) for row in rows])


def step(built: network.Network, packing: Packing) -> tuple[float, float]:
    """Seconds, of the clock and of all cores."""
    begun, worked = time.perf_counter(), time.process_time()
    losses, _ = built.answer_losses(packing)
    losses.mean().backward()
    taken = time.perf_counter() - begun, time.process_time() - worked
    built.model.zero_grad()
    return taken


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("examples", type=Path)
    parser.add_argument("--layers", type=int, default=24, help="a multiple of 4")
    parser.add_argument("--steps", type=int, default=8, help="of each, taken in turns")
    parser.add_argument("--batch-tokens", type=int, default=640)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    sequences = sequences_of(args.examples, 1000)
    shared = len(shared_prefix(sequences))
    spec = random_spec("qwen3.5-0.8b", "Q8_0", layers=args.layers)
    matrices, _ = devices.matrices(spec, devices.CPU)
    built = network.build(spec, matrices, 16, 32.0)
    plans = {
        "padded": [pad(batch) for batch in batches(sequences, args.batch_tokens, 0, 0, 0, padded=True)],
        "packed": [pack(batch, shared) for batch in batches(sequences, args.batch_tokens, shared, 0, 0)],
    }
    speeds: dict[str, list[tuple[float, float]]] = {way: [] for way in plans}
    for number in range(args.steps + 1):
        for way, plan in plans.items():
            packing = plan[number]
            tokens = sum(end - begin for begin, end in packing.spans) + packing.shared * packing.sequences
            taken = step(built, packing)
            if number:  # the first step warms up
                speeds[way].append((tokens / taken[0], tokens / taken[1]))
    medians = {
        way: [statistics.median(kind) for kind in zip(*given, strict=True)] for way, given in speeds.items()
    }
    lengths = sorted(map(len, sequences))
    report = {
        "layers": args.layers,
        "threads": args.threads,
        "matrices": str(matrices).removeprefix("torch."),
        "shared_prefix": shared,
        "median_length": lengths[len(lengths) // 2],
        "tokens_per_second": {way: round(value[0], 1) for way, value in medians.items()},
        "tokens_per_core_second": {way: round(value[1], 1) for way, value in medians.items()},
        "ratio": round(medians["packed"][0] / medians["padded"][0], 2),
        "core_ratio": round(medians["packed"][1] / medians["padded"][1], 2),
        "steps": {way: [[round(x, 1) for x in pair] for pair in given] for way, given in speeds.items()},
    }
    print(json.dumps(report, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
