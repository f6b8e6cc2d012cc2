"""The router of a run's tins: fitted on the tasks' training and validation prompts, measured on their tests'.

It reads what the base alone makes of a prompt, so prompts are rendered by the base's own chat template, without
a task's system message.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinsmith.evaluate import metrics
from tinsmith.evaluate.baselines import stratified
from tinsmith.formats.tin import SOURCE, Tin
from tinsmith.pipeline.measuring import test_items
from tinsmith.pipeline.run import Run
from tinsmith.pipeline.stages import data_tasks as data
from tinsmith.pipeline.stages.data import make as alone
from tinsmith.system.progress import Bar

if TYPE_CHECKING:
    from tinsmith.train.adapters.router import Fitted

OFF_TOPIC = "off topic"
NONE = "none"


def fitted(run: Run, tin: Path) -> Fitted:
    """By the states of the file's own base."""
    from tinsmith.train.adapters import router

    own, off = prompts(run), data.off_topic(run, "off_topic")
    labels = [name for name, texts in own.items() for _ in texts]
    with run.display.bar("router", len(labels) + len(off)) as bar:
        states = _States(run, tin, bar)
        tasks = states.of([text for texts in own.values() for text in texts])
        seed, source = run.recipe.train.seed, bytes(Tin(tin).entry(SOURCE))
        return router.fit(tasks, labels, states.of(off), seed=seed, source=source)


def prompts(run: Run) -> dict[str, list[str]]:
    """By task, so many inputs of the training examples, and of the validation examples, as the recipe says."""
    chosen: dict[str, list[str]] = {}
    for name, one in data.runs(run).items():
        for split in ("train", "validation"):
            rows = alone.examples(one, split)
            picked = stratified(rows, examples(run), one.recipe.eval.seed)
            chosen.setdefault(name, []).extend(rows[i].input for i in picked)
    return chosen


def examples(run: Run) -> int:
    assert run.recipe.router  # of a recipe with tasks
    return run.recipe.router.examples


class _States:
    """What the base of a file makes of prompts; the bar tells how many are done."""

    def __init__(self, run: Run, tin: Path, bar: Bar) -> None:
        import tinsmith

        self.model = tinsmith.load(tin, threads=run.recipe.eval.threads or None)
        self.bar, self.done = bar, 0

    def of(self, texts: Sequence[str]) -> Any:
        """[texts, dim], float32."""
        import numpy as np

        rows = []
        for text in texts:
            rows.append(np.asarray(self.model.states([text])[0]))
            self.done += 1
            self.bar.update(self.done)
        return np.stack(rows)


def figures(run: Run, decisions: Mapping[str, Sequence[str | None]]) -> dict[str, Any]:
    """Of report.json: how often the right task was chosen, and how often none for what is off topic."""
    settings = run.recipe.eval

    def share(hits: int, count: int) -> dict[str, Any]:
        interval = metrics.interval(hits, count, settings.bootstrap, settings.seed)
        return {"prompts": count, "right": hits / count, "interval": list(interval)}

    right = {
        name: sum(one == (None if name == OFF_TOPIC else name) for one in chosen)
        for name, chosen in decisions.items()
    }
    own = [name for name in decisions if name != OFF_TOPIC]
    pairs = Counter((name, one or NONE) for name, chosen in decisions.items() for one in chosen)
    return {
        **share(sum(right[name] for name in own), sum(len(decisions[name]) for name in own)),
        "tasks": {name: share(right[name], len(decisions[name])) for name in own},
        "off_topic": share(right[OFF_TOPIC], len(decisions[OFF_TOPIC])) if OFF_TOPIC in decisions else None,
        "confusion": [
            {"expected": expected, "chosen": chosen, "count": count}
            for (expected, chosen), count in sorted(pairs.items(), key=lambda pair: (-pair[1], pair[0]))
        ],
    }


def decide(run: Run, tin: Path) -> dict[str, list[str | None]]:
    """By task, which one the router chooses for each test prompt; and for prompts off topic."""
    import tinsmith

    model = tinsmith.load(tin, threads=run.recipe.eval.threads or None)
    asked = {name: [example.input for example in test_items(one)] for name, one in data.runs(run).items()}
    if off := data.off_topic(run, "test"):
        asked[OFF_TOPIC] = off
    count = sum(map(len, asked.values()))
    decisions: dict[str, list[str | None]] = {name: [] for name in asked}
    with run.display.bar("route", count) as bar:
        done = 0
        for name, texts in asked.items():
            for text in texts:
                decisions[name].append(model.route(text).task)
                done += 1
                bar.update(done)
    return decisions
