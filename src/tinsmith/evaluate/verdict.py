"""Whether to fine-tune: a verdict by rules, from the answers of systems to the same items.

docs/compare.md states the rules. The first that applies decides, and gives its reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tinsmith.evaluate import paired
from tinsmith.evaluate.doubling import Doubling
from tinsmith.evaluate.paired import Paired

TUNE, BOTH, DONT, MORE = "tune", "tune and retrieve", "don't tune", "collect more"
FEW_ITEMS = 30  # to test on
FEW_EXAMPLES = 100  # to learn from
MARGIN = 0.02  # of right answers: as good is not surely worse by more than this
CHEAPER = 2  # a cost that is so many times less is worth a training


@dataclass(frozen=True)
class Standing:
    """A system: its title in words, whether each of its answers is right, and its cost an item in the unit of
    all systems; None if unknown."""

    title: str
    right: Sequence[bool]
    cost: float | None

    @property
    def exact(self) -> float:
        return sum(self.right) / len(self.right)

    def against(self, other: Standing) -> Paired:
        return paired.compare(self.right, other.right)


@dataclass(frozen=True)
class Worst:
    """A group of test items with more errors than its share. name: such as "function HassTurnOn"; items,
    errors: of the tuned system; examples: training examples of the group, None if unknown."""

    name: str
    items: int
    errors: int
    examples: int | None = None

    def __str__(self) -> str:
        learned = "" if self.examples is None else f"; {self.examples:,} training examples"
        return f"{self.name} ({self.errors} of {self.items} wrong{learned})"


@dataclass(frozen=True)
class Changed:
    """Items whose right answer changed. retrieval, tuned, both: whether each answer of retrieval, the tuned
    system, and tuned with retrieval is right; kept: the share of the tuned system's answers that were right
    before; stated: the recipe names the changes."""

    retrieval: Sequence[bool]
    tuned: Sequence[bool]
    both: Sequence[bool]
    kept: float
    stated: bool

    @property
    def follows(self) -> bool:
        """Whether retrieval follows the changes better than the tuned system."""
        return paired.compare(self.retrieval, self.tuned).is_better


@dataclass(frozen=True)
class Evidence:
    """examples: of the largest training; prompted: the best untrained system; retrieval: the best untrained
    system that retrieves; both: the tuned model with retrieval."""

    examples: int
    prompted: Standing
    retrieval: Standing | None
    tuned: Standing
    both: Standing | None
    doubling: Doubling
    worst: Sequence[Worst] = ()
    changed: Changed | None = None


@dataclass(frozen=True)
class Verdict:
    """verdict: TUNE, BOTH, DONT or MORE; what: for MORE, the examples to collect; also: further advice."""

    verdict: str
    reasons: list[str]
    what: str | None = None
    also: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.verdict}: {self.what}" if self.what else self.verdict


def decide(seen: Evidence) -> Verdict:
    if decided := _few_items(seen) or _knowledge(seen):
        return decided
    verdict, changed = _ahead(seen) or _behind(seen), seen.changed
    if changed and changed.follows:
        verdict.also.append(f"when what is right changes, train again: {_stale(changed)}")
    return verdict


def _few_items(seen: Evidence) -> Verdict | None:
    items = len(seen.tuned.right)
    if items >= FEW_ITEMS:
        return None
    why = f"{items} test examples can't tell systems apart; {FEW_ITEMS} are the least"
    return Verdict(MORE, [why], "test examples")


def _knowledge(seen: Evidence) -> Verdict | None:
    """If the recipe names changes, retrieval follows them better than the tuned model, and it is not
    significantly worse on unchanged items."""
    changed, retrieval, both = seen.changed, seen.retrieval, seen.both
    if not changed or not changed.stated or not changed.follows:
        return None
    why = [_stale(changed)]
    ahead = paired.compare(changed.both, changed.tuned).is_better
    if both and both.against(seen.prompted).is_better and ahead:
        why.append(_told(both, seen.prompted))
        why.append(f"tuned with retrieval has {_share(changed.both)} of the changed answers right")
        return Verdict(BOTH, why)
    if retrieval is None or retrieval.against(seen.tuned).is_worse:
        return None
    return Verdict(DONT, [*why, _told(retrieval, seen.tuned)], also=["retrieve: it follows what it finds"])


def _ahead(seen: Evidence) -> Verdict | None:
    """If a trained system is significantly better than the prompted one."""
    tuned, prompted, both = seen.tuned, seen.prompted, seen.both
    is_ahead = tuned.against(prompted).is_better
    helps = both is not None and (both.against(tuned).is_better or not is_ahead)
    best = both if both and helps else tuned
    if not best.against(prompted).is_better:
        return None
    why = [_told(best, prompted), *_costs(best, prompted)]
    if best is both:
        why.append(_told(both, tuned))
    also = []
    if seen.doubling.is_worth:
        also.append(f"collect more of {_most(seen)}: {_doubled(seen.doubling)}")
    return Verdict(BOTH if helps else TUNE, why, also=also)


def _behind(seen: Evidence) -> Verdict:
    """If no trained system is: too few examples, as good and cheaper, or not worth it."""
    tuned, prompted = seen.tuned, seen.prompted
    why = [_told(tuned, prompted)]
    then = seen.doubling
    if seen.examples < FEW_EXAMPLES:
        why.append(f"it learned from {seen.examples} examples; {FEW_EXAMPLES} are the least to judge by")
        return Verdict(MORE, why, _most(seen))
    if then.is_worth and then.exact is not None and then.exact > prompted.exact:
        why.append(f"{_doubled(then)}, which is more than {prompted.title} has")
        return Verdict(MORE, why, _most(seen))
    cheap = tuned.cost is not None and prompted.cost is not None and tuned.cost * CHEAPER <= prompted.cost
    if cheap and tuned.against(prompted).difference_interval[0] >= -MARGIN:
        return Verdict(TUNE, [*why, "it is as good", *_costs(tuned, prompted)])
    if not then.why:
        why.append(f"{_doubled(then)}, which does not reach {prompted.title}")
    else:
        why.append(f"what more examples would bring can't be told: {then.why}")
    return Verdict(DONT, why)


def _stale(changed: Changed) -> str:
    how = "after training" if changed.stated else "by swapping what answers know"
    return (
        f"of {len(changed.tuned)} answers that changed {how}, the tuned model has {_share(changed.tuned)} "
        f"right and gives {_percent(changed.kept)} as before; retrieval has {_share(changed.retrieval)} right"
    )


def _most(seen: Evidence) -> str:
    return str(seen.worst[0]) if seen.worst else "every kind of example"


def _doubled(then: Doubling) -> str:
    assert then.exact is not None and then.gain is not None and then.gain_interval is not None
    low, high = then.gain_interval
    return (
        f"twice the examples ({then.examples:,}) should bring {100 * then.gain:+.1f} points "
        f"(95 %: {100 * low:+.1f} to {100 * high:+.1f}), to {_percent(then.exact)} right"
    )


def _told(first: Standing, second: Standing) -> str:
    found, fewer = first.against(second), ""
    sure = f"p = {found.p:.2g}" if found.p >= 1e-4 else "p < 0.0001"
    if found.is_better:
        fewer = f", {1 / found.errors:.1f} times fewer errors" if found.errors else ", none of its errors"
    return (
        f"{first.title} has {_percent(first.exact)} right, {second.title} {_percent(second.exact)}{fewer}: "
        f"{found.first} of {found.items} items only the first, {found.second} only the second ({sure})"
    )


def _costs(best: Standing, prompted: Standing) -> list[str]:
    if not best.cost or not prompted.cost:
        return []
    times = prompted.cost / best.cost
    return [f"an item costs {f'{times:.1f} times less' if times >= 1 else f'{1 / times:.1f} times as much'}"]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _share(right: Sequence[bool]) -> str:
    return _percent(sum(right) / len(right))
