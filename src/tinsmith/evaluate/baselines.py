"""What the trained model must beat: the base model prompted, and the nearest training example copied.

The prompts put what stays the same first (instructions, tools, fixed examples), so that the runtime's KV cache
answers it once for all items.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from tinsmith.errors import MissingExtraError

if TYPE_CHECKING:
    from tinsmith.data.readers import Example
    from tinsmith.tasks import Message, Task

Messages = list["Message"]


class Nearest(Protocol):
    """What finds examples for a sentence."""

    def nearest(self, sentence: str, count: int) -> list[Example]:
        """The `count` best examples, best first; of equals the earlier."""


class Retriever:
    """Finds the training examples nearest to a sentence: BM25 over the words of their inputs, by bm25s."""

    def __init__(self, examples: Sequence[Example]) -> None:
        try:
            import bm25s
        except ModuleNotFoundError:
            raise MissingExtraError("bm25s", "eval") from None
        self.bm25s = bm25s
        self.examples = examples
        self.index = bm25s.BM25()
        self.index.index(self._words([e.input for e in examples]), show_progress=False)

    def nearest(self, sentence: str, count: int) -> list[Example]:
        """The `count` best examples, best first; of equals the earlier."""
        count = min(count, len(self.examples))
        words = self._words([sentence])[0]
        scores = self.index.get_scores(words) if words else [0.0] * len(self.examples)
        order = sorted(range(len(self.examples)), key=lambda i: (-float(scores[i]), i))
        return [self.examples[i] for i in order[:count]]

    def _words(self, texts: list[str]) -> list[list[str]]:
        words: list[list[str]] = self.bm25s.tokenize(
            texts, stopwords=None, token_pattern=r"\w+", return_ids=False, show_progress=False
        )
        return words


class Linear:
    """TF-IDF of words and pairs of words, and logistic regression over them, by scikit-learn: what a classifier
    must beat. Where the outputs are lists of labels, one regression a label, which is given from 1/2 on."""

    C = 10.0  # of the regression: short texts have few words each, and scikit-learn's 1 holds them too tight

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
        """The output, and the probability of each label where there is one."""
        (found,) = self.model.predict_proba([sentence])
        shares = dict(zip(self.labels, map(float, found), strict=True))
        if self.has_several:
            given = [label for label in self.labels if shares[label] >= 0.5]
            return json.dumps(given, ensure_ascii=False, separators=(",", ":")), None
        return max(shares, key=lambda label: shares[label]), shares


class Prompts:
    """Messages for one test input under each prompted baseline.

    tools: descriptions of the functions, as Task.instruction takes them. shots: worked examples a prompt.
    retriever: what finds the nearest examples; BM25 where it is None.
    """

    def __init__(
        self,
        task: Task,
        system: str,
        train: Sequence[Example],
        tools: Sequence[Mapping[str, Any]] | None,
        shots: int,
        seed: int,
        retriever: Nearest | None = None,
    ) -> None:
        self.listed = _opening(system, task.instruction(train, tools))
        # The nearest examples show the functions that matter; a list of all beside them costs tokens, and won a
        # small base no right answers.
        self.brief = _opening(system, "Answer as in the examples, and nothing else.")
        self.shots = shots
        self.fixed = spread(task, train, shots, seed)
        self.retriever = retriever or Retriever(train)
        self.plain = _opening(system, "")

    def zero_shot(self, sentence: str) -> Messages:
        return [*self.listed, *_asked(sentence)]

    def few_shot(self, sentence: str) -> Messages:
        return [*self.listed, *_shown(self.fixed), *_asked(sentence)]

    def retrieval(self, sentence: str) -> Messages:
        return [*self.brief, *self._nearest(sentence), *_asked(sentence)]

    def tuned_retrieval(self, sentence: str) -> Messages:
        """For a model that was trained to answer: what it was trained under, and the nearest examples."""
        return [*self.plain, *self._nearest(sentence), *_asked(sentence)]

    def _nearest(self, sentence: str) -> Messages:
        # The nearest example stands last, where a small model attends most.
        return _shown(self.retriever.nearest(sentence, self.shots)[::-1])


def _opening(system: str, instruction: str) -> Messages:
    text = "\n".join(part for part in (system, instruction) if part)
    return [{"role": "system", "content": text}] if text else []


def _shown(examples: Sequence[Example]) -> Messages:
    shown: Messages = []
    for example in examples:
        shown += [{"role": "user", "content": example.input}, {"role": "assistant", "content": example.output}]
    return shown


def with_turns(prompt: Messages, example: Example) -> Messages:
    """A prompt that asks for an example's input, with the turns before it: its own system message before the
    prompt's, the others before the input."""
    if not example.turns:
        return prompt
    turns: Messages = [{"role": turn.role, "content": turn.content} for turn in example.turns]
    own = str(turns.pop(0)["content"]) if turns and turns[0]["role"] == "system" else ""
    told = str(prompt[0]["content"]) if prompt[0]["role"] == "system" else ""
    shown = prompt[1:-1] if told else prompt[:-1]
    asked: Message = {"role": example.role, "content": prompt[-1]["content"]}
    return [*_opening(own, told), *shown, *turns, asked]


def _asked(sentence: str) -> Messages:
    return [{"role": "user", "content": sentence}]


def spread(task: Task, examples: Sequence[Example], count: int, seed: int) -> list[Example]:
    """`count` examples by a seeded draw, one a label for as long as there are labels that were not used."""
    pool = list(examples)
    random.Random(seed).shuffle(pool)
    by_label: dict[str | None, list[Example]] = defaultdict(list)
    for example in pool:
        by_label[task.label(example.output)].append(example)
    chosen: list[Example] = []
    while len(chosen) < min(count, len(pool)):
        for group in by_label.values():
            if group and len(chosen) < count:
                chosen.append(group.pop())
    return chosen


def stratified(examples: Sequence[Example], limit: int, seed: int) -> list[int]:
    """Ascending positions of at most `limit` examples (0: all), the parts as evenly as they go."""
    if limit == 0 or limit >= len(examples):
        return list(range(len(examples)))
    by_part: dict[str, list[int]] = defaultdict(list)
    order = list(range(len(examples)))
    random.Random(seed).shuffle(order)
    for i in order:
        by_part[examples[i].part or ""].append(i)
    chosen: list[int] = []
    while len(chosen) < limit:
        for part in sorted(by_part):
            if by_part[part] and len(chosen) < limit:
                chosen.append(by_part[part].pop())
    return sorted(chosen)
