"""dpo: an adapter by direct preference optimization (Rafailov et al., arXiv 2305.18290)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tinsmith.train.methods._preferences import Judged, PreferenceMethod, PreferenceTrainee

if TYPE_CHECKING:
    from torch import Tensor


def losses(margins: Tensor, beta: float) -> Tensor:
    """-log sigmoid(beta * margin) of each pair. margins [pairs]: the network's difference in log-probability
    between chosen and rejected output, less the reference's."""
    from torch.nn.functional import logsigmoid

    return -logsigmoid(beta * margins)


class DpoTrainee(PreferenceTrainee):
    def verdict(self, rows: Sequence[Judged]) -> tuple[Tensor, Tensor]:
        own, reference = self.answers(rows)
        chosen, rejected = own - reference
        margins = chosen - rejected
        return losses(margins, self.beta).mean(), margins > 0


method = PreferenceMethod("dpo", DpoTrainee)
