"""The base's tokens, without its weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tinsmith import _core, models
from tinsmith.compiler import build_words
from tinsmith.data.readers import Example
from tinsmith.runtime.model import Model
from tinsmith.tasks import Task

_SHORTEST = 3  # characters of a special token; texts may have shorter ones by accident


@dataclass(frozen=True)
class Base:
    """special: the texts of the vocabulary's control tokens. system: the system message of every example."""

    model: Model
    special: tuple[str, ...]
    system: str = ""

    def tokens(self, example: Example, task: Task) -> int:
        """The number of tokens of prompt and answer, with the end token."""
        if self.model.can_chat:
            prompt = len(self.model.render(task.messages(example, self.system)))
        else:
            prompt = len(self.model.tokenize(example.input, bos=True))
        return prompt + len(self.model.tokenize(example.output)) + 1


def read(path: Path, system: str = "", template: str | None = None) -> Base:
    """template: the chat template with a recipe's settings; None for the base's own."""
    spec = models.load(path)
    facts = {"name": path.name, "family": spec.family, "parameters": spec.parameters, "tensors": {}}
    image = build_words(spec.tokenizer, template or spec.chat_template, spec.hyper.context, facts)
    vocabulary = zip(spec.tokenizer.tokens, spec.tokenizer.types, strict=True)
    special = {token for token, kind in vocabulary if kind == "control" and len(token) >= _SHORTEST}
    return Base(Model(_core.Model(image), image, 1), tuple(sorted(special)), system)
