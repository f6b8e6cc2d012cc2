"""compare.json: each system's grades and costs, against the best prompted and the tuned one; and its page."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from tinsmith.evaluate import curve, page, paired, verdict
from tinsmith.evaluate.doubling import Doubling
from tinsmith.evaluate.page import figure, percent, price, times
from tinsmith.evaluate.verdict import Changed, Evidence, Standing, Verdict, Worst
from tinsmith.pipeline import pages
from tinsmith.pipeline.compare import asking
from tinsmith.pipeline.compare.asking import Answered, Table
from tinsmith.pipeline.recipe.values import Recipe

HOUR = 3_600_000  # milliseconds

TITLES = {
    "zero_shot": "zero-shot",
    "few_shot": "few-shot",
    "retrieval": "retrieval",
    "retrieval_static": "retrieval by embeddings",
    asking.NEAREST: "nearest example copied",
    asking.TUNED: "tuned",
    "tuned_retrieval": "tuned + retrieval",
    "tuned_retrieval_static": "tuned + retrieval by embeddings",
}


@dataclasses.dataclass(frozen=True)
class Chosen:
    """The best system of each kind: the most right answers, of equals the cheapest. retrieval: the best
    untrained one that retrieves; both: tuned with retrieval."""

    prompted: Answered
    retrieval: Answered | None
    tuned: Answered
    both: Answered | None

    @property
    def roles(self) -> dict[str, Answered | None]:
        """The systems measured after a change of right answers."""
        return {"retrieval": self.retrieval, "tuned": self.tuned, "both": self.both}


def chosen(table: Table) -> Chosen:
    def best(*kinds: str, retrieves: bool | None = None, here: bool = False) -> Answered | None:
        found = [
            one
            for one in table.answered.values()
            if one.system.kind in kinds
            and retrieves in (None, one.system.retrieves)
            and not (here and one.system.kind == asking.ENDPOINT)
        ]
        return max(found, key=lambda one: (one.exact, -(one.entry["ms_per_item"] or 0.0)), default=None)

    prompted, tuned = best(*asking.UNTRAINED), best(asking.TUNED, retrieves=False)
    assert prompted and tuned  # every comparison asks a base and trains it
    retrieval = best(*asking.UNTRAINED, retrieves=True, here=True)
    return Chosen(prompted, retrieval, tuned, best(asking.TUNED, retrieves=True))


def title(one: Answered) -> str:
    """A system's name in words."""
    system = one.system
    if system.kind in asking.ELSEWHERE:
        return system.name
    base = system.name.partition("@")[2].removesuffix("_constrained")
    suffix = (f" of {base}" if base else "") + (", constrained" if system.is_constrained else "")
    return TITLES.get(system.prompt, system.name) + suffix


def money(one: Answered, recipe: Recipe) -> float | None:
    """The cost of an item; None if a price or a count is unknown."""
    entry, table = one.entry, recipe.compare
    stated = next((each for each in (*table.endpoint, *table.answers) if each.name == one.system.name), None)
    if stated is None:
        return None if table.machine_hour is None else entry["ms_per_item"] / HOUR * table.machine_hour
    counts = entry["prompt_tokens"], entry["generated_tokens"]
    if stated.price is None or None in counts:
        return None
    return float(sum(million * count / 1e6 for million, count in zip(stated.price, counts, strict=True)))


def unit_cost(one: Answered, recipe: Recipe) -> float | None:
    """The cost of an item in one unit for all systems: money if [compare] machine_hour is given, else
    milliseconds of this machine, None for remote systems."""
    if recipe.compare.machine_hour is not None:
        return money(one, recipe)
    return None if one.system.kind in asking.ELSEWHERE else float(one.entry["ms_per_item"])


def pays_after(one: Answered, prompted: Answered, recipe: Recipe) -> int | None:
    """The number of items whose savings against the best prompted system pay the training; None for an
    untrained system, or if an item does not cost less."""
    seconds: float | None = one.entry.get("training_seconds")
    own, other = unit_cost(one, recipe), unit_cost(prompted, recipe)
    if seconds is None or other is None or own is None or own >= other:
        return None
    hour = recipe.compare.machine_hour
    training = 1000 * seconds if hour is None else 1000 * seconds / HOUR * hour
    return math.ceil(training / (other - own))


def entries(table: Table, picked: Chosen) -> dict[str, dict[str, Any]]:
    """The systems' entries, with costs, against the best prompted and the tuned system."""
    recipe, found = table.data.recipe, {}
    for name, one in table.answered.items():
        price, against = money(one, recipe), {}
        for role, other in (("best_prompted", picked.prompted), ("tuned", picked.tuned)):
            if one is not other:
                mine, theirs = unit_cost(one, recipe), unit_cost(other, recipe)
                against[role] = {
                    **dataclasses.asdict(paired.compare(one.right, other.right)),
                    "cost": mine / theirs if mine is not None and theirs else None,
                }
        found[name] = {
            "title": title(one),
            **one.entry,
            "cost_per_1000": None if price is None else 1000 * price,
            "cost_per_100000": None if price is None else 100_000 * price,
            "pays_after": pays_after(one, picked.prompted, recipe),
            "against": against,
        }
    return found


def decided(
    table: Table, picked: Chosen, doubling: Doubling, groups: Sequence[Worst], changed: Changed | None
) -> Verdict:
    standings: dict[str, Any] = {
        role: one and Standing(title(one), one.right, unit_cost(one, table.data.recipe))
        for role, one in vars(picked).items()
    }
    examples = len(table.shown.train)
    return verdict.decide(
        Evidence(examples=examples, doubling=doubling, worst=groups, changed=changed, **standings)
    )


def html(found: dict[str, Any]) -> str:
    title = f"{found['name']}: should it be tuned?"
    return page.draw("compare", title, found=found, learning=learning(found))


def learning(found: dict[str, Any]) -> curve.Drawing | None:
    """Errors in per cent over examples, measured, and where the line has twice as many."""
    points, then = found["curve"]["points"], found["curve"]["doubling"]
    rows = [{"examples": point["examples"], "measured": 100 * (1 - point["exact"])} for point in points]
    if then["exact"] is not None:
        for size in [*(point["examples"] for point in points), then["examples"]]:
            line = 100 * min(1.0, then["scale"] * size ** -then["power"])
            rows.append({"examples": size, "line": line})
    return curve.draw(rows, ("measured", "line"), "examples")


def lines(found: dict[str, Any]) -> list[str]:
    """The systems as aligned text, and the verdict with its reasons."""
    head = ("system", "exact %", "95 %", "errors ×", "cost ×", "ms/item", "tokens", "per 100,000", "p")
    rows = [head]
    for one in found["systems"].values():
        low, high = one["exact_interval"]
        against = one["against"].get("best_prompted", {})
        tokens = (one["prompt_tokens"], one["generated_tokens"])
        ratios = (times(against["errors"]), times(against["cost"])) if against else ("best", "prompted")
        cells = (
            one["title"],
            percent(one["exact"]),
            f"{percent(low)}–{percent(high)}",
            *ratios,
            figure(one["ms_per_item"]),
            "+".join(figure(count) for count in tokens),
            price(one["cost_per_100000"]),
            f"{against['p']:.2g}" if against else "–",
        )
        rows.append(cells)
    told, verdict = pages.aligned(rows), found["verdict"]
    told += ["", f"verdict: {verdict['words']}"]
    told += [f"  because {reason}" for reason in verdict["reasons"]]
    return told + [f"  and {also}" for also in verdict["also"]]
