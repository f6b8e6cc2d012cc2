"""Rollouts of a policy, a base with an adapter: our runtime beside transformers' generate with a cache.

    python benchmarks/rollouts.py BASE ADAPTER_DIR EXAMPLES.jsonl [--threads 1] [--rounds 3] [--prompts 8]
        [--group 8] [--batches 1,8,64]

BASE: a GGUF file or a Hugging Face folder; ADAPTER_DIR: a folder in peft's format, trained on it. Each of the
first prompts is answered as often as a group is large, at temperature 1, until an answer ends. Ours is what
`train.method = "grpo"` draws with, the swap of the adapter included. transformers has peft's adapter on its
own model, in float32 and in bfloat16, and draws so many answers at once, their prompts padded; one at a time,
of one answer a prompt.

Everything runs once in each round, in turns. Prints one line of JSON: `tokens_s`, by the clock, and
`tokens_cpu_s`, by the processor time of this process, which other work on the machine disturbs less: tokens
of answers with their ends, medians over the rounds; `ratios` of ours to each in the same round, by processor
time, as the median.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

import tinsmith
from tinsmith import models
from tinsmith.data.readers import read_jsonl
from tinsmith.train.adapters import peft_folder
from tinsmith.train.job import Job
from tinsmith.train.methods.grpo import GrpoTrainee
from tinsmith.train.model import network
from tinsmith.train.options import TrainOptions

Rounds = dict[str, list[tuple[int, float, float]]]  # tokens, seconds, seconds of the processor


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("base", type=Path)
    parser.add_argument("adapter", type=Path)
    parser.add_argument("examples", type=Path)
    for name, default in (("threads", 1), ("rounds", 3), ("prompts", 8), ("group", 8)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument(
        "--batches", type=lambda text: [int(one) for one in text.split(",")], default=[1, 8, 64]
    )
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    with tempfile.TemporaryDirectory() as folder:
        trainee = trainee_of(args, Path(folder))
        tasks = {"ours": ours(trainee), **theirs(trainee, args)}
        rounds: Rounds = {name: [] for name in tasks}
        for _ in range(args.rounds):
            for name, task in tasks.items():
                began, used = time.perf_counter(), time.process_time()
                tokens = task()
                rounds[name].append((tokens, time.perf_counter() - began, time.process_time() - used))
    print(json.dumps(summary(rounds, args)))
    return 0


def summary(rounds: Rounds, args: argparse.Namespace) -> dict[str, Any]:
    rates = {name: [tokens / used for tokens, _, used in rows] for name, rows in rounds.items()}
    return {
        "threads": args.threads,
        "prompts": args.prompts,
        "group": args.group,
        "tokens": {name: rows[0][0] for name, rows in rounds.items()},
        "tokens_s": {
            name: round(statistics.median(tokens / took for tokens, took, _ in rows), 1)
            for name, rows in rounds.items()
        },
        "tokens_cpu_s": {name: round(statistics.median(rows), 1) for name, rows in rates.items()},
        "ratios": {
            name: round(statistics.median(own / one for own, one in zip(rates["ours"], rows, strict=True)), 2)
            for name, rows in rates.items()
            if name != "ours"
        },
    }


def trainee_of(args: argparse.Namespace, folder: Path) -> GrpoTrainee:
    examples = read_jsonl(args.examples)[: args.prompts]
    spec = replace(models.load(args.base), chat_template=peft_folder.template(args.adapter))
    tokenizer = tinsmith.load(args.base)
    options = TrainOptions(
        rank=peft_folder.rank(args.adapter), qat=None, epochs=1, prompts=args.prompts, rollouts=args.group
    )

    def encode(text: str) -> list[int]:
        return tokenizer.tokenize(text, special=True)

    trainee = GrpoTrainee(Job(spec, examples, examples, options, folder, encode, start=args.adapter))
    trainee.prepare(lambda event: None)
    return trainee


def ours(trainee: GrpoTrainee) -> Callable[[], int]:
    def roll() -> int:
        trainee.items(trainee.epochs[0][0], 0)
        assert trainee.told
        return round(trainee.told.tokens * trainee.told.prompts * trainee.options.rollouts)

    return roll


def theirs(trainee: GrpoTrainee, args: argparse.Namespace) -> dict[str, Callable[[], int]]:
    from peft import PeftModel

    tasks: dict[str, Callable[[], int]] = {}
    prompts = [one.prompt for one in trainee.epochs[0][0]]
    for kind in (torch.float32, torch.bfloat16):
        base = network.base_model(trainee.spec, "sdpa")
        model = PeftModel.from_pretrained(base, args.adapter).to(kind).eval()
        for size in args.batches:
            given = [prompt for prompt in prompts for _ in range(args.group if size > 1 else 1)]
            batches = [padded(given[begin : begin + size], trainee.end) for begin in range(0, len(given), size)]
            name = f"transformers {str(kind).rpartition('.')[2]}, {size} at once"
            tasks[name] = partial(rolled, model, batches, trainee)
    return tasks


def padded(prompts: Sequence[Sequence[int]], filler: int) -> dict[str, torch.Tensor]:
    """Prompts that end alike."""
    width = max(map(len, prompts))
    rows = [[filler] * (width - len(one)) + list(one) for one in prompts]
    masks = [[0] * (width - len(one)) + [1] * len(one) for one in prompts]
    return {"input_ids": torch.tensor(rows), "attention_mask": torch.tensor(masks)}


def rolled(model: Any, batches: Sequence[dict[str, torch.Tensor]], trainee: GrpoTrainee) -> int:
    """Tokens of the answers, their ends among them."""
    ends = set(trainee.spec.tokenizer.end_tokens)
    tokens = 0
    for batch in batches:
        given = model.generate(
            **batch,
            do_sample=True,
            temperature=1.0,
            top_k=0,
            max_new_tokens=trainee.room,
            use_cache=True,
            eos_token_id=list(ends),
            pad_token_id=trainee.end,
        )
        for answer in given[:, batch["input_ids"].shape[1] :].tolist():
            tokens += next((k for k, token in enumerate(answer) if token in ends), len(answer) - 1) + 1
    return tokens


if __name__ == "__main__":
    sys.exit(main())
