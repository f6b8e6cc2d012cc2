"""Which rows of an output head its upper bits rule out: whether a greedy choice could be made in two steps.

    python benchmarks/head_bounds.py FILE TEXT [--states 64] [--top 1]

FILE: a .gguf or a folder; TEXT: a text, cut into so many pieces, behind which the head is asked. Its weights
are taken as Q8_0, split into the upper bits and the rest. A row's rest is at most half a step of the upper bits
times the sum of a block's activations: rows that even so come below the --top best are ruled out.

Prints one line of JSON: by the number of upper bits, the share of rows that are left, as the mean and the most,
that of the tiles of 16 rows which hold one, and what would be read of the head: all upper bits, and the rest of
those tiles.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

import tinsmith
from tinsmith import _core, models

BLOCK, BITS = 32, (4, 5, 6)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("text", type=Path)
    parser.add_argument("--states", type=int, default=64)
    parser.add_argument("--top", type=int, default=1)
    args = parser.parse_args()
    quants, scales = head(args.file)
    states = hidden(args.file, args.text.read_text(encoding="utf-8"), args.states)
    shares = {bits: share(quants, scales, states, bits, args.top) for bits in BITS}
    print(json.dumps({"file": args.file.name, "states": len(states), "top": args.top, "bits": shares}))
    return 0


def head(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """int8 [rows, blocks, 32] and their scales, float32 [rows, blocks]."""
    spec = models.load(file)
    tensor = spec.tensors.get("output", spec.tensors["embed"])
    floats = _core.dequantize(tensor.format, tensor.data, tensor.rows, tensor.inputs)
    blocks = np.frombuffer(floats, np.float32).reshape(tensor.rows, -1, BLOCK)
    scales = np.abs(blocks).max(-1) / 127
    return np.rint(blocks / np.where(scales, scales, 1)[..., None]).astype(np.int8), scales


def hidden(file: Path, text: str, count: int) -> np.ndarray:
    """float32 [count, blocks, 32]."""
    size = len(text) // count
    model = tinsmith.load(file)
    pieces = [text[k * size : (k + 1) * size] for k in range(count)]
    return np.stack([np.asarray(state) for state in model.states(pieces)]).reshape(count, -1, BLOCK)


def share(quants: np.ndarray, scales: np.ndarray, states: np.ndarray, bits: int, top: int) -> dict[str, float]:
    step = 1 << (8 - bits)
    upper = (quants.astype(np.int16) // step * step + (step - 1) / 2).astype(np.float32) * scales[..., None]
    coarse = np.einsum("rbi,sbi->sr", upper, states, optimize=True)
    rest = np.einsum("rb,sb->sr", scales * (step - 1) / 2, np.abs(states).sum(-1))
    least = np.partition(coarse - rest, -top, axis=1)[:, -top]
    left = coarse + rest >= least[:, None]
    tiles = left[:, : left.shape[1] // 16 * 16].reshape(len(left), -1, 16).any(-1)
    read = bits / 8 + (1 - bits / 8) * tiles.mean()
    rows = left.mean(1)
    figures = {"rows": rows.mean(), "most": rows.max(), "tiles": tiles.mean(), "read": read}
    return {name: round(float(value), 4) for name, value in figures.items()}


if __name__ == "__main__":
    raise SystemExit(main())
