"""What training's C functions take beside torch's operations, forward and backward: attention over a packed
row, RMS norms, gated activations, and the gated delta rule with its gated norm.

    python benchmarks/fused.py [--threads 1] [--rows 640] [--heads 9] [--groups 3] [--width 64] [--inner 1536]

Sequences of 7 to 33 tokens behind a shared prefix of 6, bfloat16 where training has it; by default the sizes of
SmolLM2-135M, and of the delta rule Qwen3.5-0.8B's. Both ways take turns, and the fastest of each counts. Prints
one line of JSON, milliseconds."""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from tinsmith.train.batches.packing import Packing, Scoring, pack
from tinsmith.train.batches.sequences import TokenSequence
from tinsmith.train.layers import attention, fused, mixing

SHARED, TURNS, EPSILON = 6, 60, 1e-5
HEADS, VALUES = 16, 128  # of a delta rule
Way = Callable[[], Tensor]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name, default in {
        "threads": 1,
        "rows": 640,
        "heads": 9,
        "groups": 3,
        "width": 64,
        "inner": 1536,
    }.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    packing = packed(args.rows)
    rows, dim = packing.tokens.shape[1], args.heads * args.width
    query, key = drawn(rows, args.heads, args.width), drawn(rows, args.groups, args.width)
    value = drawn(rows, args.groups, args.width, narrow=True)
    row = packing, Scoring(args.width**-0.5)
    x, weight = drawn(rows, dim), torch.rand(dim)
    gate, up = (drawn(rows, args.inner, narrow=True) for _ in range(2))
    mixed, z = drawn(rows, 3 * HEADS * VALUES, narrow=True), drawn(rows, HEADS, VALUES, narrow=True)
    rates, steps, wide = -torch.rand(rows, HEADS), torch.rand(rows, HEADS), torch.rand(VALUES)
    rule = mixed, rates, steps, (HEADS, VALUES), packing, EPSILON
    result: dict[str, Any] = {**vars(args), "rows": rows, "milliseconds": {}}
    for name, torch_way, c_way, inputs in [
        (
            "attention",
            lambda: attention.attend_by_torch(query, key, value, *row),
            lambda: fused.attend(query, key, value, *row),
            [query, key, value],
        ),
        (
            "norm",
            lambda: (x * (x.square().mean(-1, keepdim=True) + EPSILON).rsqrt() * weight).bfloat16(),
            lambda: fused.rms_norm(x, weight, EPSILON, torch.bfloat16),
            [x],
        ),
        ("gated", lambda: functional.silu(gate) * up, lambda: fused.gated(gate, up), [gate, up]),
        (
            "delta",
            lambda: mixing.gated_norm(mixing.delta_rule_by_torch(*rule), z, wide, EPSILON),
            lambda: fused.gated_norm(fused.delta_rule(*rule), z, wide, EPSILON),
            [mixed, z],
        ),
    ]:
        result["milliseconds"][name] = fastest({"torch": torch_way, "c": c_way}, inputs)
    print(json.dumps(result))
    return 0


def packed(rows: int) -> Packing:
    source, prefix, batch = random.Random(0), tuple(range(SHARED)), list[TokenSequence]()
    while sum(len(one) - SHARED for one in batch) < rows - 40:
        parts = [
            tuple(source.randrange(9) for _ in range(source.randrange(*span))) for span in ((5, 20), (2, 15))
        ]
        batch.append(TokenSequence((*prefix, *parts[0]), parts[1]))
    return pack(batch, SHARED)


def drawn(*shape: int, narrow: bool = False) -> Tensor:
    return torch.randn(shape, dtype=torch.bfloat16 if narrow else torch.float32).requires_grad_(True)


def fastest(ways: dict[str, Way], inputs: list[Tensor]) -> dict[str, float]:
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(TURNS):
        for name, way in ways.items():
            begun = time.perf_counter()
            out = way()
            torch.autograd.grad(out, inputs, torch.ones_like(out))
            best[name] = min(best[name], 1000 * (time.perf_counter() - begun))
    return {name: round(value, 3) for name, value in best.items()}


if __name__ == "__main__":
    sys.exit(main())
