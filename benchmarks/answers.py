"""What a whole answer takes: a task's held-out questions to ours, free and constrained, with and without the
draft table, to llama.cpp, free and with a grammar, and to onnxruntime-genai, free and with llguidance.

    python benchmarks/answers.py FILE.tin TEST.jsonl [--gguf F.gguf] [--genai FOLDER] [--tools F | --schema F]
        [--task call] [--system home] [--items 0] [--threads 2] [--rounds 1]

TEST: examples, JSON lines, drawn evenly from their parts. --gguf, --genai: the same weights for the peers, as
`tinsmith build` leaves them, and as onnxruntime_genai.models.builder makes them of the run's merged/; a peer
that is not given, or not installed, is left out, and `left_out` says why. --tools, --schema: what answers may
be, as the peers take it; of a classification, the labels of TEST. Our own is the tin's.

Peers get the tokens of our prompts, and llama.cpp keeps those that they share with the last. All take turns
item by item, so that a busy moment falls on all. An evaluation is a pass that makes logits, the prompt's
included; a peer makes one a token.

Prints one line of JSON: by contestant the mean and median milliseconds an answer, `evaluations` and `tokens` an
answer, `bytes` of weights read an answer (at most: a pass under a constraint reads less of the head), how many
are exact; `ratios` of the means to those of our constrained answers with the table; `same`: whether our answers
are equal with the table and without.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import tinsmith
from tinsmith import tasks
from tinsmith.data.readers import Example, read_jsonl
from tinsmith.evaluate.baselines import stratified

OURS = "ours constrained drafts"


@dataclass(frozen=True)
class Said:
    text: str
    tokens: int
    evaluations: int


Ask = Callable[[list[int]], Said]


@dataclass
class Contestant:
    """weights: bytes of a pass."""

    ask: Ask
    weights: int
    ms: list[float] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)

    def answer(self, prompt: list[int]) -> None:
        begun = time.perf_counter()
        self.said.append(self.ask(prompt))
        self.ms.append(1000 * (time.perf_counter() - begun))


def main() -> int:
    args = parsed()
    examples = read_jsonl(args.test)
    schema = schema_of(args, examples)
    examples = [examples[k] for k in stratified(examples, args.items, 0)]
    model = tinsmith.load(args.tin, threads=args.threads)
    task, left_out = tasks.by_name(args.task), dict[str, str]()
    prompts = [model.render(task.messages(example, args.system)) for example in examples]
    contestants = ours(args)
    for name, given, module, peers in (
        ("llama.cpp", args.gguf, "llama_cpp", llama_cpp),
        ("onnxruntime-genai", args.genai, "onnxruntime_genai", genai),
    ):
        if given is None or find_spec(module) is None:
            left_out[name] = "not given" if given is None else f"{module} is not installed"
            continue
        contestants |= peers(args, schema, model.end_token)
    for _ in range(args.rounds):
        for prompt in prompts:
            for contestant in contestants.values():
                contestant.answer(prompt)
    rows = {name: summary(one, task, examples) for name, one in contestants.items()}
    print(
        json.dumps(
            {
                "file": args.tin.name,
                "items": len(examples),
                "threads": args.threads,
                "isa": model.info.isa,
                "table_bytes": len(model.skill.draft or b""),
                "answers": rows,
                "ratios": {name: round(row["ms"] / rows[OURS]["ms"], 3) for name, row in rows.items()},
                "same": all(
                    contestants[f"ours {way} drafts"].said[k].text == contestants[f"ours {way}"].said[k].text
                    for way in ("free", "constrained")
                    for k in range(len(examples))
                ),
                "left_out": left_out,
            }
        )
    )
    return 0


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("tin", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--gguf", type=Path)
    parser.add_argument("--genai", type=Path)
    parser.add_argument("--tools", type=Path)
    parser.add_argument("--schema", type=Path)
    parser.add_argument("--task", default=tasks.DEFAULT)
    parser.add_argument("--system", default="")
    parser.add_argument("--items", type=int, default=0, help="0 for all")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--max-tokens", type=int, default=160)
    return parser.parse_args()


def schema_of(args: argparse.Namespace, examples: Sequence[Example]) -> dict[str, Any]:
    """What answers may be, as a JSON schema that the peers take."""
    if args.schema:
        schema: dict[str, Any] = json.loads(args.schema.read_text("utf-8"))
        return schema
    if args.tools:
        tools = [tool.get("function", tool) for tool in json.loads(args.tools.read_text("utf-8"))]
        return {"anyOf": [call_of(tool) for tool in tools]}
    return {"enum": sorted({example.output for example in examples})}


def call_of(tool: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"name": {"const": tool["name"]}, "arguments": tool["parameters"]},
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


def ours(args: argparse.Namespace) -> dict[str, Contestant]:
    """A model of its own for each: none finds another's prompt computed."""
    made = {}
    for way, options in (("free", {"constraint": None}), ("constrained", {})):
        for drafts in (False, True):
            model = tinsmith.load(args.tin, threads=args.threads, conversations=1)
            model.drafts = drafts

            def ask(prompt: list[int], model: Any = model, options: dict[str, Any] = options) -> Said:
                answer = model.generate(prompt, max_tokens=args.max_tokens, **options)
                return Said(answer.text, len(answer.token_ids), answer.evaluations)

            made[f"ours {way}{' drafts' if drafts else ''}"] = Contestant(ask, model.info.bytes)
    return made


def llama_cpp(args: argparse.Namespace, schema: dict[str, Any], end: int) -> dict[str, Contestant]:
    import llama_cpp

    plain = "enum" in schema  # labels are written without quotes
    rule = "root ::= " + " | ".join(json.dumps(label) for label in schema.get("enum", ()))
    made = {}
    for way in ("free", "grammar"):
        peer = llama_cpp.Llama(
            str(args.gguf), n_ctx=1024, n_threads=args.threads, n_threads_batch=args.threads, verbose=False
        )

        def ask(prompt: list[int], peer: Any = peer, way: str = way) -> Said:
            grammar = None
            if way == "grammar":
                grammar = (
                    llama_cpp.LlamaGrammar.from_string(rule, verbose=False)
                    if plain
                    else llama_cpp.LlamaGrammar.from_json_schema(json.dumps(schema), verbose=False)
                )
            tokens = []
            for token in peer.generate(prompt, temp=0.0, grammar=grammar):
                if token == end or len(tokens) == args.max_tokens:
                    break
                tokens.append(token)
            return Said(peer.detokenize(tokens).decode("utf-8", "replace"), len(tokens), len(tokens) + 1)

        made[f"llama.cpp {way}"] = Contestant(ask, args.gguf.stat().st_size)
    return made


def genai(args: argparse.Namespace, schema: dict[str, Any], end: int) -> dict[str, Contestant]:
    import onnxruntime_genai

    config = onnxruntime_genai.Config(str(args.genai))
    model = onnxruntime_genai.Model(config)
    tokenizer = onnxruntime_genai.Tokenizer(model)
    weights = sum(path.stat().st_size for path in args.genai.glob("*.onnx*"))
    made = {}
    for way in ("free", "llguidance"):

        def ask(prompt: list[int], way: str = way) -> Said:
            params = onnxruntime_genai.GeneratorParams(model)
            params.set_search_options(do_sample=False, max_length=len(prompt) + args.max_tokens)
            if way == "llguidance" and "enum" in schema:
                params.set_guidance("regex", "|".join(schema["enum"]))
            elif way == "llguidance":
                params.set_guidance("json_schema", json.dumps(schema))
            generator = onnxruntime_genai.Generator(model, params)
            generator.append_tokens(prompt)
            tokens: list[int] = []
            while not generator.is_done():
                generator.generate_next_token()
                tokens.append(int(generator.get_next_tokens()[0]))
            tokens = tokens[: tokens.index(end)] if end in tokens else tokens
            return Said(tokenizer.decode(tokens), len(tokens), len(tokens) + 1)

        made[f"onnxruntime-genai {way}"] = Contestant(ask, weights)
    return made


def summary(one: Contestant, task: tasks.Task, examples: Sequence[Example]) -> dict[str, Any]:
    evaluations = statistics.mean(said.evaluations for said in one.said)
    labels = task.labels(example.output for example in examples)
    exact = [
        task.grade(said.text, example.output, example.accept, labels).exact
        for said, example in zip(one.said, examples, strict=False)
    ]
    return {
        "ms": statistics.mean(one.ms),
        "median_ms": statistics.median(one.ms),
        "evaluations": evaluations,
        "tokens": statistics.mean(said.tokens for said in one.said),
        "bytes": round(evaluations * one.weights),
        "exact": statistics.mean(exact),
    }


if __name__ == "__main__":
    sys.exit(main())
