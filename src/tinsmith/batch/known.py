"""An answer that was kept, and whether it may be one to what is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinsmith.runtime.generation import Answer, Completion
from tinsmith.runtime.receipt import of_logits

if TYPE_CHECKING:
    from tinsmith.runtime.loaded import Loaded
    from tinsmith.runtime.receipt import Question
    from tinsmith.runtime.scheduler import Asked


@dataclass(frozen=True)
class Known:
    """An answer as it was kept. logits: the line of its receipt."""

    completion: Completion
    logits: str
    receipt: str

    def fault(self, model: Loaded, key: Question, asked: Asked) -> str | None:
        """Why it can't be an answer to what is asked; None where it may be."""
        completion, tokens = self.completion, self.completion.token_ids
        if len(tokens) > asked.max_tokens or completion.prompt_tokens != len(asked.tokens):
            return "is not as long as it may be"
        if not all(0 <= token < model.core.info()["vocab"] for token in tokens):
            return "has tokens that the model does not have"
        answer = Answer(model.core, asked.stop)
        for token in tokens:
            if answer.stopped:
                return "goes on behind a stop text"
            answer.add(token)
        answer.end()
        if answer.text != completion.text or (answer.stopped and completion.finish != "stop"):
            return "does not say what its tokens say"
        ended = completion.finish == "stop" and not answer.stopped
        if asked.constraint and not model.constraints.allows(asked.constraint, tokens, ended=ended):
            return "breaks its constraint"
        if of_logits(key, completion, self.logits).digest != self.receipt:
            return "does not have the receipt that follows from it"
        return None
