"""How a batch of sequences lies in the network's input: packed into one row, or padded side by side.

Packed, no step is spent on padding, and the prefix that all prompts share (the system prompt) is computed
once; only where tokens meet, in attention and in layers that carry a state along (layers/mixing.py), do the
sequences lie side by side. A model with a layer that neither knows gets a row for each sequence, padded on the
right, where causal layers do not look.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tinsmith.data.images import ImageSource
from tinsmith.train.batches.sequences import TokenSequence
from tinsmith.train.vision import CAUSAL, ImageAttention

# A packed row is filled to a multiple of this: matrix products are compiled for each height that occurs, and a
# thousand heights would hardly repeat. The filler is computed like tokens.
HEIGHT = 16


class Scoring(NamedTuple):
    """How attention scores tokens. window: the number of latest tokens, its own included, that a token attends
    to, None for all; softcap: bound of the scores, by tanh, None for none."""

    scale: float
    window: int | None = None
    softcap: float | None = None


@dataclass(frozen=True, eq=False)
class Packing:
    """A batch. Packed: one row, the shared prefix, the rest of each sequence, and a filler. Padded: a row a
    sequence.

    tokens, positions  [rows, width]
    rotary   the positions by which the model turns: positions, or where images are graded [3, rows, width]
    together int32 [rows * width, 2]: where, in the input flattened, what a token sees whatever comes first
             begins and ends: its image, or itself; None where no image's rows see each other
    places   [sequences * longest]: for each token of each sequence (without the prefix) its index in the input,
             flattened; the first one's again for padding
    kept     [tokens]: which of the places are no padding
    parts    [rows * width]: the number of the sequence that each token is of, from 1; 0 in the shared prefix,
             and the filler one more
    filler   tokens at the end of a packed row that are of no sequence
    labelled [labels]: the indices, in the input flattened, that predict an answer's token that is learned;
             targets [labels]: those tokens
    owner    [labels]: the number of the sequence
    spans    for each sequence where, in the input flattened, what follows the prefix begins and ends
    images of all sequences, in order; seen [their tokens]: the indices, in the input flattened, of the tokens
             that stand for them, in order; None where there are none
    """

    tokens: Tensor
    positions: Tensor
    places: Tensor
    kept: Tensor
    parts: Tensor
    labelled: Tensor
    targets: Tensor
    owner: Tensor
    spans: tuple[tuple[int, int], ...]
    shared: int
    filler: int
    sequences: int
    longest: int
    rotary: Tensor
    images: tuple[ImageSource, ...] = ()
    seen: Tensor | None = None
    together: Tensor | None = None

    @property
    def is_padded(self) -> bool:
        return len(self.tokens) == self.sequences > 1

    @property
    def all_spans(self) -> tuple[tuple[int, int], ...]:
        """With the prefix's first, if there is one."""
        return ((0, self.shared), *self.spans) if self.shared else self.spans

    @cached_property
    def extents(self) -> Tensor:
        """The spans for C: int32 [sequences, 2], on the host."""
        return torch.tensor(self.all_spans, dtype=torch.int32)

    def side_by_side(self, row: Tensor) -> Tensor:
        """Each sequence's part after the prefix of a packed row [width, ...]: [sequences, longest, ...]."""
        return row.index_select(0, self.places).view(self.sequences, self.longest, *row.shape[1:])

    def in_a_row(self, states: Tensor) -> Tensor:
        """The inverse, without padding: [sequences, longest, ...] to the tokens after the prefix, with a filler
        of 0."""
        rows = states.flatten(0, 1).index_select(0, self.kept)
        return torch.cat([rows, rows.new_zeros(self.filler, *rows.shape[1:])]) if self.filler else rows

    def without_padding(self, states: Tensor) -> Tensor:
        """Drops padding: [rows, width, features] or [rows * width, features] of the input to [tokens,
        features]."""
        flat = states.flatten(0, -2)
        return flat.index_select(0, self.kept) if self.is_padded else flat[: len(flat) - self.filler]

    def bias(self, before: int, window: int | None) -> Tensor:
        """Attention's addend to scores, 0 or -inf, for the sequences side by side, whose first token is at
        position `before`: [longest, before + longest], or [sequences, 1, longest, before + longest]. window: as
        for causal_bias."""
        causal = causal_bias(before, self.longest, window, self.tokens.device)
        return causal if self.together is None else _with_images(self, causal, before)

    def to(self, device: torch.device) -> Packing:
        """A copy with its tensors on a device."""
        moved: dict[str, Any] = {
            name: value.to(device) for name, value in vars(self).items() if isinstance(value, Tensor)
        }
        return replace(self, **moved)


def pack(batch: Sequence[TokenSequence], shared: int, attention: ImageAttention = CAUSAL) -> Packing:
    """Packs one row. shared: the length of the prefix that the sequences' prompts have in common."""
    tokens = list(batch[0].prompt[:shared])
    positions = list(range(shared))
    starts = []
    for sequence in batch:
        starts.append(len(tokens))
        tokens += [*sequence.prompt[shared:], *sequence.answer[:-1]]
        positions += range(shared, len(sequence))
    filler = -len(tokens) % HEIGHT
    row, places = [*tokens, *[0] * filler], [*positions, *range(filler)]
    return _packing(batch, torch.tensor([row]), torch.tensor([places]), starts, attention, shared, filler)


def pad(batch: Sequence[TokenSequence], attention: ImageAttention = CAUSAL) -> Packing:
    """Pads to a row per sequence."""
    longest = max(map(len, batch))
    tokens = torch.zeros(len(batch), longest, dtype=torch.long)
    for row, sequence in zip(tokens, batch, strict=True):
        row[: len(sequence)] = torch.tensor([*sequence.prompt, *sequence.answer[:-1]])
    positions = torch.arange(longest).expand(len(batch), -1)
    starts = range(0, len(batch) * longest, longest)
    return _packing(batch, tokens, positions, starts, attention)


def _packing(
    batch: Sequence[TokenSequence],
    tokens: Tensor,
    positions: Tensor,
    starts: Sequence[int],
    attention: ImageAttention,
    shared: int = 0,
    filler: int = 0,
) -> Packing:
    """starts: indices in the flattened input of each sequence's first token after the prefix."""
    longest = max(map(len, batch)) - shared
    places = torch.zeros(len(batch), longest, dtype=torch.long)
    valid = torch.zeros(len(batch), longest, dtype=torch.bool)
    spans: list[tuple[int, int]] = []
    seen: list[Tensor] = []
    rotary = positions.flatten().repeat(3, 1)
    together = torch.arange(tokens.numel(), dtype=torch.int32)[:, None] + torch.tensor(
        [0, 1], dtype=torch.int32
    )
    parts = torch.zeros(tokens.numel(), dtype=torch.long)
    for number, (sequence, begin) in enumerate(zip(batch, starts, strict=True)):
        end = begin + len(sequence) - shared
        spans.append((begin, end))
        parts[begin:end] = number + 1
        places[number] = begin
        places[number, : end - begin] = torch.arange(begin, end)
        valid[number, : end - begin] = True
        for image in sequence.tiles:
            own = torch.arange(image.first, image.end) + (begin - shared)
            seen.append(own)
            together[own] = torch.tensor([int(own[0]), int(own[-1]) + 1], dtype=torch.int32)
        if sequence.tiles:
            rotary[:, begin:end] = _graded(sequence)[:, shared:]
    parts[len(parts) - filler :] = len(batch) + 1
    labels = [
        (end - len(one.answer) + place, one.answer[place], number)
        for number, (one, (_, end)) in enumerate(zip(batch, spans, strict=True))
        for place in one.learned
    ]
    labelled, targets, owner = torch.tensor(labels, dtype=torch.long).view(-1, 3).T.contiguous()
    is_graded, is_together = (len(seen) > 0 and one for one in attention)
    return Packing(
        tokens=tokens,
        positions=positions,
        places=places.flatten(),
        kept=valid.flatten().nonzero()[:, 0],
        parts=parts,
        labelled=labelled,
        targets=targets,
        owner=owner,
        spans=tuple(spans),
        images=tuple(image for sequence in batch for image in sequence.images),
        seen=torch.cat(seen) if seen else None,
        rotary=rotary.view(3, *positions.shape) if is_graded else positions,
        together=together if is_together else None,
        shared=shared,
        filler=filler,
        sequences=len(batch),
        longest=longest,
    )


def _graded(sequence: TokenSequence) -> Tensor:
    """The tokens' positions of time, row and column, [3, tokens]; kernels/core/vm/input.c defines them."""
    places = torch.arange(len(sequence)).repeat(3, 1)
    for first, down, across in sequence.tiles:
        count = down * across
        inside = torch.arange(count)
        own = places[:, first : first + count]
        own.copy_(own[0, 0] + torch.stack([0 * inside, inside // across, inside % across]))
        places[:, first + count :] -= count - max(down, across)
    return places


@lru_cache(maxsize=2)  # every layer of a batch asks for the same mask, or with windows for one of two
def _with_images(packing: Packing, causal: Tensor, before: int) -> Tensor:
    assert packing.together is not None
    begins = torch.tensor([begin for begin, _ in packing.spans], device=causal.device)
    own = packing.side_by_side(packing.together) - begins[:, None, None]
    columns = torch.arange(-before, packing.longest, device=causal.device)
    seen = (columns >= own[..., :1]) & (columns < own[..., 1:])
    return torch.where(seen, causal.new_zeros(()), causal)[:, None]


@lru_cache(maxsize=16)
def causal_bias(begin: int, rows: int, window: int | None, device: torch.device) -> Tensor:
    """Attention's addend to scores, 0 or -inf, [rows, begin + rows], for rows at positions from `begin`.
    window: the number of latest tokens, its own included, that a token sees; None for all."""
    own = torch.arange(begin, begin + rows, device=device)[:, None]
    other = torch.arange(begin + rows, device=device)[None]
    seen = other <= own
    if window is not None:
        seen &= own - other < window
    return torch.zeros(rows, begin + rows, device=device).masked_fill(~seen, float("-inf"))
