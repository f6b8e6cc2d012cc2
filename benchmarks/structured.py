"""What a constraint saves: model evaluations and time of the answers of a tin that carries one, free and
constrained.

    python benchmarks/structured.py home-q8_0.tin test.jsonl [--items 100] [--threads 2]
        [--lookups 0,4] [--system home]

Items are drawn evenly from the parts, and all ways to answer take turns item by item, so that a busy moment
of the machine falls on all alike. An evaluation is a pass of the model, the prompt's included. Prints one
line of JSON, by lookup: means of both ways, the constrained in per cent of the free, and how often each is
valid and exact.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import tinsmith
from tinsmith import tasks
from tinsmith.data.readers import read_jsonl
from tinsmith.evaluate.baselines import stratified
from tinsmith.tasks import Task

WAYS: dict[str, dict[str, Any]] = {"free": {"constraint": None}, "constrained": {}}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("tin")
    parser.add_argument("test", type=Path, help="examples, JSON lines")
    parser.add_argument("--items", type=int, default=0, help="0 for all")
    parser.add_argument("--task", default=tasks.DEFAULT)
    parser.add_argument("--system", default="", help="the recipe's system prompt, unless the template has it")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--lookups", default="0,4")
    parser.add_argument("--max-tokens", type=int, default=96)
    args = parser.parse_args()
    examples = read_jsonl(args.test)
    examples = stratified(examples, args.items, 0)
    lookups = [int(word) for word in args.lookups.split(",")]
    ways = [(lookup, way) for lookup in lookups for way in WAYS]
    # A model of its own for each: none finds another's prompt computed.
    loaded = {key: tinsmith.load(args.tin, threads=args.threads, conversations=1) for key in ways}
    answers: dict[tuple[int, str], list[Any]] = {key: [] for key in ways}
    for example in examples:
        asked = [{"role": "user", "content": example.input}]
        if args.system:
            asked.insert(0, {"role": "system", "content": args.system})
        for lookup, way in ways:
            reply = loaded[lookup, way].chat(asked, max_tokens=args.max_tokens, lookup=lookup, **WAYS[way])
            answers[lookup, way].append(reply)
    task, result = tasks.by_name(args.task), dict[str, Any](items=len(examples))
    for lookup in lookups:
        rows = {way: summary(task, examples, answers[lookup, way]) for way in WAYS}
        for key in ("evaluations", "ms"):
            rows[f"{key}_percent"] = round(100 * rows["constrained"][key] / rows["free"][key], 1)
        result[f"lookup_{lookup}"] = rows
    print(json.dumps(result))
    return 0


def summary(task: Task, examples: list[Any], replies: list[Any]) -> dict[str, Any]:
    labels = task.labels(example.output for example in examples)
    grades = [
        task.grade(reply.text, example.output, example.accept, labels)
        for reply, example in zip(replies, examples, strict=True)
    ]

    def mean(values: list[float]) -> float:
        return sum(values) / len(values)

    return {
        "evaluations": mean([reply.evaluations for reply in replies]),
        "ms": mean([1000 * reply.seconds for reply in replies]),
        "tokens": mean([len(reply.token_ids) for reply in replies]),
        "valid": mean([grade.valid for grade in grades]),
        "exact": mean([grade.exact for grade in grades]),
    }


if __name__ == "__main__":
    sys.exit(main())
