"""What a whole answer takes: a task's held-out questions to ours, free and constrained, with and without the
draft table, to llama.cpp, free and with a grammar, and to onnxruntime-genai, free and with llguidance.

    python benchmarks/answers.py FILE.tin TEST.jsonl [--train F] [--gguf F.gguf] [--genai FOLDER]
        [--tools F | --schema F] [--names | --join N] [--task call] [--system home] [--items 0] [--threads 2]

TEST: examples, JSON lines, drawn evenly from their parts. --gguf, --genai: the same weights for the peers, as
`tinsmith build` leaves them, and as onnxruntime_genai.models.builder makes them of the run's merged/; a peer
that is not given, or not installed, is left out, and `left_out` says why. --tools, --schema: what answers may
be, as the peers take it; of a classification, the labels of TEST. Our own is the tin's, or the same where it
brings none or the task is another. --train: examples that the table is learned from anew.

Other tasks of the same examples, for how long answers take and not for how good they are: --names, a
classification, the name of each call the label; --join N, N examples in one, the list of their answers its
answer.

Peers get the tokens of our prompts, and llama.cpp keeps those that they share with the last. All take turns
item by item, in another order each time, so that a busy moment falls on all. An evaluation is a pass that makes
logits, the prompt's included; a peer makes one a token.

Prints one line of JSON: by contestant the mean and median milliseconds an answer, and those of processors
(`cpu_ms`, which others on the machine hardly change), `evaluations` and `tokens` an answer, `bytes` of weights
read an answer (at most: a pass under a constraint reads less of the head), how many are exact; `ratios` of the
times to those of our constrained answers with the table; `faultless`: evaluations an answer by a model that
says what the examples say; `same`: whether our answers are equal with the table and without.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from report import add_out, percent, report

import tinsmith
from tinsmith import _core, tasks
from tinsmith.compiler import drafts
from tinsmith.data.readers import Example, read_jsonl
from tinsmith.evaluate.baselines import stratified
from tinsmith.formats import tin

OURS = "ours constrained drafts"
TIMES = ("ms", "median_ms", "cpu_ms")


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
    cpu_ms: list[float] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)

    def answer(self, prompt: list[int]) -> None:
        begun, cpu = time.perf_counter(), time.process_time()
        self.said.append(self.ask(prompt))
        self.ms.append(1000 * (time.perf_counter() - begun))
        self.cpu_ms.append(1000 * (time.process_time() - cpu))


def main() -> int:
    args = parsed()
    examples = read(args, args.test)
    schema = schema_of(args, examples)
    examples = stratified(examples, args.items, 0)
    with tempfile.TemporaryDirectory() as folder:
        if args.train:
            args.tin = with_table(args, Path(folder) / args.tin.name)
        measure(args, examples, schema)
    return 0


def read(args: argparse.Namespace, path: Path) -> list[Example]:
    examples = read_jsonl(path)
    if args.names:
        return [replace(one, output=json.loads(one.output)["name"], accept=()) for one in examples]
    if not args.join:
        return examples
    groups = [examples[k : k + args.join] for k in range(0, len(examples) + 1 - args.join, args.join)]
    return [
        Example("\n\n".join(one.input for one in group), f"[{','.join(one.output for one in group)}]")
        for group in groups
    ]


def told(
    args: argparse.Namespace, model: Any, examples: Sequence[Example]
) -> list[tuple[list[int], list[int]]]:
    """Tokens of the prompts, and of the answers with their end."""
    task = tasks.by_name(args.task)
    return [
        (model.render(task.messages(one, args.system)), [*model.tokenize(one.output), model.end_token])
        for one in examples
    ]


def with_table(args: argparse.Namespace, path: Path) -> Path:
    tin.rewrite(args.tin, path, {}, {}, [tin.DRAFT])
    model = tinsmith.load(path, threads=1)
    table = drafts.learn(model.core, told(args, model, drafts.spread(read(args, args.train))))
    tin.rewrite(args.tin, path, {tin.DRAFT: table}, {})
    return path


def measure(args: argparse.Namespace, examples: Sequence[Example], schema: dict[str, Any]) -> None:
    model = tinsmith.load(args.tin, threads=args.threads)
    task, left_out = tasks.by_name(args.task), dict[str, str]()
    held = model.skill.constraint
    if held is None or args.names or args.join:
        held = tinsmith.choices(schema["enum"]) if "enum" in schema else tinsmith.schema(schema)
    pairs = told(args, model, examples)
    contestants = ours(args, held)
    for name, given, module, peers in (
        ("llama.cpp", args.gguf, "llama_cpp", llama_cpp),
        ("onnxruntime-genai", args.genai, "onnxruntime_genai", genai),
    ):
        if given is None or find_spec(module) is None:
            left_out[name] = "not given" if given is None else f"{module} is not installed"
            continue
        contestants |= peers(args, schema, model.end_token)
    for _ in range(args.rounds):
        for k, (prompt, _) in enumerate(pairs):
            turns = list(contestants.values())
            for contestant in turns[k % len(turns) :] + turns[: k % len(turns)]:
                contestant.answer(prompt)
    rows = {name: summary(one, task, examples) for name, one in contestants.items()}
    found = {
        "file": args.tin.name,
        "items": len(examples),
        "threads": args.threads,
        "isa": model.info.isa,
        "table_bytes": len(model.skill.draft or b""),
        "answers": rows,
        "prompt_tokens": statistics.mean(len(prompt) for prompt, _ in pairs),
        "ratios": {
            name: {kind: round(row[kind] / rows[OURS][kind], 3) for kind in TIMES} for name, row in rows.items()
        },
        "faultless": {
            f"{way}{' drafts' if table else ''}": faultless(model.core, pairs, table, constraint)
            for way, constraint in (("free", None), ("constrained", held))
            for table in (None, model.skill.draft)
        },
        "same": all(
            contestants[f"ours {way} drafts"].said[k].text == contestants[f"ours {way}"].said[k].text
            for way in ("free", "constrained")
            for k in range(len(examples))
        ),
        "left_out": left_out,
    }
    table = [
        {
            "Contestant": name,
            "ms, mean": round(row["ms"], 1),
            "Ratio": found["ratios"][name]["ms"],
            "CPU, ms": round(row["cpu_ms"], 1),
            "Evaluations": round(row["evaluations"], 1),
            "Tokens": round(row["tokens"], 1),
            "Exact, %": percent(row["exact"]),
        }
        for name, row in rows.items()
    ]
    report(args.out, found, table)


def faultless(
    core: _core.Model, pairs: Sequence[tuple[list[int], list[int]]], table: Any, constraint: Any
) -> float:
    """Evaluations an answer where each pass says the next token of the answer told."""

    @cache
    def logits(token: int) -> bytes:
        row = array("f", bytes(4 * core.info()["vocab"]))
        row[token] = 1.0
        return row.tobytes()

    def compute(ids: list[int], rows: int) -> bytes:
        first = len(ids) + 1 - rows - len(prompt)
        return b"".join(logits(answer[min(max(k, 0), len(answer) - 1)]) for k in range(first, first + rows))

    session = _core.Session(core, context=1024, logit_rows=17, compute=compute)
    session.draft(table)
    session.constrain(None if constraint is None else _core.Constraint(core, constraint.data))
    passes = []
    for prompt, answer in pairs:
        session.replace(prompt)
        session.generate(len(answer) + 16, 16)
        while session.step() != _core.STEP_DONE:
            pass
        if session.tokens()[1][len(prompt) :] == answer[:-1]:
            passes.append(session.passes())
    return statistics.mean(passes)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("tin", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--train", type=Path)
    parser.add_argument("--gguf", type=Path)
    parser.add_argument("--genai", type=Path)
    parser.add_argument("--tools", type=Path)
    parser.add_argument("--schema", type=Path)
    parser.add_argument("--names", action="store_true")
    parser.add_argument("--join", type=int, default=0)
    parser.add_argument("--task", default=tasks.DEFAULT)
    parser.add_argument("--system", default="")
    parser.add_argument("--items", type=int, default=0, help="0 for all")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--max-tokens", type=int, default=160)
    add_out(parser)
    return parser.parse_args()


def schema_of(args: argparse.Namespace, examples: Sequence[Example]) -> dict[str, Any]:
    """What answers may be, as a JSON schema that the peers take."""
    if args.schema:
        schema: dict[str, Any] = json.loads(args.schema.read_text("utf-8"))
        several = {"type": "array", "items": schema, "minItems": args.join, "maxItems": args.join}
        return several if args.join else schema
    if args.tools and not args.names:
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


def ours(args: argparse.Namespace, held: Any) -> dict[str, Contestant]:
    """A model of its own for each: none finds another's prompt computed."""
    made = {}
    for way, constraint in (("free", None), ("constrained", held)):
        for by_table in (False, True):
            model = tinsmith.load(args.tin, threads=args.threads, conversations=1)
            model.drafts = by_table

            def ask(prompt: list[int], model: Any = model, constraint: Any = constraint) -> Said:
                answer = model.generate(prompt, max_tokens=args.max_tokens, constraint=constraint)
                return Said(answer.text, len(answer.token_ids), answer.evaluations)

            made[f"ours {way}{' drafts' if by_table else ''}"] = Contestant(ask, model.info.bytes)
    return made


def llama_cpp(args: argparse.Namespace, schema: dict[str, Any], _: int) -> dict[str, Contestant]:
    import llama_cpp

    plain = "enum" in schema  # labels are written without quotes
    rule = "root ::= " + " | ".join(json.dumps(label) for label in schema.get("enum", ()))
    made = {}
    grammar = None
    for way in ("free", "grammar"):
        peer = llama_cpp.Llama(
            str(args.gguf), n_ctx=1024, n_threads=args.threads, n_threads_batch=args.threads, verbose=False
        )

        vocab = llama_cpp.llama_model_get_vocab(peer._model.model)
        if way == "grammar":
            grammar = (
                llama_cpp.LlamaGrammar.from_string(rule, verbose=False)
                if plain
                else llama_cpp.LlamaGrammar.from_json_schema(json.dumps(schema), verbose=False)
            )

        def ask(prompt: list[int], peer: Any = peer, grammar: Any = grammar, vocab: Any = vocab) -> Said:
            tokens = []
            for token in peer.generate(prompt, temp=0.0, grammar=grammar):
                if llama_cpp.llama_vocab_is_eog(vocab, token) or len(tokens) == args.max_tokens:
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
        "cpu_ms": statistics.mean(one.cpu_ms),
        "evaluations": evaluations,
        "tokens": statistics.mean(said.tokens for said in one.said),
        "bytes": round(evaluations * one.weights),
        "exact": statistics.mean(exact),
    }


if __name__ == "__main__":
    sys.exit(main())
