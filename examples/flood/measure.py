"""Measures how many test fields are correct: of the most frequent values, of logistic regression on pixels, and
of the run's models.

    python measure.py [--run runs/flood]

prints JSON: for each system and part of the test set, the share of correct values of flooded, cars, light, and
of all three together. The regressions, one per field, get each image as 24 x 18 pixels of three colours.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tinsmith.data.readers import Example, read_jsonl
from tinsmith.evaluate.answers import read_answers
from tinsmith.tasks import by_name

FIELDS = "flooded", "cars", "light"
SMALL = 24, 18  # pixels

Said = list[dict[str, Any]]


def said(examples: Sequence[Example]) -> Said:
    return [json.loads(example.output) for example in examples]


def pixels(examples: Sequence[Example]) -> np.ndarray:
    """Rows of levels."""
    small = (one.images[0].pixels().resize(SMALL, Image.Resampling.BOX) for one in examples)
    return np.stack([np.asarray(picture, np.float32).ravel() / 255 for picture in small])


def guessed(train: Sequence[Example], test: Sequence[Example]) -> dict[str, Said]:
    """The answers of the two systems without a vision encoder."""
    learned, seen, shown = said(train), pixels(train), pixels(test)
    often = {name: Counter(one[name] for one in learned).most_common(1)[0][0] for name in FIELDS}
    found = {}
    for name in FIELDS:
        fit = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300))
        found[name] = fit.fit(seen, [one[name] for one in learned]).predict(shown).tolist()
    rows = zip(*found.values(), strict=True)
    return {
        "most frequent": [often] * len(test),
        "pixels": [dict(zip(FIELDS, row, strict=True)) for row in rows],
    }


def answered(run: Path) -> dict[str, Said]:
    """The answers of the run's models; empty where one is no object."""
    parse, found = by_name("extract").parse, {}
    for path in sorted((run / "eval").glob("*.jsonl")):
        found[path.stem] = [parse(answer.text) or {} for answer in read_answers(path)]
    return found


def right(answers: Said, test: Sequence[Example]) -> dict[str, Mapping[str, float]]:
    """Shares, by part."""
    table = {}
    for part in sorted({one.part or "" for one in test}):
        pairs = [
            (given, wanted)
            for given, wanted, one in zip(answers, said(test), test, strict=True)
            if (one.part or "") == part
        ]
        hits = {name: [given.get(name) == wanted[name] for given, wanted in pairs] for name in FIELDS}
        hits["all"] = [all(row) for row in zip(*hits.values(), strict=True)]
        table[part] = {name: round(sum(values) / len(values), 4) for name, values in hits.items()}
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--run", type=Path, default=Path("runs") / "flood", help="where make left it")
    options = parser.parse_args(arguments)
    train, test = (read_jsonl(options.run / "data" / f"{split}.jsonl") for split in ("train", "test"))
    systems = guessed(train, test) | answered(options.run)
    json.dump({name: right(answers, test) for name, answers in systems.items()}, sys.stdout, indent=1)
    print()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
