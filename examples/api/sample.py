"""Sentences with their calls of the functions in tools.toml.

    python sample.py --out data [--tools tools.toml] [--seed 1]

writes train.jsonl (240), validation.jsonl (30), test.jsonl (100) and tools.json. A sentence follows three
functions, as a search of an API's documentation would find them; its call uses one. Half of the test set uses
functions that are not in the training data ("new"). The same seed gives the same bytes.
"""

from __future__ import annotations

import argparse
import json
import random
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SPLITS = {"train": 240, "validation": 30, "test": 100}
SHOWN = 3  # functions, the right one among them
NUMBERS = ("count", "amount", "threads")
Function = dict[str, Any]


class Api:
    def __init__(self, path: Path, rng: random.Random) -> None:
        stated = tomllib.loads(path.read_text(encoding="utf-8"))
        self.unseen: list[str] = stated.pop("unseen")
        self.kinds: dict[str, Any] = stated.pop("kinds")
        self.functions: dict[str, Function] = stated
        self.rng = rng

    def value(self, kind: str) -> str:
        form = self.kinds[kind]
        if isinstance(form, list):
            return str(self.rng.choice(form))
        rng = self.rng
        return str(form.format(n2=rng.randint(2, 60), n3=rng.randint(100, 999), n4=rng.randint(1000, 9999)))

    def row(self, names: Sequence[str], others: Sequence[str]) -> dict[str, Any]:
        """One of `names`, shown among `others`."""
        name = self.rng.choice(names)
        function = self.functions[name]
        values = {argument: self.value(kind) for argument, kind in function["args"].items()}
        said = self.rng.choice(function["said"]).format(**values)
        shown = [name, *self.rng.sample([other for other in others if other != name], SHOWN - 1)]
        listed = "\n".join(self.signature(one) for one in self.rng.sample(shown, SHOWN))
        arguments = {
            argument: int(values[argument]) if kind in NUMBERS else values[argument]
            for argument, kind in function["args"].items()
        }
        call = json.dumps({"name": name, "arguments": arguments}, separators=(",", ":"))
        return {"input": said, "output": call, "turns": [{"role": "system", "content": listed}]}

    def signature(self, name: str) -> str:
        function = self.functions[name]
        return f"{name}({', '.join(function['args'])}): {function['what']}"

    def tools(self) -> list[dict[str, Any]]:
        return [
            {
                "type": "function",
                "function": {
                    "name": name,
                    "description": function["what"],
                    "parameters": {
                        "type": "object",
                        "properties": {
                            argument: {"type": "integer" if kind in NUMBERS else "string"}
                            for argument, kind in function["args"].items()
                        },
                        "required": list(function["args"]),
                        "additionalProperties": False,
                    },
                },
            }
            for name, function in self.functions.items()
        ]

    def rows(self) -> dict[str, list[dict[str, Any]]]:
        known = [name for name in self.functions if name not in self.unseen]
        taken: set[str] = set()
        found: dict[str, list[dict[str, Any]]] = {}
        for split, count in SPLITS.items():
            rows = found.setdefault(split, [])
            while len(rows) < count:
                is_new = split == "test" and len(rows) % 2 == 1
                row = self.row(self.unseen, list(self.functions)) if is_new else self.row(known, known)
                if row["input"] not in taken:
                    taken.add(row["input"])
                    rows.append(row | ({"part": "new" if is_new else "known"} if split == "test" else {}))
        return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tools", type=Path, default=HERE / "tools.toml")
    parser.add_argument("--out", type=Path, default=HERE / "data")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    api = Api(options.tools, random.Random(options.seed))
    options.out.mkdir(parents=True, exist_ok=True)
    for split, rows in api.rows().items():
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (options.out / f"{split}.jsonl").write_text(lines, encoding="utf-8")
    (options.out / "tools.json").write_text(json.dumps(api.tools(), indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
