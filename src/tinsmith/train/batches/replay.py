"""Which examples that were learned before are replayed beside new ones: those that are being forgotten.

What is forgotten is measured on a sample of them, by how far its losses have risen above those that the
adapter began with (after Aljundi et al., "Online Continual Learning with Maximal Interfered Retrieval", arXiv
1908.04742, by whole epochs instead of single steps). An example outside of the sample counts as the mean of
those with its label, of a function for instance, and where there is none as the mean of all.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from statistics import fmean

from tinsmith.train.batches.sequences import TokenSequence

SAMPLE = 128  # measured before each epoch: a forward pass of each, some three percent of a thousand's epoch


class Replay:
    """sequences: of the examples that were learned before; labels: theirs, None for none; share: of an epoch's
    sequences; sample: the places of those that are measured."""

    def __init__(
        self, sequences: Sequence[TokenSequence], labels: Sequence[str | None], share: float, seed: int
    ) -> None:
        self.sequences, self.labels, self.share, self.seed = sequences, labels, share, seed
        places = range(len(sequences))
        self.sample = sorted(random.Random(f"{seed}/sample").sample(places, min(SAMPLE, len(sequences))))
        self.first: list[float] = []  # the sample's losses by the adapter that training starts from

    def count(self, new: int) -> int:
        """How many stand beside so many new sequences: at least one, none of them twice."""
        return min(len(self.sequences), max(1, round(new * self.share / (1 - self.share))))

    def rises(self, losses: Sequence[float]) -> list[float]:
        """Of the sample, how far each loss is above the first; a loss that fell rose by nothing."""
        return [max(0.0, now - first) for now, first in zip(losses, self.first, strict=True)]

    def choose(self, epoch: int, new: int, rises: Sequence[float] = ()) -> list[int]:
        """The places of those that stand beside so many new sequences, drawn without replacement: half of the
        weight is even, the other half goes by the rises, if there are any (Efraimidis and Spirakis, 2006)."""
        weights = self._weights(rises)
        chance = random.Random(f"{self.seed}/replay/{epoch}")
        keys = [chance.random() ** (1 / weight) for weight in weights]
        return sorted(sorted(range(len(keys)), key=lambda place: -keys[place])[: self.count(new)])

    def _weights(self, rises: Sequence[float]) -> list[float]:
        mean = fmean(rises) if rises else 0.0
        if mean == 0:
            return [1.0] * len(self.sequences)
        known = dict(zip(self.sample, rises, strict=True))
        by_label: dict[str | None, list[float]] = {}
        for place, rise in known.items():
            by_label.setdefault(self.labels[place], []).append(rise)
        means = {label: fmean(values) for label, values in by_label.items()}
        own = (known.get(place, means.get(label, mean)) for place, label in enumerate(self.labels))
        return [1 + rise / mean for rise in own]
