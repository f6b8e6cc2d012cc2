"""label_typo: a rare label, or a rare key of JSON, that is nearly a frequent one."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from rapidfuzz.distance import OSA

from tinsmith.data.readers import Example
from tinsmith.prepare.check import Check, Finding, Mend
from tinsmith.prepare.check.rows import Data

RARE = 20  # times as often as a typo the right word is seen, at least
_NEAR = 0.75  # likeness of the two, of their letters
_EDITS = 2


class LabelTypo(Check):
    name, severity = "label_typo", "error"
    title = "labels or keys that are nearly another"
    advice = "write the frequent one; each spelling is learned as an answer of its own"

    def find(self, data: Data) -> Iterator[Finding]:
        labels = meant(data)
        for i, label in enumerate(data.labels):
            if label in labels:
                yield self._found(data, i, "label", label, labels[label])
        keys: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
        rows = [list(_keys(value, ())) for value in data.values]
        for row in rows:
            for path, key in row:
                keys[path][key] += 1
        near = {path: likely(counts, set()) for path, counts in keys.items()}
        for i, row in enumerate(rows):
            for path, key in row:
                if key in near[path]:
                    yield self._found(data, i, "key", key, near[path][key])

    def _found(self, data: Data, row: int, what: str, given: str, right: str) -> Finding:
        def put(example: Example) -> Example:
            return replace(example, output=_put(example.output, given, right))

        message = f'the {what} "{given}" is rare and nearly "{right}"'
        return self.at(data, row, message, Mend(f'{what} "{given}" became "{right}"', put))


def meant(data: Data) -> dict[str, str]:
    """The labels that are nearly another, and that other one."""
    known = set(data.rules.labels or ()) if data.rules else set()
    counts = Counter(label for label in data.labels if label is not None)
    made: dict[str, str] = data.once("meant", lambda: likely(counts, known))
    return made


def likely(counts: Counter[str], known: set[str]) -> dict[str, str]:
    """The frequent label that a rare one is likely to mean, by the rare one. known: those that are right."""
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
    if isinstance(value, dict):
        for key, inner in value.items():
            yield path, key
            yield from _keys(inner, (*path, key))
    elif isinstance(value, list):
        for inner in value:
            yield from _keys(inner, (*path, "[]"))


def _put(output: str, given: str, right: str) -> str:
    """In JSON where it stands as a text or key of its own, else as the whole."""
    literal = re.compile(re.escape(json.dumps(given, ensure_ascii=False)))
    new = literal.sub(lambda match: json.dumps(right, ensure_ascii=False), output, count=1)
    return right if output.strip() == given else new


check = LabelTypo()
