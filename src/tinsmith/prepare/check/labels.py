"""Labels, and keys of JSON, that are misspelt or rare."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any

from rapidfuzz.distance import OSA

from tinsmith.data.readers import Example
from tinsmith.data.splits import LEARNED, SPLITS
from tinsmith.prepare.check import Check, Finding, Mend
from tinsmith.prepare.check.rows import Data
from tinsmith.prepare.check.unshown import in_short

RARE = 20  # least ratio of the right word's count to the typo's
_NEAR = 0.75  # least similarity of their letters
_EDITS = 2


class LabelTypo(Check):
    name, severity = "label_typo", "error"
    title = "labels or keys that nearly equal frequent ones"
    advice = "use the frequent spelling; the model learns each spelling as a separate answer"

    def find(self, data: Data) -> Iterator[Finding]:
        labels = typos(data)
        for i, label in enumerate(data.labels):
            if label in labels:
                yield self._found(data, i, "label", label, labels[label])
        rows = [list(_keys(value, ())) for value in data.values]
        counts: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
        for row in rows:
            for path, key in row:
                counts[path][key] += 1
        near = {path: _corrections(keys, set()) for path, keys in counts.items()}
        for i, row in enumerate(rows):
            for path, key in row:
                if key in near[path]:
                    yield self._found(data, i, "key", key, near[path][key])

    def _found(self, data: Data, row: int, what: str, typo: str, right: str) -> Finding:
        def correct(example: Example) -> Example:
            return replace(example, output=_corrected(example.output, typo, right))

        message = f'the {what} "{typo}" is rare and nearly "{right}"'
        return self.at(data, row, message, Mend(f'{what} "{typo}" became "{right}"', correct))


@lru_cache(1)
def typos(data: Data) -> dict[str, str]:
    """The misspelt labels, each with the right one."""
    known = set(data.rules.labels or ()) if data.rules else set()
    counts = Counter(label for label in data.labels if label is not None)
    return _corrections(counts, known)


def _corrections(counts: Counter[str], known: set[str]) -> dict[str, str]:
    """The rare words, each with the frequent one that it nearly equals. known: right words."""
    found = {}
    by_count = counts.most_common()
    for rare, count in by_count:
        if rare in known:
            continue
        for label, more in by_count:
            if more < RARE * count and label not in known:
                break
            if label != rare and _is_near(rare, label):
                found[rare] = label
                break
    return found


def _is_near(a: str, b: str) -> bool:
    if _plain(a) == _plain(b):
        return True
    if re.findall(r"\d+", a) != re.findall(r"\d+", b):
        return False
    edits = int(OSA.distance(a.casefold(), b.casefold(), score_cutoff=_EDITS))
    return edits <= _EDITS and 1 - edits / max(len(a), len(b)) >= _NEAR


def _plain(label: str) -> str:
    return re.sub(r"[\W_]+", "", label.casefold())


def _keys(value: Any, path: tuple[str, ...]) -> Iterable[tuple[tuple[str, ...], str]]:
    items = value.items() if isinstance(value, dict) else ()
    for key, inner in items:
        yield path, key
        yield from _keys(inner, (*path, key))
    for inner in value if isinstance(value, list) else ():
        yield from _keys(inner, (*path, "[]"))


def _corrected(output: str, typo: str, right: str) -> str:
    """Replaces a text or key of JSON, or the whole output."""
    if output.strip() == typo:
        return right
    return output.replace(json.dumps(typo, ensure_ascii=False), json.dumps(right, ensure_ascii=False), 1)


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


CHECKS = (LabelTypo(), Imbalance())
