"""What the tasks' measures give is what scikit-learn, sacrebleu and NumPy give."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from tinsmith import tasks
from tinsmith.data.readers import Example
from tinsmith.errors import DataError
from tinsmith.tasks import _compare, _scores, chat

sklearn_metrics = pytest.importorskip("sklearn.metrics")
sacrebleu = pytest.importorskip("sacrebleu")


@dataclass(frozen=True)
class Answer:
    text: str
    options: dict[str, float] | None = None
    expected_log_probability: float | None = None
    expected_tokens: int | None = field(default=None)


def measured(name: str, answers: Sequence[str | Answer], outputs: Sequence[str], **more: Any) -> dict[str, Any]:
    given = [answer if isinstance(answer, Answer) else Answer(answer) for answer in answers]
    pairs = list(zip(given, (Example("in", output) for output in outputs), strict=True))
    found = tasks.by_name(name).measures(pairs, **more)
    json.dumps(found)
    assert {figure.key for figure in tasks.by_name(name).words.figures} <= found.keys()
    return found


LABELS = ["billing", "login", "other", "shipping"]


def test_classification_is_as_scikit_learn_has_it() -> None:
    rng = random.Random(3)
    wanted = [rng.choice(LABELS[:3]) for _ in range(200)]
    given = [label if rng.random() < 0.6 else rng.choice([*LABELS, "no label"]) for label in wanted]
    found = measured("classify", given, wanted, labels=frozenset(LABELS))
    assert found["accuracy"] == sklearn_metrics.accuracy_score(wanted, given)
    precision, recall, f1, support = sklearn_metrics.precision_recall_fscore_support(
        wanted, given, labels=LABELS, zero_division=0
    )
    assert list(found["rows"]) == LABELS
    for at, row in enumerate(found["rows"].values()):
        assert list(row.values()) == pytest.approx([precision[at], recall[at], f1[at], support[at]])
    assert found["macro_f1"] == pytest.approx(np.mean(f1))
    matrix = sklearn_metrics.confusion_matrix(wanted, given, labels=LABELS)
    assert [[found["confusion"].get(a, {}).get(b, 0) for b in LABELS] for a in LABELS] == matrix.tolist()
    assert sum(row.get("(invalid)", 0) for row in found["confusion"].values()) == given.count("no label")


def test_several_labels_are_as_scikit_learn_has_them() -> None:
    rng = random.Random(5)
    wanted = [rng.sample(LABELS, rng.randint(0, 3)) for _ in range(100)]
    given = [
        rng.sample(labels, len(labels)) if rng.random() < 0.5 else rng.sample(LABELS, 2) for labels in wanted
    ]
    found = measured("classify", list(map(json.dumps, given)), list(map(json.dumps, wanted)))
    a, b = (np.array([[label in labels for label in LABELS] for labels in rows]) for rows in (wanted, given))
    assert found["accuracy"] == pytest.approx(sklearn_metrics.accuracy_score(a, b))
    for average in ("macro", "micro"):
        oracle = sklearn_metrics.f1_score(a, b, average=average, zero_division=0)
        assert found[f"{average}_f1"] == pytest.approx(oracle)


def test_an_answer_that_is_no_list_is_not_no_label() -> None:
    assert measured("classify", ["", "[]"], ["[]", "[]"])["accuracy"] == 0.5


def test_several_labels_are_valid_in_any_order_and_as_a_list_alone() -> None:
    task, known = tasks.by_name("classify"), frozenset(LABELS)
    assert task.grade('["login", "billing"]', '["billing","login"]', (), known).exact
    assert not task.grade('["login"]', '["billing","login"]', (), known).exact
    assert not task.grade('["login", "else"]', '["login"]', (), known).valid
    assert not task.grade("[login", '["login"]', (), known).valid
    assert task.labels(['["b", "a"]', "c"]) == {"a", "b", "c"}
    assert task.options(["a", "b", "a"]) == ["a", "b"]
    assert task.options(['["a"]', '["b"]']) == []


def test_the_calibration_error_is_as_numpy_has_it() -> None:
    rng = np.random.default_rng(1)
    confidences = np.concatenate([rng.random(500), [0.0, 0.2, 1.0]])
    right = rng.random(503) < confidences**2
    edges = np.linspace(0, 1, 16)
    oracle = 0.0
    for low, high in pairwise(edges):
        inside = (confidences > low) & (confidences <= high) if low else confidences <= high
        if inside.any():
            oracle += inside.mean() * abs(right[inside].mean() - confidences[inside].mean())
    bins = _scores.reliability(confidences.tolist(), right.tolist())
    assert sum(held["items"] for held in bins) == 503
    assert _scores.calibration_error(bins) == pytest.approx(oracle)


def test_calibration_is_of_the_likeliest_label() -> None:
    answers = [Answer("a", {"a": 0.9, "b": 0.1}), Answer("a", {"a": 0.3, "b": 0.7})]
    found = measured("classify", answers, ["a", "b"])
    assert (found["accuracy"], found["chosen"]) == (0.5, 1.0)
    assert found["calibration_error"] == pytest.approx((0.1 + 0.3) / 2)
    assert measured("classify", ["a", answers[1]], ["a", "b"])["calibration_error"] is None


SCHEMA = {
    "type": "object",
    "properties": {
        "due": {"type": "string", "format": "date"},
        "total": {"x-compare": "money"},
        "seller": {"type": "string", "x-compare": "text"},
        "note": {"type": ["string", "null"]},
        "items": {"type": "array", "items": {"$ref": "#/$defs/item"}},
    },
    "$defs": {"item": {"properties": {"count": {"x-compare": "number"}}}},
}
RIGHT = {
    "due": "2026-11-28",
    "total": "EUR 1,234.50",
    "seller": "Mill & Co",
    "note": None,
    "items": [{"count": 2}],
}


def test_values_are_compared_as_the_schema_says() -> None:
    other = {
        "due": "28 November 2026",
        "total": "1.234,50 €",
        "seller": " mill & co",
        "note": None,
        "items": [{"count": "2.0"}],
    }
    found = measured("extract", [json.dumps(other)], [json.dumps(RIGHT)], schema=SCHEMA)
    assert (found["match"], found["f1"]) == (1, 1)
    assert list(found["rows"]) == ["due", "items[].count", "seller", "total"]
    found = measured("extract", [json.dumps(other)], [json.dumps(RIGHT)])
    assert (found["match"], found["f1"]) == (0, 0)
    with pytest.raises(DataError, match="\"x-compare\" is 'dates'; it may be date, number, money, text, exact"):
        measured("extract", ['{"a": 1}'], ['{"a": 1}'], schema={"properties": {"a": {"x-compare": "dates"}}})


def test_fields_are_scored_as_scikit_learn_scores_labels() -> None:
    """One value a field and no value twice: then a value is a label, and an answer a set of them."""
    rng = random.Random(7)
    wanted = [{key: rng.randint(0, 2) for key in "abc" if rng.random() < 0.8} for _ in range(60)]
    given = [{key: rng.randint(0, 2) for key in "abc" if rng.random() < 0.8} for _ in range(60)]
    found = measured("extract", list(map(json.dumps, given)), list(map(json.dumps, wanted)))
    every = [(key, value) for key in "abc" for value in range(3)]
    a, b = (np.array([[row.get(k) == v for k, v in every] for row in rows]) for rows in (wanted, given))
    oracle = sklearn_metrics.precision_recall_fscore_support(a, b, average="micro")
    assert [found["precision"], found["recall"], found["f1"]] == pytest.approx(oracle[:3])
    for at, key in enumerate("abc"):
        part = slice(3 * at, 3 * at + 3)
        oracle = sklearn_metrics.precision_recall_fscore_support(a[:, part], b[:, part], average="micro")
        assert list(found["rows"][key].values())[:3] == pytest.approx(oracle[:3])
    assert found["macro_f1"] == pytest.approx(np.mean([row["f1"] for row in found["rows"].values()]))


def test_lists_are_multisets_and_true_is_no_one() -> None:
    found = measured("extract", ['{"a": [1, 1, 2], "b": true}'], ['{"a": [1, 2, 2], "b": 1}'])
    assert found["rows"]["a[]"] == {"precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3, "expected": 3}
    assert found["rows"]["b"]["f1"] == 0
    assert measured("extract", ["no object"], ['{"a": 1}'])["recall"] == 0


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2026-11-28", date(2026, 11, 28)),
        ("2026/3/5", date(2026, 3, 5)),
        ("28.11.2026", date(2026, 11, 28)),
        ("28th November, 2026", date(2026, 11, 28)),
        ("Nov. 3rd, 2026", date(2026, 11, 3)),
        ("3-Sep-2026", date(2026, 9, 3)),
        ("11/28/2026", date(2026, 11, 28)),
        ("28/11/2026", date(2026, 11, 28)),
        ("05/05/2026", date(2026, 5, 5)),
        ("05/06/2026", None),  # either is a date
        ("31.2.2026", None),
        ("2026-11", None),
        ("next Monday", None),
    ],
)
def test_dates(text: str, day: date | None) -> None:
    assert _compare.date(text) == day


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (40, "40"),
        (40.5, "40.5"),
        ("1,234.50", "1234.5"),
        ("1.234,50", "1234.5"),
        ("1 234,5", "1234.5"),
        ("1'234.5", "1234.5"),
        ("1,234", "1234"),
        ("1.234", "1.234"),
        ("1.234.567", "1234567"),
        ("12,5", "12.5"),
        ("-3", "-3"),
        ("three", None),
        (True, None),
        ("", None),
    ],
)
def test_numbers(value: Any, wanted: str | None) -> None:
    assert _compare.number(value) == (None if wanted is None else Decimal(wanted))


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("€ 1.234,50", ("1234.5", "EUR")),
        ("1234.50 eur", ("1234.5", "EUR")),
        ("$12", ("12", "USD")),
        ("US$12", ("12", "USD")),
        ("12", ("12", "")),
        (12.0, ("12", "")),
        ("12 apples", None),
        ("free", None),
    ],
)
def test_money(value: Any, wanted: tuple[str, str] | None) -> None:
    assert _compare.money(value) == (None if wanted is None else (Decimal(wanted[0]), wanted[1]))


TEXTS = ["Yea, verily I say unto thee.", "I'm sorry, but I can't help.", "thou art thou art"]
WANTED = ["Yea, I say unto thee.", "Go thy way in peace.", "Thou art welcome here, friend."]


def test_chrf_is_of_sacrebleu_and_perplexity_of_all_tokens() -> None:
    answers = [
        Answer(text, None, log, n) for text, log, n in zip(TEXTS, (-6.0, -9.0, -3.0), (4, 6, 5), strict=True)
    ]
    found = measured("chat", answers, WANTED)
    assert found["chrf"] == sacrebleu.corpus_chrf(TEXTS, [WANTED]).score
    assert found["perplexity"] == pytest.approx(math.exp(18 / 15))
    assert found["bits_per_byte"] == pytest.approx(18 / math.log(2) / sum(map(len, WANTED)))
    assert found["refusals"] == 1 / 3
    assert found["words"] == pytest.approx(16 / 3)
    assert found["length_ratio"] == 16 / 15
    assert found["lengths"]["answers"] == {
        "least": 4,
        "quarter": 4,
        "median": 6,
        "three_quarters": 6,
        "most": 6,
    }
    assert measured("chat", [*answers[:2], TEXTS[2]], WANTED)["perplexity"] is None


def test_distinct_words_and_pairs() -> None:
    assert chat.distinct(["thou art thou art", "Thou goest"], 1) == 3 / 6
    assert chat.distinct(["thou art thou art", "Thou goest"], 2) == 3 / 4
    assert chat.distinct([""], 2) == 0


@pytest.mark.parametrize(
    ("text", "is_refusal"),
    [
        ("I'm sorry, but I can't help with that.", True),
        ("I cannot answer this.", True),
        ("As an AI language model, I have no feelings.", True),
        ("Unfortunately, I do not know.", True),
        ("I can tell you more.", False),
        ("He was sorry, and said so.", False),
        ("As an apple falls, so does the leaf.", False),
    ],
)
def test_refusals(text: str, is_refusal: bool) -> None:
    assert chat.is_refusal(text) == is_refusal


def test_a_key_of_an_alternative_is_compared_as_it_says() -> None:
    bill = {"properties": {"kind": {"const": "bill"}, "due": {"format": "date"}}}
    note = {"properties": {"kind": {"const": "note"}, "due": {"type": "string"}, "by": {"x-compare": "text"}}}
    right, other = (
        {"kind": "bill", "due": "2026-11-28", "by": "A"},
        {"kind": "bill", "due": "28.11.2026", "by": "a"},
    )
    for schema in (
        {"anyOf": [bill, note]},
        {"oneOf": [{"$ref": "#/$defs/bill"}, note], "$defs": {"bill": bill}},
    ):
        found = measured("extract", [json.dumps(other)], [json.dumps(right)], schema=schema)
        assert found["match"] == 1
