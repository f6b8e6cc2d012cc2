"""The shape of a new model: a llama of about that many parameters, or of stated sizes."""

from __future__ import annotations

from collections.abc import Iterator

from tinsmith.errors import InputError
from tinsmith.models import family
from tinsmith.models.llama import LlamaHyper
from tinsmith.train.options import ScratchOptions

STEP = 32  # every width is a multiple of it: the block of Q8_0 and Q4_0
_WIDTHS = range(64, 1025, 32)
_FEED_FORWARD = 8 / 3  # ratio to the model's width, as in LLaMA (Touvron et al., 2023)
_WIDEST = 6  # the same, at most
_WIDTH_BY_LAYERS = 40  # tiny models gain from depth: MobileLLM (Liu et al., 2024) has about 20 to 40


def shape(given: ScratchOptions, vocabulary: int) -> LlamaHyper:
    """The hyper-parameters for a vocabulary of that size. Raises InputError if no shape has that few or that
    many parameters."""
    if given.hidden is not None:
        return _stated(given, vocabulary)
    wanted = given.parameters
    shapes = list(_candidates(wanted, vocabulary, given.context))
    if not shapes:
        least = parameters(_hyper(2, _WIDTHS[0], 2, 1, STEP, vocabulary, given.context))
        if wanted > least:
            widest = _WIDTHS[-1]
            most = _hyper(*_depth(widest), _WIDEST * widest, vocabulary, given.context)
            raise InputError(
                f"[scratch] parameters = {wanted:,} are more than a shape is chosen for, some "
                f"{parameters(most) / 1e6:.0f} million; give fewer, or layers and hidden"
            )
        raise InputError(
            f"[scratch] parameters = {wanted:,} are too few for a vocabulary of {vocabulary:,} tokens, which "
            f"takes {least:,}; give more, or a smaller vocabulary"
        )
    return min(shapes, key=lambda h: (abs(h.ffn_dim / h.dim - _FEED_FORWARD), h.dim))


def parameters(hyper: LlamaHyper) -> int:
    return sum(name.rows * name.inputs for name in family.by_name("llama").tensors(hyper))


def _candidates(wanted: int, vocabulary: int, context: int) -> Iterator[LlamaHyper]:
    """For each width, the model whose feed-forward layers bring it nearest to the wanted size."""
    for hidden in _WIDTHS:
        depth = _depth(hidden)
        without = parameters(_hyper(*depth, 0, vocabulary, context))
        feed_forward = STEP * round((wanted - without) / (3 * depth[0] * hidden * STEP))
        if hidden <= feed_forward <= _WIDEST * hidden:
            yield _hyper(*depth, feed_forward, vocabulary, context)


def _depth(hidden: int) -> tuple[int, int, int, int]:
    """Layers, the width itself, query heads and key heads."""
    heads = hidden // 32
    return max(2, round(hidden / _WIDTH_BY_LAYERS)), hidden, heads, heads // 2 if heads % 2 == 0 else heads


def _stated(given: ScratchOptions, vocabulary: int) -> LlamaHyper:
    assert given.hidden is not None and given.layers is not None  # the recipe's reader has checked it
    heads, feed_forward = given.hidden // 32, STEP * round(given.hidden * _FEED_FORWARD / STEP)
    return _hyper(given.layers, given.hidden, heads, heads, feed_forward, vocabulary, given.context)


def _hyper(
    layers: int, hidden: int, heads: int, kv_heads: int, feed_forward: int, vocabulary: int, context: int
) -> LlamaHyper:
    return LlamaHyper(
        layers=layers,
        dim=hidden,
        ffn_dim=feed_forward,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=hidden // heads,
        vocab=vocabulary,
        context=context,
        norm_eps=1e-5,
        rope_base=10000.0,
        rope_dim=hidden // heads,
        tied=True,
    )
