"""question-answer: a question and its answer, after the text that it is about where there is one."""

from __future__ import annotations

from typing import ClassVar

from tinsmith.data.shapes._pairs import Pairs


class QuestionAnswer(Pairs):
    name = "question-answer"
    inputs: ClassVar = ("question",)
    outputs: ClassVar = ("answer", "response")
    before: ClassVar = ("context", "passage")


shape = QuestionAnswer()
