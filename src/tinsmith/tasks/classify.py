"""classify: one of the training examples' labels, or several as a JSON list."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from tinsmith.data.readers import Example
from tinsmith.tasks import Figure, Labels, Pairs, Task, Words
from tinsmith.tasks._json import parse_json
from tinsmith.tasks._scores import calibration_error, counted, macro_f1, mean, micro, reliability, table

_WORDS, _MOST, _OFTEN = 6, 100, 5  # words of a label, labels, and outputs for each
_UNIQUE = 10  # labels; each doubles the states that record the given ones
INVALID = "(invalid)"


class Classify(Task):
    name = "classify"
    words = Words(
        answers="labels",
        exact="the expected label, or all expected ones in any order",
        valid="a label of the training examples, or a list of them",
        figures=(
            Figure("accuracy", "Accuracy", "exact answers"),
            Figure("macro_f1", "Macro-F1", "the mean of the labels' F1"),
            Figure("micro_f1", "Micro-F1", "F1 over all labels together"),
            Figure("chosen", "Likeliest", "how often the most likely label is right"),
            Figure(
                "calibration_error", "Calibration error", "mean distance of that share from its probability"
            ),
        ),
        row="label",
    )
    form = "a label"
    source = "choices"
    constraint: ClassVar[Mapping[str, str]] = {"choices": "labels"}
    weighs = "options"
    has_lists = True

    def parse(self, text: str) -> Any:
        """A label, or the sorted labels of a JSON list."""
        listed = _listed(text)
        return text.strip() or None if listed is None else sorted(listed)

    def likely(self, outputs: Sequence[str]) -> float:
        """Labels that recur are few, short and frequent."""
        counts = Counter(label for output in outputs for label in self.each(output))
        again = [label for label, count in counts.items() if count > 1]
        are_short = all(len(label.split()) <= _WORDS and "\n" not in label for label in again)
        are_few = 0 < len(again) <= _MOST and sum(counts.values()) >= _OFTEN * len(counts)
        return 0.5 if are_short and are_few else 0.0

    def is_valid(self, value: Any, labels: frozenset[str]) -> bool:
        return value is not None and labels.issuperset(value if isinstance(value, list) else [value])

    def label(self, output: str) -> str | None:
        """Several labels are one, as a list."""
        value = self.parse(output)
        return json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value

    def labels(self, outputs: Iterable[str]) -> frozenset[str]:
        return frozenset(label for output in outputs for label in self.each(output))

    def has_several(self, outputs: Iterable[str]) -> bool:
        return any(_listed(output) is not None for output in outputs)

    def list_schema(self, outputs: Iterable[str]) -> dict[str, Any] | None:
        """At most as many labels as the longest output has; unique if that takes few states."""
        listed = list(outputs)
        if not self.has_several(listed):
            return None
        labels, most = sorted(self.labels(listed)), max(len(self.each(output)) for output in listed)
        unique = {"uniqueItems": True} if len(labels) <= _UNIQUE else {}
        return {"type": "array", "items": {"enum": labels}, "maxItems": most, **unique}

    def options(self, outputs: Iterable[str]) -> list[str]:
        listed = list(outputs)
        labels = sorted(self.labels(listed))
        return [] if self.has_several(listed) or not 2 <= len(labels) <= _MOST else labels

    def instruction(self, train: Sequence[Example], tools: Sequence[Mapping[str, Any]] | None) -> str:
        outputs = [example.output for example in train]
        labels = ", ".join(sorted(self.labels(outputs)))
        if self.has_several(outputs):
            return f"Answer every text with a JSON list of the labels that fit, and nothing else: {labels}"
        return f"Answer every text with one of these labels and nothing else: {labels}"

    def measures(self, pairs: Pairs, labels: Labels = frozenset(), schema: Any = None) -> dict[str, Any]:
        """Rows are the expected labels, and the known ones that were answered. The calibration is that of the
        most likely label, whether it is the answer or not."""
        each = [(self.each(answer.text), self.each(example.output)) for answer, example in pairs]
        known = labels.union(*(wanted for _, wanted in each))
        rows = counted(
            ([(label, "") for label in given if label in known], [(label, "") for label in wanted])
            for given, wanted in each
        )
        right = (self.parse(answer.text) == self.parse(example.output) for answer, example in pairs)
        return {
            "accuracy": mean(right),
            "macro_f1": macro_f1(rows),
            "micro_f1": micro(rows)["f1"],
            **_calibrated(pairs),
            "rows": table(rows),
            "confusion": self._confusion(pairs, known),
        }

    def _confusion(self, pairs: Pairs, known: frozenset[str]) -> dict[str, dict[str, int]]:
        """The counts of each answer, by expected one."""
        found: dict[str, Counter[str]] = {}
        for answer, example in pairs:
            given = self.label(answer.text) if self.is_valid(self.parse(answer.text), known) else None
            found.setdefault(str(self.label(example.output)), Counter())[given or INVALID] += 1
        return {wanted: dict(sorted(counts.items())) for wanted, counts in sorted(found.items())}


def _listed(text: str) -> list[str] | None:
    """The labels of a JSON list, each once; None for another text."""
    if not text.lstrip().startswith("["):
        return None
    value = parse_json(text)
    are_labels = isinstance(value, list) and all(isinstance(one, str) and one.strip() for one in value)
    return list(dict.fromkeys(value)) if are_labels else None


def _calibrated(pairs: Pairs) -> dict[str, Any]:
    """None for a system that does not report the labels' probabilities."""
    weighed = [(answer.options, example) for answer, example in pairs if answer.options]
    if not weighed or len(weighed) < len(pairs):
        return {"chosen": None, "calibration_error": None}
    right = [max(options, key=lambda label: options[label]) == one.output.strip() for options, one in weighed]
    bins = reliability([max(options.values()) for options, _ in weighed], right)
    return {"chosen": mean(right), "calibration_error": calibration_error(bins), "reliability": bins}


task = Classify()
