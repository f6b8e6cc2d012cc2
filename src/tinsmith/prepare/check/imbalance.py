"""imbalance: labels with few examples, or with none where they are learned or tested."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from tinsmith.data.splits import SPLITS
from tinsmith.prepare.check import Check, Finding
from tinsmith.prepare.check.label_typo import meant
from tinsmith.prepare.check.rows import Data
from tinsmith.prepare.unshown import in_short

_FEW = 5  # examples
_RATIO = 50  # of the most frequent label's examples to a rare one's


class Imbalance(Check):
    name, severity = "imbalance", "note"
    title = "labels with few examples"
    advice = "write more examples of them; aim at 20 or more of each"

    def find(self, data: Data) -> Iterator[Finding]:
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        typos = meant(data)
        for row, label in zip(data.rows, data.labels, strict=True):
            if label is not None and label not in typos:
                counts[row.split][label] += 1
        train = counts[SPLITS[0]]
        if not train:
            return
        path = str(next(row.path for row in data.rows if row.split == SPLITS[0]))
        label, most = train.most_common(1)[0]
        rare = sorted((count, one) for one, count in train.items() if count < _FEW or count * _RATIO < most)
        if rare and len(train) <= len(data.rows) / 2:
            listed = in_short([f"{one} ({count:,})" for count, one in rare])
            message = f"{len(rare)} of {len(train)} labels are rare: {listed}; {label} has {most:,}"
            yield Finding(self.name, self.severity, path, message)
        for split in SPLITS[1:]:
            for one in sorted(counts[split].keys() - train.keys()):
                first = next(
                    i for i, row in enumerate(data.rows) if row.split == split and data.labels[i] == one
                )
                message = f"{one} is asked for in the {split} set and never learned"
                yield self.at(data, first, message, severity="warning")


check = Imbalance()
