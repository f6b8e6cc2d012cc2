"""chat: free text, of which many are right."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from tinsmith.errors import MissingExtraError
from tinsmith.tasks import Figure, Labels, Pairs, Task, Words
from tinsmith.tasks._scores import mean

# How instruction-tuned models usually begin a refusal.
_REFUSALS = re.compile(
    r"^\W*(?:(?:i['’]?m|i am) (?:(?:very |so |really )?sorry|afraid|unable to|not able to)"
    r"|sorry\b|my apologies|i apologi[sz]e|as an? (?:ai|language model|assistant)\b|unfortunately,? i\b"
    r"|i (?:can['’]?t|can ?not|could ?n['’]t|won['’]t|will not|must decline|do not feel comfortable)\b)",
    re.IGNORECASE,
)


class Chat(Task):
    name = "chat"
    words = Words(
        answers="answers",
        exact="the expected text",
        valid="a text that is not empty",
        figures=(
            Figure("perplexity", "Perplexity", "of the expected answers, per token", is_share=False),
            Figure("bits_per_byte", "Bits a byte", "the same, comparable across tokenizers", is_share=False),
            Figure("chrf", "chrF", "the answers against the expected ones, from 0 to 100", is_share=False),
            Figure("distinct_1", "Distinct words", "share of all words of the answers"),
            Figure("distinct_2", "Distinct pairs", "share of all pairs of adjacent words"),
            Figure("words", "Words", "mean of an answer", is_share=False),
            Figure("length_ratio", "Length", "words of the answers over those of the expected ones"),
            Figure("refusals", "Refusals", "answers that begin as a refusal"),
        ),
    )
    is_free = True
    weighs = "expected"

    def likely(self, outputs: Sequence[str]) -> float:
        return 0.1

    def parse(self, text: str) -> Any:
        return text.strip() or None

    def measures(self, pairs: Pairs, labels: Labels = frozenset(), schema: Any = None) -> dict[str, Any]:
        """chrF: Popović, WMT 2015, by sacrebleu; distinct: Li et al., "A Diversity-Promoting Objective
        Function", NAACL 2016. Raises MissingExtraError without sacrebleu."""
        texts, wanted = [answer.text.strip() for answer, _ in pairs], [example.output for _, example in pairs]
        lengths, expected = [len(text.split()) for text in texts], [len(text.split()) for text in wanted]
        return {
            **_surprise(pairs),
            "chrf": _chrf(texts, wanted),
            "distinct_1": distinct(texts, 1),
            "distinct_2": distinct(texts, 2),
            "words": mean(lengths),
            "length_ratio": sum(lengths) / max(1, sum(expected)),
            "refusals": mean(is_refusal(text) for text in texts),
            "lengths": {"answers": _profile(lengths), "expected": _profile(expected)},
        }


def _surprise(pairs: Pairs) -> dict[str, float | None]:
    """None for a system that does not report a text's probability."""
    nats, tokens, size = 0.0, 0, 0
    for answer, example in pairs:
        if answer.expected_log_probability is None or not answer.expected_tokens:
            return {"perplexity": None, "bits_per_byte": None}
        nats -= answer.expected_log_probability
        tokens += answer.expected_tokens
        size += len(example.output.encode())
    return {"perplexity": math.exp(nats / max(1, tokens)), "bits_per_byte": nats / math.log(2) / max(1, size)}


def _chrf(texts: Sequence[str], wanted: Sequence[str]) -> float:
    try:
        import sacrebleu
    except ModuleNotFoundError:
        raise MissingExtraError("sacrebleu", "eval") from None
    return float(sacrebleu.corpus_chrf(list(texts), [list(wanted)]).score)


def distinct(texts: Sequence[str], count: int) -> float:
    """The share of distinct n-grams of words, in lower case."""
    runs = []
    for text in texts:
        words = text.lower().split()
        runs += [tuple(words[at : at + count]) for at in range(len(words) - count + 1)]
    return len(set(runs)) / max(1, len(runs))


def is_refusal(text: str) -> bool:
    return _REFUSALS.match(text) is not None


def _profile(lengths: Sequence[int]) -> dict[str, int]:
    """The least and the greatest length and the quartiles, each a length that occurs."""
    ordered = sorted(lengths) or [0]
    last = len(ordered) - 1
    names = ("least", "quarter", "median", "three_quarters", "most")
    return {name: ordered[round(last * part / 4)] for part, name in enumerate(names)}


task = Chat()
