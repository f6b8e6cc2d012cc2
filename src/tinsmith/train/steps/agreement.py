"""Whether the network that is trained computes the model that ships: losses of the same answers by both.

The mean distance of the tokens' losses is taken as a share of 1 nat and their mean. For SmolLM2-135M and
Gemma-3-270M rounding alone makes this share 0.0002, bfloat16 products 0.011, and activations in 8 bits 0.018.
For random models with weights of real scales it is at most 0.0005, 0.02 and 0.06, where a router may choose
another expert.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

import torch
from torch import Tensor
from torch.nn import functional

from tinsmith.errors import UnsupportedError
from tinsmith.formats.weights import weight_format
from tinsmith.runtime.model import Model
from tinsmith.spec import Spec
from tinsmith.train.batches.sequences import TokenSequence
from tinsmith.train.distillation import answer_logits
from tinsmith.train.model.network import Network
from tinsmith.train.steps.trainee import Trainee

TOKENS = 512  # of the rows that are compared, about
ROUNDED, NARROW, BLOCKS = 0.003, 0.04, 0.08  # shares that float32, bfloat16 and 8-bit activations explain


def check(trainee: Trainee, spec: Spec, runtime: Model) -> None:
    """Raises UnsupportedError for a network, with its initial weights, whose losses are not those of the base
    in the runtime. Without a validation row of text alone it checks nothing."""
    rows = _rows(trainee)
    if not rows:
        return
    network = trainee.network
    own, theirs = of_network(network, rows), of_runtime(runtime, spec, trainee.first, rows)
    apart, most = float((own - theirs).abs().mean()), explained(network, spec) * (1 + float(theirs.mean()))
    if not apart <= most:  # NaN too
        raise UnsupportedError(
            f"{spec.family}: training and the runtime compute different models of this base: the losses of "
            f"{len(rows)} answers are {float(own.mean()):.2f} and {float(theirs.mean()):.2f}, {apart:.3f} a "
            f"token apart, where rounding explains {most:.3f}; nothing was trained; please report the base"
        )


def explained(network: Network, spec: Spec) -> float:
    """The share that rounding explains."""
    in_blocks = any(weight_format(tensor.format).block > 1 for tensor in spec.tensors.values())
    return ROUNDED + NARROW * (network.matrices != torch.float32) + BLOCKS * in_blocks


def _rows(trainee: Trainee) -> list[TokenSequence]:
    rows: list[TokenSequence] = []
    for one in chain.from_iterable(map(trainee.rows, trainee.validation)):
        if one.images or not one.learned:
            continue
        if rows and sum(map(len, rows)) + len(one) > TOKENS:
            break
        rows.append(one)
    return rows


@torch.no_grad()
def of_network(network: Network, rows: list[TokenSequence]) -> Tensor:
    """The losses of the answers' learned tokens, without an adapter."""
    network.model.eval()
    with _bare(network):
        return network.answer_losses(network.pack(rows, 0))[0].float().cpu()


@contextmanager
def _bare(network: Network) -> Iterator[None]:
    """Within the block the network is the base: an adapter that training continues is left out."""
    scaled = [module.scaling for module in network.linears.values() if hasattr(module, "scaling")]
    before = [scaling["default"] for scaling in scaled]
    for scaling in scaled:
        scaling["default"] = 0.0
    try:
        yield
    finally:
        for scaling, scale in zip(scaled, before, strict=True):
            scaling["default"] = scale


def of_runtime(runtime: Model, spec: Spec, first: tuple[int, ...], rows: list[TokenSequence]) -> Tensor:
    """first: tokens before every row."""
    losses = []
    for row in rows:
        logits = torch.from_numpy(answer_logits(runtime, [*first, *row.prompt], row.answer).copy())
        of_row = functional.cross_entropy(
            logits[:, : spec.hyper.vocab], torch.tensor(row.answer), reduction="none"
        )
        losses.append(of_row[row.learned])
    return torch.cat(losses)
