"""Measures how many test fields are correct, with intervals: of a run's models, and of tesseract with a few
rules.

    python measure.py --run runs/slips [--schema slips/slips.json] [--read read/test.jsonl]

prints JSON: for each system the shares of correct fields and of fully correct answers, with 95 % bootstrap
intervals (2,000 resamples of answers), and the share of each field. Values are compared by the schema. read:
the output of ocr.py for the strips of slips.py, which rules turn into answers.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinsmith.data.readers import Example, read_jsonl
from tinsmith.evaluate.answers import Answer, read_answers
from tinsmith.tasks import by_name

DRAWS = 2000
SIGNS = {"€": "EUR", "$": "USD", "£": "GBP"}


def by_rules(text: str) -> str:
    """Date, sum and currency in the text of a strip, where they are recognized."""
    said: dict[str, Any] = {}
    if day := re.search(r"(\d{4})-(\d\d)-(\d\d)", text):
        said["date"] = day[0]
    elif day := re.search(r"(\d\d)[./](\d\d)[./](\d{4})", text):
        said["date"] = f"{day[3]}-{day[2]}-{day[1]}"
    rest = text.replace(day[0], "") if day else text
    if total := re.search(r"\d+[.,]\d\d", rest):
        said["total"] = float(total[0].replace(",", "."))
    if currency := re.search(r"EUR|USD|GBP|[€$£]", rest):
        said["currency"] = SIGNS.get(currency[0], currency[0])
    return json.dumps(said)


def measured(answers: Sequence[str], test: Sequence[Example], schema: Any) -> dict[str, Any]:
    task, items = by_name("extract"), []
    right, expected = Counter[str](), Counter[str]()
    for text, example in zip(answers, test, strict=True):
        found = task.measures([(Answer(0, text, None, None, None, "stop"), example)], schema=schema)
        hits = {name: round(row["recall"] * row["expected"]) for name, row in found["rows"].items()}
        right.update(hits)
        expected.update({name: row["expected"] for name, row in found["rows"].items()})
        wanted = sum(row["expected"] for row in found["rows"].values())
        items.append((sum(hits.values()), wanted, found["match"]))
    table = np.array(items, float)
    drawn = table[np.random.default_rng(0).integers(0, len(table), (DRAWS, len(table)))].sum(1)
    return {
        "fields": _share(table.sum(0)[0] / table.sum(0)[1], drawn[:, 0] / drawn[:, 1]),
        "whole": _share(table[:, 2].mean(), drawn[:, 2] / len(table)),
        "each": {name: round(right[name] / count, 4) for name, count in expected.items() if count},
    }


def _share(value: float, drawn: np.ndarray) -> list[float]:
    low, high = np.percentile(drawn, [2.5, 97.5])
    return [round(float(one), 4) for one in (value, low, high)]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--run", type=Path, default=Path("runs") / "slips", help="where make left it")
    parser.add_argument("--schema", type=Path, default=Path("slips") / "slips.json")
    parser.add_argument("--read", type=Path, help="texts of the test pictures, to apply the rules to")
    options = parser.parse_args(arguments)
    test = read_jsonl(options.run / "data" / "test.jsonl")
    answers = {}
    for path in sorted((options.run / "eval").glob("*.jsonl")):
        answers[path.stem] = [answer.text for answer in read_answers(path)]
    if options.read:
        answers["tesseract and rules"] = [by_rules(one.input) for one in read_jsonl(options.read)]
    schema = json.loads(options.schema.read_text(encoding="utf-8"))
    json.dump({name: measured(texts, test, schema) for name, texts in answers.items()}, sys.stdout, indent=1)
    print()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
