"""orpo: an adapter learns by odds ratio preference optimization, without a reference (Hong et al., arXiv
2403.07691)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tinsmith.train.events import Event
from tinsmith.train.methods import Method
from tinsmith.train.methods._preferences import Judged, PreferenceMethod, PreferenceTrainee
from tinsmith.train.rules import default_learning_rate

if TYPE_CHECKING:
    from torch import Tensor


def losses(chosen: Tensor, rejected: Tensor, beta: float) -> Tensor:
    """-beta * log sigmoid(log odds ratio) of each pair; the odds of p are p / (1 - p). chosen, rejected
    [pairs]: the mean log-probability of an output's tokens, below 0."""
    from torch.nn.functional import logsigmoid

    return -beta * logsigmoid(_log_odds(chosen) - _log_odds(rejected))


def _log_odds(log_probability: Tensor) -> Tensor:
    # expm1, and a bound just below 0: an output that is nearly certain has large odds, not infinite ones.
    log_probability = log_probability.clamp(max=-1e-7)
    return log_probability - (-log_probability.expm1()).log()


class OrpoTrainee(PreferenceTrainee):
    """Adds the chosen outputs' cross entropy, as for examples, to the loss."""

    default_rate = staticmethod(default_learning_rate)

    def prepare(self, tell: Callable[[Event], None]) -> None:
        """ORPO has no reference."""

    def verdict(self, rows: Sequence[Judged]) -> tuple[Tensor, Tensor]:
        sequences = [row.answers[place] for place in (0, 1) for row in rows]
        totals = self.log_probabilities(sequences).view(2, -1)
        lengths = totals.new_tensor([len(one.answer) for one in sequences]).view(2, -1)
        chosen, rejected = totals / lengths
        entropy = -totals[0].sum() / lengths[0].sum()
        return entropy + losses(chosen, rejected, self.beta).mean(), chosen > rejected


# It learns the chosen outputs as examples are learned.
method = PreferenceMethod("orpo", OrpoTrainee, one_adapter=False, gentle=Method.gentle)
