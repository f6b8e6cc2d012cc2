"""Baselines for the trained model: the prompted base, a copy of the nearest training example, a linear
classifier.

Prompts begin with their constant part (instructions, tools, fixed examples), which the runtime's KV cache
computes once for all items."""

from __future__ import annotations

import json
import random
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from tinsmith.data.readers import Example
from tinsmith.errors import MissingExtraError
from tinsmith.evaluate.metrics import SEED
from tinsmith.tasks import Message, Task

Messages = list[Message]
T = TypeVar("T")


class Nearest(ABC):
    """Finds the training examples nearest to a sentence."""

    examples: Sequence[Example]

    @abstractmethod
    def scores(self, sentence: str) -> Sequence[float]:
        """The similarity of each example."""

    def nearest(self, sentence: str, count: int) -> list[Example]:
        """The `count` best examples, best first; of equals the earlier."""
        scores = [float(score) for score in self.scores(sentence)]
        order = sorted(range(len(scores)), key=lambda place: -scores[place])
        return [self.examples[place] for place in order[:count]]


class Retriever(Nearest):
    """BM25 over the words of the examples' inputs, by bm25s."""

    def __init__(self, examples: Sequence[Example]) -> None:
        try:
            import bm25s
        except ModuleNotFoundError:
            raise MissingExtraError("bm25s", "eval") from None
        self.bm25s = bm25s
        self.examples = examples
        self.index = bm25s.BM25()
        self.index.index(self._words([e.input for e in examples]), show_progress=False)

    def scores(self, sentence: str) -> Sequence[float]:
        words = self._words([sentence])[0]
        found: Sequence[float] = self.index.get_scores(words) if words else [0.0] * len(self.examples)
        return found

    def _words(self, texts: list[str]) -> list[list[str]]:
        words: list[list[str]] = self.bm25s.tokenize(
            texts, stopwords=None, token_pattern=r"\w+", return_ids=False, show_progress=False
        )
        return words


class Linear:
    """TF-IDF of words and pairs of words, and logistic regression over them, by scikit-learn. If the outputs
    are lists of labels, each label has a regression and is given from a probability of 1/2."""

    C = 10.0  # of the regression: scikit-learn's 1 regularizes short texts too strongly

    def __init__(self, task: Task, train: Sequence[Example]) -> None:
        try:
            from sklearn.feature_extraction.text import TfidfVectorizer
            from sklearn.linear_model import LogisticRegression
            from sklearn.multiclass import OneVsRestClassifier
            from sklearn.pipeline import make_pipeline
            from sklearn.preprocessing import MultiLabelBinarizer
        except ModuleNotFoundError:
            raise MissingExtraError("scikit-learn", "eval") from None
        outputs = [example.output for example in train]
        self.labels = sorted(task.labels(outputs))
        self.has_several = not task.options(outputs)
        regression = LogisticRegression(C=self.C, max_iter=1000)
        self.model = make_pipeline(
            TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
            OneVsRestClassifier(regression) if self.has_several else regression,
        )
        wanted: Any = [output.strip() for output in outputs]
        if self.has_several:
            wanted = MultiLabelBinarizer(classes=self.labels).fit_transform(
                [task.labels([output]) for output in outputs]
            )
        self.model.fit([example.input for example in train], wanted)

    def answer(self, sentence: str) -> tuple[str, dict[str, float] | None]:
        """The output, and the probability of each label; None for a list of labels."""
        (found,) = self.model.predict_proba([sentence])
        shares = dict(zip(self.labels, map(float, found), strict=True))
        if self.has_several:
            given = [label for label in self.labels if shares[label] >= 0.5]
            return json.dumps(given, ensure_ascii=False, separators=(",", ":")), None
        return max(shares, key=lambda label: shares[label]), shares


class Prompts:
    """Messages for one test example under each prompted baseline.

    tools: the functions' descriptions, as Task.instruction takes them. shots: examples in a prompt. retriever:
    default BM25."""

    def __init__(
        self,
        task: Task,
        system: str,
        train: Sequence[Example],
        tools: Sequence[Mapping[str, Any]] | None,
        shots: int,
        retriever: Nearest | None = None,
    ) -> None:
        self.system, self.instruction, self.shots = system, task.instruction(train, tools), shots
        self.fixed = spread(task, train, shots)
        self.retriever = retriever or Retriever(train)

    def zero_shot(self, example: Example) -> Messages:
        return self._asked(self.instruction, [], example)

    def few_shot(self, example: Example) -> Messages:
        return self._asked(self.instruction, self.fixed, example)

    def retrieval(self, example: Example) -> Messages:
        # The nearest examples show the functions that matter. Listing all of them too costs tokens, and gave a
        # small base no more right answers.
        return self._asked("Answer as in the examples, and nothing else.", self._nearest(example), example)

    def tuned_retrieval(self, example: Example) -> Messages:
        """For the tuned model: its system message in training, and the nearest examples."""
        return self._asked("", self._nearest(example), example)

    def _nearest(self, example: Example) -> list[Example]:
        """The nearest example comes last, where a small model attends most."""
        return self.retriever.nearest(example.input, self.shots)[::-1]

    def _asked(self, instruction: str, shots: Sequence[Example], example: Example) -> Messages:
        """The example's own system message stands before the others, its other turns before the input."""
        turns: Messages = [{"role": turn.role, "content": turn.content} for turn in example.turns]
        own = str(turns.pop(0)["content"]) if turns and turns[0]["role"] == "system" else ""
        text = "\n".join(part for part in (own, self.system, instruction) if part)
        prompt: Messages = [{"role": "system", "content": text}] if text else []
        for shot in shots:
            prompt.append({"role": "user", "content": shot.input})
            prompt.append({"role": "assistant", "content": shot.output})
        return [*prompt, *turns, {"role": example.role, "content": example.input}]


def spread(task: Task, examples: Sequence[Example], count: int, seed: int = SEED) -> list[Example]:
    """`count` examples by a seeded draw, evenly over the labels."""
    pool = list(examples)
    random.Random(seed).shuffle(pool)
    by_label: dict[str | None, list[Example]] = defaultdict(list)
    for example in pool:
        by_label[task.label(example.output)].append(example)
    return _evenly(list(by_label.values()), min(count, len(pool)))


def stratified(examples: Sequence[Example], limit: int, seed: int = SEED) -> list[Example]:
    """At most `limit` examples (0: all), drawn evenly from the parts, in their order."""
    if limit == 0 or limit >= len(examples):
        return list(examples)
    by_part: dict[str, list[int]] = defaultdict(list)
    order = list(range(len(examples)))
    random.Random(seed).shuffle(order)
    for i in order:
        by_part[examples[i].part or ""].append(i)
    return [examples[i] for i in sorted(_evenly([by_part[part] for part in sorted(by_part)], limit))]


def _evenly(groups: Sequence[list[T]], count: int) -> list[T]:
    """Takes one of each group in turn, until there are `count`."""
    chosen: list[T] = []
    while len(chosen) < count:
        for group in groups:
            if group and len(chosen) < count:
                chosen.append(group.pop())
    return chosen
