"""`model.call` on BFCL's simple and multiple categories, scored by the rules of the package itself.

    python benchmarks/bfcl.py bfcl_eval.whl MODEL [--format F] [--items 100] [--threads 2]
        [--max-tokens 256] [--search 16] [--seed 0] [--half]
    python benchmarks/bfcl.py bfcl_eval.whl --write DIR

Every item is one question and its functions; the answer is one call, greedy, under the constraint that the
functions make. The score is `ast_checker`'s of bfcl-eval: right function, required arguments, types, and each
value among those that are possible. Its table of models, which imports every vendor's client, is replaced by
one entry; nothing else is. Functions that can't be compiled count as wrong and are listed. Prints one line of
JSON, by category.

`--write` writes train.jsonl, validation.jsonl and test.jsonl for a recipe of the task "call": the same
questions, with the functions as the format "json" lists them, and the first of the possible answers. Half of
the functions, by their names' digests, are those of the test set, and training sees none of them. `--half`
scores the items of that half alone, a model before and after training: with `--format json`, as it was
trained.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import random
import sys
import time
import types
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from constraints import json_schema
from report import add_out, percent, report

import tinsmith
from tinsmith.chat.tool_formats import Call, by_name, read_tools
from tinsmith.errors import TinsmithError

CATEGORIES = {"simple": "simple_python", "multiple": "multiple"}
Check = Callable[[list[dict[str, Any]], list[dict[str, Any]], list[Any], str], dict[str, Any]]


def checker(wheel: Path) -> Check:
    """(functions, calls, possible answers, category) to "valid" and "error_type", by the wheel's own code."""
    stand_in = types.ModuleType("bfcl_eval.constants.model_config")
    entry = types.SimpleNamespace(underscore_to_dot=False)
    vars(stand_in)["MODEL_CONFIG_MAPPING"] = {"tinsmith": entry}
    sys.modules[stand_in.__name__] = stand_in
    sys.path.insert(0, str(wheel))
    python = importlib.import_module("bfcl_eval.constants.enums").Language.PYTHON
    ast_checker = importlib.import_module("bfcl_eval.eval_checker.ast_eval.ast_checker").ast_checker

    def check(
        functions: list[dict[str, Any]], calls: list[dict[str, Any]], possible: list[Any], category: str
    ) -> dict[str, Any]:
        verdict: dict[str, Any] = ast_checker(functions, calls, possible, python, category, "tinsmith")
        return verdict

    return check


def items(wheel: Path, category: str, count: int, seed: int) -> list[tuple[dict[str, Any], list[Any]]]:
    """(question with functions, possible answers), `count` of them drawn; 0 for all."""
    name = f"BFCL_v4_{category}.json"
    with zipfile.ZipFile(wheel) as archive:
        asked, possible = (
            [json.loads(line) for line in archive.read(f"bfcl_eval/data/{place}{name}").decode().splitlines()]
            for place in ("", "possible_answer/")
        )
    truth = {row["id"]: row["ground_truth"] for row in possible}
    both = [(row, truth[row["id"]]) for row in asked]
    return random.Random(seed).sample(both, count) if 0 < count < len(both) else both


def is_held(name: str) -> bool:
    """Whether a function is of the half that training does not see."""
    return hashlib.sha256(name.encode()).digest()[0] % 2 == 1


def answer_of(possible: dict[str, Any], functions: list[dict[str, Any]]) -> Call:
    """The first value of each argument, in the order of the schema; one that may be left out is left out."""
    ((name, values),) = possible.items()
    (schema,) = (one["parameters"] for one in functions if one["name"] == name)
    needed = schema.get("required", ())
    chosen = {
        key: [value for value in values.get(key, [""]) if value != "" or key not in needed][:1]
        for key in schema["properties"]
    }
    arguments = {key: plain(value[0]) for key, value in chosen.items() if value and value[0] != ""}
    return Call(name, arguments)


def plain(value: Any) -> Any:
    """BFCL lists what may stand for each value of an object too."""
    if isinstance(value, dict):
        return {key: plain(inner[0]) for key, inner in value.items() if inner[0] != ""}
    return [plain(inner) for inner in value] if isinstance(value, list) else value


def write(wheel: Path, folder: Path) -> dict[str, int]:
    """How many rows each split has."""
    known = by_name("json")
    splits: dict[str, list[dict[str, Any]]] = {"train": [], "validation": [], "test": []}
    for category, word in CATEGORIES.items():
        for number, (row, possible) in enumerate(items(wheel, word, 0, 0)):
            functions, call = row["function"], answer_of(possible[0], row["function"])
            held = is_held(call.name)
            if not held and any(is_held(function["name"]) for function in functions):
                continue
            *turns, asked = known.messages(read_tools([tool(one) for one in functions]), row["question"][0])
            made = {"input": asked["content"], "output": known.write([call]), "turns": turns}
            split = "test" if held else "train" if number % 10 else "validation"
            splits[split].append({**made, "part": category} if held else made)
    folder.mkdir(parents=True, exist_ok=True)
    for split, rows in splits.items():
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{split}.jsonl").write_text(lines, encoding="utf-8")
    return {split: len(rows) for split, rows in splits.items()}


def tool(function: dict[str, Any]) -> dict[str, Any]:
    """A function of BFCL's in OpenAI's shape; descriptions stay, for they are part of the prompt."""
    described = {**function, "parameters": with_descriptions(function["parameters"])}
    return {"type": "function", "function": described}


def with_descriptions(schema: dict[str, Any]) -> dict[str, Any]:
    tidy = json_schema(schema)
    if "description" in schema:
        tidy["description"] = schema["description"]
    for name in tidy.get("properties", ()):
        tidy["properties"][name] = with_descriptions(schema["properties"][name])
    return tidy


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("wheel", type=Path, help="bfcl-eval's wheel")
    parser.add_argument("model", nargs="?", help="what tinsmith.load takes")
    parser.add_argument("--write", type=Path, metavar="DIR", help="write data to train on instead")
    parser.add_argument("--half", action="store_true", help="only functions that such data does not train on")
    parser.add_argument("--format", help="how calls are written; without it, the family's")
    parser.add_argument("--items", type=int, default=100, help="a category; 0 for all")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--max-tokens", type=int, default=256)
    parser.add_argument("--search", type=int, default=0, help="as Model.call")
    parser.add_argument("--seed", type=int, default=0)
    add_out(parser)
    args = parser.parse_args()
    if args.write:
        print(json.dumps(write(args.wheel, args.write)))
        return 0
    if args.model is None:
        parser.error("give a model, or --write")
    model = tinsmith.load(args.model, threads=args.threads)
    check = checker(args.wheel)
    options: dict[str, Any] = {"max_tokens": args.max_tokens, "search": args.search}
    if args.format:
        options["format"] = args.format
    found = {name: score(model, check, args, word, options) for name, word in CATEGORIES.items()}
    rows = [
        {
            "Model": Path(args.model).name,
            "Category": name,
            "Questions": one["items"],
            "Right, %": percent(one["score"]),
        }
        for name, one in found.items()
    ]
    report(args.out, found, rows, [args.seed])
    return 0


def score(model: Any, check: Check, args: Any, category: str, options: dict[str, Any]) -> dict[str, Any]:
    right = named = answered = 0
    errors: dict[str, int] = {}
    refused: list[str] = []
    started = time.perf_counter()
    drawn = items(args.wheel, category, args.items, args.seed)
    if args.half:
        drawn = [(row, possible) for row, possible in drawn if is_held(next(iter(possible[0])))]
    for row, possible in drawn:
        functions = row["function"]
        try:
            calls = model.call(row["question"][0], [tool(function) for function in functions], **options)
        except TinsmithError as error:
            refused.append(f"{row['id']}: {error}")
            continue
        answered += 1
        answer = [{call.name: call.arguments} for call in calls]
        named += len(answer) == 1 and set(answer[0]) == set(possible[0])
        verdict = check(functions, answer, possible, category)
        right += verdict["valid"]
        if not verdict["valid"]:
            kind = verdict.get("error_type", "unknown")
            errors[kind] = errors.get(kind, 0) + 1
    return {
        "items": len(drawn),
        "score": right / len(drawn),
        "function": named / len(drawn),
        "answered": answered,
        "refused": refused,
        "errors": dict(sorted(errors.items(), key=lambda pair: -pair[1])),
        "seconds": round(time.perf_counter() - started, 1),
    }


if __name__ == "__main__":
    sys.exit(main())
