"""What a worker weighs beside the answers, and the baseline of word counts."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

import tinsmith
from tests.models.tiny_models import tiny_spec
from tests.models.transformers_models import CHATML
from tinsmith.data.readers import Example
from tinsmith.evaluate import perplexity, worker
from tinsmith.evaluate.answers import Item, Job, read_answers
from tinsmith.evaluate.baselines import Linear
from tinsmith.models import family, save_gguf
from tinsmith.tasks import by_name


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("base") / "tiny.gguf"
    spec = replace(tiny_spec(family.by_name("llama"), max_position_embeddings=128), chat_template=CHATML)
    save_gguf(spec, path)
    return path


def test_options_and_expected_answers_are_weighed_beside_the_answer(base: Path, tmp_path: Path) -> None:
    asked = [[{"role": "user", "content": text}] for text in ("good", "bad")]
    plain = Job(str(base), "00", 1, 4, [Item(messages) for messages in asked])  # type: ignore[arg-type]
    wanted = ["so it is", "it is not " * 50]
    more = replace(
        plain,
        items=[replace(item, expected=text) for item, text in zip(plain.items, wanted, strict=True)],
        options=["yes", "no"],
    )
    assert len({plain.digest, replace(plain, options=["yes", "no"]).digest, more.digest}) == 3
    worker.work(plain, tmp_path / "plain.jsonl")
    worker.work(more, tmp_path / "more.jsonl")
    before, after = read_answers(tmp_path / "plain.jsonl"), read_answers(tmp_path / "more.jsonl")
    assert [answer.tokens for answer in before] == [answer.tokens for answer in after]
    assert before[0].options is before[0].expected_log_probability is None
    model = tinsmith.load(base)
    assert [answer.options for answer in after] == [
        model.choose(messages, ["yes", "no"]).probabilities for messages in asked
    ]
    prompt, answer = model.render(asked[0]), [*model.tokenize(wanted[0]), model.end_token]
    scores = perplexity.scored(model, [*prompt, *answer], len(prompt) - 1)
    assert after[0].expected_tokens == len(answer)
    assert after[0].expected_log_probability == pytest.approx(math.fsum(scores))
    assert after[1].expected_log_probability is after[1].expected_tokens is None  # the context is full


LETTERS = [
    "a parcel was lost",
    "the parcel is late",
    "my password fails",
    "reset the password",
    "a lost password",
]
LABELS = ["shipping", "shipping", "login", "login", "login"]


def test_word_counts_are_scikit_learns() -> None:
    pytest.importorskip("sklearn")
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    rows = [Example(text, label) for text, label in zip(LETTERS, LABELS, strict=True)]
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True).fit(LETTERS)
    oracle = LogisticRegression(C=Linear.C, max_iter=1000).fit(words.transform(LETTERS), LABELS)
    asked = "where is the parcel"
    (shares,) = oracle.predict_proba(words.transform([asked]))
    label, found = Linear(by_name("classify"), rows).answer(asked)
    assert label == "shipping"
    assert found == pytest.approx(dict(zip(oracle.classes_, shares, strict=True)))


def test_word_counts_give_several_labels_where_examples_do() -> None:
    pytest.importorskip("sklearn")
    rows = [Example(text, json.dumps([label])) for text, label in zip(LETTERS, LABELS, strict=True)]
    both = Example("password and parcel are lost", '["login","shipping"]')
    linear = Linear(by_name("classify"), [*rows, both, Example("hello", "[]")] * 3)
    assert linear.answer(both.input) == ('["login","shipping"]', None)
    assert linear.answer("hello") == ("[]", None)
