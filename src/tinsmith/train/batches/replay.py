"""Chooses the earlier examples to replay beside new ones: those that the adapter is forgetting.

Forgetting is measured on a sample, by how far the losses have risen above those at the start (after Aljundi et
al., "Online Continual Learning with Maximal Interfered Retrieval", arXiv 1908.04742, by epochs instead of
steps). An example outside the sample counts as the mean of those with its label, such as a function, or as the
mean of all.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from statistics import fmean

from tinsmith.train.batches.sequences import TokenSequence

SAMPLE = (
    128  # measured before each epoch: a forward pass of each, about 3 % of the epoch for a thousand examples
)


class Replay:
    """sequences: of the earlier examples; labels: theirs, None for none; share: of an epoch's sequences;
    sample: the indices of measured sequences."""

    def __init__(
        self, sequences: Sequence[TokenSequence], labels: Sequence[str | None], share: float, seed: int
    ) -> None:
        self.sequences, self.labels, self.share, self.seed = sequences, labels, share, seed
        places = range(len(sequences))
        self.sample = sorted(random.Random(f"{seed}/sample").sample(places, min(SAMPLE, len(sequences))))
        self.first: list[float] = []  # the sample's losses under the adapter that training starts from

    def count(self, new: int) -> int:
        """The number of replayed sequences beside that many new ones: at least one, none twice."""
        return min(len(self.sequences), max(1, round(new * self.share / (1 - self.share))))

    def rises(self, losses: Sequence[float]) -> list[float]:
        """The rise of each loss in the sample since the start; 0 for a loss that fell."""
        return [max(0.0, now - first) for now, first in zip(losses, self.first, strict=True)]

    def choose(self, epoch: int, new: int, rises: Sequence[float] = ()) -> list[int]:
        """Indices of the replayed sequences, drawn without replacement: half of the weight is even, the other
        half is proportional to the rises, if any (Efraimidis and Spirakis, 2006)."""
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
