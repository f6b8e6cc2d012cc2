"""chat: questions, each answered by a sentence of the passage.

The answer is chosen first and the question is written to it (Alberti et al., arXiv 1906.05416, do so by spans):
even a weak teacher then makes up no answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from tinsmith.data.readers import Example
from tinsmith.errors import DataError
from tinsmith.prepare.documents.dropping import Dropped
from tinsmith.prepare.documents.grounding import content, gives_away, is_looping, is_related, stands
from tinsmith.prepare.documents.passages import Passage, sentences
from tinsmith.prepare.documents.writing import Request, Terms, Writer, closed, example, invalid, read

_SHORTEST, _LONGEST = 30, 300  # characters of an answer
_SAYS = 3  # words of content that it has at least
_LETTERS = 0.7  # the share of its characters that are letters and spaces
# What begins so is about something that another sentence names.
_POINTS_BACK = frozenset(("it", "this", "that", "these", "those", "they", "he", "she", "such", "then", "also"))
_QUESTION = {"type": "string", "pattern": r"^[^a-z\s\"?][^\n\r\"?]{10,150}\?$"}
_TOKENS = 64


def _prompt(text: str, answer: str) -> str:
    return f"{text}\n\nWrite the question about this text that has this answer: {answer}"


_SHOTS = (
    (
        _prompt(
            "Text about harbour lamps: Oil\n\nThe Adler lamp burns for nine hours on one filling. It was built "
            "in Bremen until 1911, and takes rapeseed oil alone.",
            "The Adler lamp burns for nine hours on one filling.",
        ),
        '{"question":"How long does the Adler lamp burn on one filling?"}',
    ),
    (
        _prompt(
            "Text about mkindex: Options\n\nWith -q the program prints nothing. Without a file it reads what "
            "is piped to it.",
            "Without a file it reads what is piped to it.",
        ),
        '{"question":"What does mkindex read when no file is given?"}',
    ),
)


class Chat(Writer):
    grounding: ClassVar[str] = (
        "an answer is a sentence that stands in the passage; most of its question's words stand there, one in "
        "the answer, and the question does not hold the answer"
    )

    def requests(self, passage: Passage, terms: Terms) -> list[Request]:
        return [
            Request(_prompt(shown(passage), answer), closed({"question": _QUESTION}), _TOKENS, _SHOTS)
            for answer in self.answers(passage, terms)
        ]

    @staticmethod
    def answers(passage: Passage, terms: Terms) -> list[str]:
        """The sentences that say most, in the order of the passage."""
        every = list(dict.fromkeys(filter(_says_something, sentences(passage.text))))
        best = sorted(every, key=lambda one: (_points_back(one), -len(content(one))))[: terms.questions]
        return [one for one in every if one in best]

    def written(
        self, passage: Passage, terms: Terms, requests: Sequence[Request], answers: Sequence[str]
    ) -> Iterator[Example | Dropped]:
        for request, answer, wanted in zip(requests, answers, self.answers(passage, terms), strict=True):
            try:
                question = str(read(request, answer)["question"]).strip()
            except DataError as fault:
                yield invalid(passage, fault, answer)
                continue
            row = {"input": question, "output": wanted}
            if not stands(wanted, passage.text):
                yield Dropped("ungrounded", passage.where, "the answer does not stand in the passage", row)
            elif not is_related(question, wanted, passage):
                yield Dropped("unrelated", passage.where, "the question's words are not the passage's", row)
            elif is_looping(question):
                yield Dropped("looping", passage.where, "the question says a word over and over", row)
            elif gives_away(question, wanted):
                yield Dropped("given away", passage.where, "the question holds its answer", row)
            else:
                yield example(passage, asked_of(passage, question), wanted)


def shown(passage: Passage) -> str:
    return f"Text about {passage.title}\n\n{passage.text}"


def asked_of(passage: Passage, question: str) -> str:
    """With the document's name before a question that does not say what it is about: it is asked without the
    passage."""
    return question if content(question) & content(passage.subject) else f"{passage.subject}: {question}"


def _says_something(sentence: str) -> bool:
    letters = sum(one.isalpha() or one == " " for one in sentence)
    return (
        _SHORTEST <= len(sentence) <= _LONGEST
        and sentence[-1] in ".!"
        and not sentence[0].islower()
        and letters >= _LETTERS * len(sentence)
        and len(content(sentence)) >= _SAYS
    )


def _points_back(sentence: str) -> bool:
    return sentence.split()[0].casefold().rstrip(",") in _POINTS_BACK


writer = Chat()
