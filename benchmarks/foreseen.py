"""What drafts of a model's own layer (multi-token prediction) are worth to sessions of a batch.

    python benchmarks/foreseen.py [--shape qwen3.5-0.8b] [--layers N] [--sessions 1,2,4,8] [--tokens 48]

Weights are random, but so that the layer is always right: nothing adds to a token's embedding, which the head
answers with the next token of the vocabulary, and the layer passes on what it is told. Or always wrong, where
it passes on noise. Nothing comes twice, so that nothing is drafted by what stands earlier. Times
are the processor's, on one thread, of the answers behind their prompts, medians of runs by turns, as a share of
those without drafts.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from dataclasses import replace

import numpy as np
from random_model import SHAPES, random_spec

from tinsmith import _core
from tinsmith.compiler import build_image
from tinsmith.models import Spec, Tensor

FORMAT, BLOCK, BYTES = "Q4_0", 32, 18
PROMPT, RUNS = 16, 3


def scaled(tensor: Tensor, scales: np.ndarray) -> Tensor:
    """With those scales of its blocks times [rows, 1]."""
    blocks = np.frombuffer(tensor.data, np.uint8).reshape(tensor.rows, -1, BYTES).copy()
    old = blocks[:, :, :2].copy().view(np.float16)[:, :, 0]
    blocks[:, :, :2] = (old * scales).astype(np.float16)[:, :, None].view(np.uint8)
    return replace(tensor, data=blocks.tobytes())


def passing_on(dim: int) -> Tensor:
    """[dim, 2 * dim] that takes the first half as it is."""
    blocks = np.full((dim, 2 * dim // BLOCK, BYTES), 0x88, np.uint8)
    blocks[:, :, :2] = np.array([-1 / 8], np.float16).view(np.uint8)
    for k in range(dim):
        place = k % BLOCK
        blocks[k, k // BLOCK, 2 + place % 16] = 0x80 if place < 16 else 0x08
    return Tensor(FORMAT, dim, 2 * dim, blocks.tobytes())


def foreseeing(shape: str, layers: int | None, *, right: bool) -> Spec:
    SHAPES[shape][1]["tie_word_embeddings"] = False
    spec = random_spec(shape, FORMAT, layers, mtp=True)
    tensors = dict(spec.tensors)
    for role, tensor in spec.tensors.items():
        if role.endswith((".o", ".down")):
            tensors[role] = scaled(tensor, np.zeros((tensor.rows, 1)))
    embeddings = np.frombuffer(spec.tensors["embed"].data, np.uint8).reshape(spec.hyper.vocab, -1)
    tensors["head"] = replace(spec.tensors["head"], data=np.roll(embeddings, 1, axis=0).tobytes())
    if right:
        tensors["mtp.fc"] = passing_on(spec.hyper.dim)
    return replace(spec, tensors=tensors)


def seconds(model: _core.Model, count: int, tokens: int, lookup: int) -> tuple[float, int, list[list[int]]]:
    """Of so many answers at once; passes; the answers."""
    batch, sessions = _core.Batch(model, rows=count * PROMPT), []
    for k in range(count):
        session = _core.Session(model, context=256, chunk=64, logit_rows=8, batched=True, checkpoints=1)
        session.append([300 + 1000 * k + j for j in range(PROMPT)])
        batch.add(session)
        sessions.append(session)
    batch.step()
    for session in sessions:
        session.generate(tokens, lookup)
    answers: list[list[int]] = [[] for _ in sessions]
    begun = time.process_time()
    events = [_core.STEP_TOKEN]
    # The last tokens of an answer, drafted together, come one by one after its finish is known.
    while _core.STEP_TOKEN in events or not all(session.finish() for session in sessions):
        events = batch.step()
        for session, event, answer in zip(sessions, events, answers, strict=True):
            if event == _core.STEP_TOKEN:
                answer.append(session.token())
    return time.process_time() - begun, max(session.passes() for session in sessions), answers


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--shape", default="qwen3.5-0.8b", choices=[s for s in SHAPES if s.startswith("qwen3.5")]
    )
    parser.add_argument("--layers", type=int)
    parser.add_argument("--sessions", default="1,2,4,8")
    parser.add_argument("--tokens", type=int, default=48)
    args = parser.parse_args()
    for right in (True, False):
        model = _core.Model(build_image(foreseeing(args.shape, args.layers, right=right)))
        for count in map(int, args.sessions.split(",")):
            runs = [[seconds(model, count, args.tokens, lookup) for lookup in (0, 1)] for _ in range(RUNS)]
            assert all(plain[2] == drafted[2] for plain, drafted in runs)
            row = {
                "sessions": count,
                "right": right,
                "passes": [runs[0][k][1] for k in (0, 1)],
                "share": round(statistics.median(drafted[0] / plain[0] for plain, drafted in runs), 3),
                "ms_per_token": round(
                    statistics.median(plain[0] for plain, _ in runs) / count / args.tokens * 1e3, 2
                ),
            }
            print(json.dumps(row), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
