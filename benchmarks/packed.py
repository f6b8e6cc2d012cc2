"""Measures LoRA training on a base that stays in its blocks, beside the same base unpacked; prints JSON.

    python benchmarks/packed.py [qwen3-0.6b | qwen3.5-9b | ...] [--format q4_k] [--tokens 320] [--packed-only]

The model has a known shape and random blocks, which are written to a GGUF file a piece at a time. Each way of
training is a process of its own: its peak is what the system says was resident at most, from the start of
Python on, pages of the file among it; its step the median. Seconds are of the clock, cpu_seconds of all
threads, which bear other work on the machine better. predicted_peak is what training says before its first
step.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from random_model import SHAPES, drawn, padded_tokenizer

from tinsmith import _core, models
from tinsmith.formats.weights import WEIGHT_FORMATS
from tinsmith.models import Spec, Tensor, family
from tinsmith.spec import Buffer

PIECE = 1 << 16  # blocks that are drawn; a matrix repeats them


class Draw:
    """Random blocks on their way to the file: quant.encoder's place in models.save_gguf."""

    file_type = 0

    def __init__(self, format: str) -> None:
        self.format = format
        self.rng = np.random.default_rng(1)
        self.drawn: dict[int, bytes] = {}

    def __call__(self, spec: Spec, names: Sequence[Any]) -> Iterable[tuple[str, Iterable[Buffer]]]:
        kind = WEIGHT_FORMATS[self.format]
        for name, _ in names:
            if name.rows == 1 or name.inputs % kind.block:
                tensor = drawn("Q8_0", name.role, name.all_rows, name.inputs, self.rng)
                yield tensor.format, [tensor.data]
            else:
                yield self.format, self.pieces(name.all_rows * name.inputs // kind.block, name.inputs)

    def pieces(self, count: int, inputs: int) -> Iterator[bytes]:
        """Blocks, drawn once for each width of matrix."""
        data = self.drawn[inputs] = self.drawn.get(inputs) or self.draw(inputs)
        for begin in range(0, count, PIECE):
            yield data[: min(PIECE, count - begin) * WEIGHT_FORMATS[self.format].bytes]

    def draw(self, inputs: int) -> bytes:
        """Values of mean 0 and variance 1 / inputs."""
        kind, layout = WEIGHT_FORMATS[self.format], _core.block_layout(self.format)
        blocks = self.rng.integers(0, 256, (PIECE, kind.bytes), np.uint8)
        places = [layout["halves"] + k for k in range(0, layout["half_bytes"], 2)]

        def values(*halves: float) -> np.ndarray:
            for place, half in zip(places, halves, strict=True):
                blocks[:, place : place + 2] = np.array([half], np.float16).view(np.uint8)
            sample = _core.dequantize(self.format, blocks[:512].tobytes(), 1, 512 * kind.block)
            return np.frombuffer(sample, np.float32)

        halves = [1.0]
        if len(places) == 2:  # a scale and a minimum, which takes the mean away
            halves.append(-values(1.0, 0.0).mean() / values(0.0, 1.0).mean())
        size = values(*halves).std() * inputs**0.5
        values(*(half / size for half in halves))
        return blocks.tobytes()


def write(shape: str, format: str, path: Path) -> None:
    kind, config = SHAPES[shape]
    model = family.by_name(kind)
    hyper = model.hyper_from_hf({"rms_norm_eps": 1e-6, "tie_word_embeddings": True, **config})
    # The data are drawn as they are written.
    tensors = {name.role: Tensor("F32", name.all_rows, name.inputs, b"") for name in model.tensors(hyper)}
    spec = Spec(kind, hyper, tensors, padded_tokenizer(hyper.vocab), None, {"name": "random"})
    models.save_gguf(spec, path, encode=Draw(format))


def train(path: str, keep_packed: bool, tokens: int, steps: int, threads: int) -> dict[str, Any]:
    """As LoraLoop does, without validation and files."""
    import torch

    from tinsmith.system import memory as machine
    from tinsmith.train.batches.sequences import TokenSequence
    from tinsmith.train.footprint import memory
    from tinsmith.train.model import devices, network
    from tinsmith.train.options import TrainOptions

    torch.set_num_threads(threads)
    options = TrainOptions()
    spec = models.load(path)
    source = random.Random(0)

    def some(count: int) -> tuple[int, ...]:
        return tuple(source.randrange(spec.hyper.vocab) for _ in range(count))

    batch = [TokenSequence(some(40), some(25)) for _ in range(tokens // 64)]
    matrices, _ = devices.matrices(spec, devices.CPU)
    built = network.build(spec, matrices, options.rank, options.alpha, keep_packed=keep_packed)
    digest = hashlib.sha256()  # as a run's digest reads it all
    for tensor in spec.tensors.values():
        digest.update(tensor.data)
    note, predicted, _ = memory.plan(built, [batch], 0, keep_packed)
    print(note, file=sys.stderr, flush=True)
    assert predicted is not None
    optimizer = torch.optim.AdamW(built.parameters().values(), 1e-4, fused=True)
    seconds, cpu_seconds, losses = [], [], []
    for _ in range(steps):
        begun, cpu_begun = time.monotonic(), time.process_time()
        loss = built.answer_losses(built.pack(batch, 0))[0].mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.monotonic() - begun)
        cpu_seconds.append(time.process_time() - cpu_begun)
        losses.append(round(loss.item(), 4))
        print(
            f"step: {seconds[-1]:.1f} s, cpu {cpu_seconds[-1]:.1f} s, loss {losses[-1]}",
            file=sys.stderr,
            flush=True,
        )
    peak = machine.most_resident()
    assert peak is not None
    return {
        "peak": peak,
        "predicted_peak": predicted.peak,
        "prediction_error": round(predicted.peak / peak - 1, 4),
        "step_seconds": round(statistics.median(seconds), 3),
        "step_cpu_seconds": round(statistics.median(cpu_seconds), 3),
        "losses": losses,
        "note": note,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("shape", nargs="?", default="qwen3-0.6b", choices=SHAPES)
    parser.add_argument("--format", default="q4_k", choices=[name.lower() for name in WEIGHT_FORMATS])
    parser.add_argument("--tokens", type=int, default=320, help="in a batch, of sequences of 64")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--packed-only", action="store_true", help="where the floats would not fit")
    parser.add_argument("--one", metavar="FILE", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        way = train(args.one, args.packed_only, args.tokens, args.steps, args.threads)
        print(json.dumps(way))
        return 0
    report: dict[str, Any] = {name: getattr(args, name) for name in ("shape", "format", "tokens", "threads")}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "base.gguf"
        write(args.shape, args.format.upper(), path)
        report["file"] = path.stat().st_size
        for way in ("packed",) if args.packed_only else ("float", "packed"):
            command = [sys.executable, __file__, args.shape, "--one", str(path)]
            command += [f"--{name}={getattr(args, name)}" for name in ("tokens", "steps", "threads")]
            command += ["--packed-only"] if way == "packed" else []
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            report[way] = json.loads(done.stdout)
    if "float" in report:
        for key, name in (
            ("peak", "peak_ratio"),
            ("step_seconds", "step_ratio"),
            ("step_cpu_seconds", "step_cpu_ratio"),
        ):
            report[name] = round(report["packed"][key] / report["float"][key], 3)
    print(json.dumps(report, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
