"""imbalance: labels with few examples, or with no training examples."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from tinsmith.data.splits import LEARNED, SPLITS
from tinsmith.prepare.check import Check, Finding
from tinsmith.prepare.check.label_typo import typos
from tinsmith.prepare.check.rows import Data
from tinsmith.prepare.unshown import in_short

_FEW = 5  # examples
_RATIO = 50  # of the most frequent label's examples to a rare label's


class Imbalance(Check):
    name, severity = "imbalance", "note"
    title = "labels with few examples"
    advice = "write more examples of them; aim at 20 or more of each"

    def find(self, data: Data) -> Iterator[Finding]:
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        misspelt = typos(data)
        for row, label in zip(data.rows, data.labels, strict=True):
            if label is not None and label not in misspelt:
                counts[row.split][label] += 1
        train = counts[LEARNED]
        if not train:
            return
        path = str(next(row.path for row in data.rows if row.split == LEARNED))
        label, most = train.most_common(1)[0]
        rare = sorted((count, one) for one, count in train.items() if count < _FEW or count * _RATIO < most)
        if rare and len(train) <= len(data.rows) / 2:
            listed = in_short([f"{one} ({count:,})" for count, one in rare])
            message = f"{len(rare)} of {len(train)} labels are rare: {listed}; {label} has {most:,}"
            yield Finding(self.name, self.severity, path, message)
        splits = [row.split for row in data.rows]
        for split in SPLITS[1:]:
            for one in sorted(counts[split].keys() - train.keys()):
                first = list(zip(splits, data.labels, strict=True)).index((split, one))
                message = f"{one} occurs in the {split} set and in no training example"
                yield self.at(data, first, message, severity="warning")


CHECKS = (Imbalance(),)
