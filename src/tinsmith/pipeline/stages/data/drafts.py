"""The n-gram draft table, learned from the outputs of the training examples."""

from __future__ import annotations

from collections.abc import Sequence

from tinsmith import _core, tasks
from tinsmith.data.readers import Example
from tinsmith.pipeline.recipe.values import Recipe
from tinsmith.runtime.model import Model
from tinsmith.spec import Spec


def of_recipe(recipe: Recipe, train: Sequence[Example], spec: Spec) -> bytes | None:
    """None without examples, or for a base that can't chat. spec: the base with the chat template that ships.
    Answers to images are left out: the text around an image does not predict them."""
    texts = [row for row in train if not row.images]
    if not texts:
        return None
    from tinsmith.compiler import build_words, drafts

    facts = {"name": "words", "family": spec.family, "parameters": 0, "weight_bytes": 0, "tensors": {}}
    image = build_words(spec.tokenizer, spec.chat_template, spec.hyper.context, facts)
    model = Model(_core.Model(image), image, 1)
    if not model.can_chat:
        return None
    task, system = tasks.by_name(recipe.data.task), recipe.data.system
    answers = [
        (model.render(task.messages(row, system)), [*model.tokenize(row.output), model.end_token])
        for row in drafts.spread(texts)
    ]
    return drafts.learn(model.core, answers)
