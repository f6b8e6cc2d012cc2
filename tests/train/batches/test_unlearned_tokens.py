"""Tokens that a constraint forces are read and not learned."""

from __future__ import annotations

import pytest
import torch

from tests.train.tiny_training import make_spec
from tinsmith.train.batches.packing import pack, pad
from tinsmith.train.batches.sequences import TokenSequence
from tinsmith.train.model import network


@pytest.mark.parametrize("lay", [lambda batch: pack(batch, 1), pad])
def test_forced_tokens_are_read_and_have_no_label(lay: object) -> None:
    plain = [TokenSequence((5, 6), (7, 8, 2)), TokenSequence((5, 9, 9), (8, 8, 2))]
    some = [TokenSequence((5, 6), (7, 8, 2), (0, 2)), TokenSequence((5, 9, 9), (8, 8, 2))]
    assert some[0].learned == [1]
    whole, part = lay(plain), lay(some)  # type: ignore[operator]
    kept = torch.tensor([1, 3, 4, 5])
    assert torch.equal(part.tokens, whole.tokens)
    for name in ("labelled", "targets", "owner"):
        assert torch.equal(getattr(part, name), getattr(whole, name)[kept]), name


def test_the_loss_is_that_of_open_tokens() -> None:
    torch.manual_seed(1)
    built = network.build(make_spec(), torch.float32, 4, 8.0)
    plain = [TokenSequence((5, 6), (7, 8, 2)), TokenSequence((5, 9, 9), (8, 8, 2))]
    some = [TokenSequence((5, 6), (7, 8, 2), (0, 2)), TokenSequence((5, 9, 9), (8, 8, 2), (1,))]
    whole, _ = built.answer_losses(built.pack(plain, 0))
    part, _ = built.answer_losses(built.pack(some, 0))
    torch.testing.assert_close(part, whole[torch.tensor([1, 3, 5])])
