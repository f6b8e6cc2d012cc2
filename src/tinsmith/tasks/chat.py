"""chat: free text, of which many are right: a voice, a language, a way to answer."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tinsmith.errors import MissingExtraError
from tinsmith.tasks import Answered, Figure, Task, Words
from tinsmith.tasks._json import share
from tinsmith.tasks._scores import mean

if TYPE_CHECKING:
    from tinsmith.data.readers import Example

# How instruction-tuned models begin when they decline, in their usual words.
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
            Figure("perplexity", "Perplexity", "of the expected answers, a token", is_share=False),
            Figure("bits_per_byte", "Bits a byte", "the same, for bases of other tokens", is_share=False),
            Figure("chrf", "chrF", "the answers against the expected ones, from 0 to 100", is_share=False),
            Figure("distinct_1", "Distinct words", "of all words of the answers"),
            Figure("distinct_2", "Distinct pairs", "of all pairs of words that follow each other"),
            Figure("words", "Words", "of an answer, in the mean", is_share=False),
            Figure("length_ratio", "Length", "words of the answers by those of the expected ones"),
            Figure("refusals", "Refusals", "answers that begin as a model declines"),
        ),
    )
    is_free = True
    weighs = "expected"

    def likely(self, outputs: Sequence[str]) -> float:
        return 0.1

    def parse(self, text: str) -> Any:
        return text.strip() or None

    def measures(
        self,
        answers: Sequence[Answered],
        examples: Sequence[Example],
        labels: frozenset[str] = frozenset(),
        schema: Any = None,
    ) -> dict[str, Any]:
        """chrF: Popović, WMT 2015, as sacrebleu has it; distinct: Li et al., "A Diversity-Promoting Objective
        Function", NAACL 2016. Raises MissingExtraError without sacrebleu."""
        texts, wanted = [answer.text.strip() for answer in answers], [example.output for example in examples]
        lengths, expected = [len(text.split()) for text in texts], [len(text.split()) for text in wanted]
        return {
            **_surprise(answers, wanted),
            "chrf": _chrf(texts, wanted),
            "distinct_1": distinct(texts, 1),
            "distinct_2": distinct(texts, 2),
            "words": mean(lengths),
            "length_ratio": sum(lengths) / max(1, sum(expected)),
            "refusals": share(is_refusal(text) for text in texts),
            "lengths": {"answers": _profile(lengths), "expected": _profile(expected)},
        }


def _surprise(answers: Sequence[Answered], wanted: Sequence[str]) -> dict[str, float | None]:
    """None for a system that can't say how likely a text is."""
    nats, tokens = 0.0, 0
    for answer in answers:
        if answer.expected_log_probability is None or not answer.expected_tokens:
            return {"perplexity": None, "bits_per_byte": None}
        nats -= answer.expected_log_probability
        tokens += answer.expected_tokens
    size = sum(len(text.encode()) for text in wanted)
    return {"perplexity": math.exp(nats / max(1, tokens)), "bits_per_byte": nats / math.log(2) / max(1, size)}


def _chrf(texts: Sequence[str], wanted: Sequence[str]) -> float:
    try:
        import sacrebleu
    except ModuleNotFoundError:
        raise MissingExtraError("sacrebleu", "eval") from None
    return float(sacrebleu.corpus_chrf(list(texts), [list(wanted)]).score)


def distinct(texts: Sequence[str], count: int) -> float:
    """Of all runs of so many words, in lower case, the share that differ."""
    runs = []
    for text in texts:
        words = text.lower().split()
        runs += [tuple(words[at : at + count]) for at in range(len(words) - count + 1)]
    return len(set(runs)) / max(1, len(runs))


def is_refusal(text: str) -> bool:
    return _REFUSALS.match(text) is not None


def _profile(lengths: Sequence[int]) -> dict[str, int]:
    """Words: the least, the quarters, the most, each a length that occurs."""
    ordered = sorted(lengths) or [0]
    last = len(ordered) - 1
    names = ("least", "quarter", "median", "three_quarters", "most")
    return {name: ordered[round(last * part / 4)] for part, name in enumerate(names)}


task = Chat()
