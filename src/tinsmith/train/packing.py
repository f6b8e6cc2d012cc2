"""How a batch of sequences lies in the network's input: packed into one row, or padded side by side.

Packed, no step is spent on padding, and the prefix that all prompts share (the system prompt) is computed
once; only attention sees the sequences side by side. A model with layers that carry a state from token to token
has no such place, and gets a row for each sequence, padded on the right, where nothing that is causal looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from tinsmith.train.sequences import TokenSequence


@dataclass(frozen=True)
class Packing:
    """A batch. Packed: one row, the shared prefix, then the rest of each sequence. Padded: a row a sequence.

    tokens, positions  [rows, width]
    places   [sequences * longest]: for each token of each sequence (without the prefix) its index in the input,
             flattened; the first one's again for padding
    valid    [sequences * longest]: False for padding
    labelled [labels]: the indices, in the input flattened, that predict an answer's token; targets [labels]:
             those tokens
    owner    [labels]: the number of the sequence
    """

    tokens: Tensor
    positions: Tensor
    places: Tensor
    valid: Tensor
    labelled: Tensor
    targets: Tensor
    owner: Tensor
    shared: int
    sequences: int
    longest: int

    @property
    def is_padded(self) -> bool:
        return len(self.tokens) == self.sequences > 1

    def without_padding(self, states: Tensor) -> Tensor:
        """[rows, width, features] or [rows * width, features] of the input to [tokens, features]."""
        flat = states.flatten(0, -2)
        return flat[self.valid] if self.is_padded else flat


def pack(batch: Sequence[TokenSequence], shared: int) -> Packing:
    """One row. shared: the length of the prefix that the sequences' prompts have in common."""
    tokens = list(batch[0].prompt[:shared])
    positions = list(range(shared))
    starts = []
    for sequence in batch:
        starts.append(len(tokens))
        tokens += [*sequence.prompt[shared:], *sequence.answer[:-1]]
        positions += range(shared, len(sequence))
    return _packing(batch, torch.tensor([tokens]), torch.tensor([positions]), starts, shared)


def pad(batch: Sequence[TokenSequence]) -> Packing:
    """A row a sequence."""
    longest = max(map(len, batch))
    tokens = torch.zeros(len(batch), longest, dtype=torch.long)
    for row, sequence in zip(tokens, batch, strict=True):
        row[: len(sequence)] = torch.tensor([*sequence.prompt, *sequence.answer[:-1]])
    positions = torch.arange(longest).expand(len(batch), -1)
    return _packing(batch, tokens, positions, [number * longest for number in range(len(batch))], 0)


def _packing(
    batch: Sequence[TokenSequence], tokens: Tensor, positions: Tensor, starts: Sequence[int], shared: int
) -> Packing:
    """starts: where, in the input flattened, each sequence's tokens after the prefix begin."""
    longest = max(map(len, batch)) - shared
    places = torch.zeros(len(batch), longest, dtype=torch.long)
    valid = torch.zeros(len(batch), longest, dtype=torch.bool)
    labelled: list[int] = []
    targets: list[int] = []
    owner: list[int] = []
    for number, (sequence, begin) in enumerate(zip(batch, starts, strict=True)):
        end = begin + len(sequence) - shared
        places[number] = begin
        places[number, : end - begin] = torch.arange(begin, end)
        valid[number, : end - begin] = True
        labelled += range(end - len(sequence.answer), end)
        targets += sequence.answer
        owner += [number] * len(sequence.answer)
    return Packing(
        tokens=tokens,
        positions=positions,
        places=places.flatten(),
        valid=valid.flatten(),
        labelled=torch.tensor(labelled),
        targets=torch.tensor(targets),
        owner=torch.tensor(owner),
        shared=shared,
        sequences=len(batch),
        longest=longest,
    )


@lru_cache(maxsize=16)
def causal_bias(begin: int, rows: int, window: int | None) -> Tensor:
    """What attention adds to scores, 0 or -inf, [rows, begin + rows]: the rows' tokens stand at `begin` and on.

    window: the number of latest tokens, its own included, that a token sees; None for all.
    """
    own = torch.arange(begin, begin + rows)[:, None]
    other = torch.arange(begin + rows)[None]
    seen = other <= own
    if window is not None:
        seen &= own - other < window
    return torch.zeros(rows, begin + rows).masked_fill(~seen, float("-inf"))
