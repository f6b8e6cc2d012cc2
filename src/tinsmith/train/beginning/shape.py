"""The shape of a new model: a llama of about that many parameters, or of stated sizes."""

from __future__ import annotations

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

    def llama(layers: int, hidden: int, heads: int, kv_heads: int, feed_forward: int) -> LlamaHyper:
        return LlamaHyper(
            layers=layers,
            dim=hidden,
            ffn_dim=feed_forward,
            heads=heads,
            kv_heads=kv_heads,
            head_dim=hidden // heads,
            vocab=vocabulary,
            context=given.context,
            norm_eps=1e-5,
            rope_base=10000.0,
            rope_dim=hidden // heads,
            tied=True,
        )

    if given.hidden is not None:
        assert given.layers is not None  # the recipe's reader has checked it
        heads = given.hidden // 32
        return llama(
            given.layers, given.hidden, heads, heads, STEP * round(given.hidden * _FEED_FORWARD / STEP)
        )
    wanted, shapes = given.parameters, []
    for hidden in _WIDTHS:
        # The feed-forward layers bring the model nearest to the wanted size.
        depth = _depth(hidden)
        without = parameters(llama(*depth, 0))
        feed_forward = STEP * round((wanted - without) / (3 * depth[0] * hidden * STEP))
        if hidden <= feed_forward <= _WIDEST * hidden:
            shapes.append(llama(*depth, feed_forward))
    if shapes:
        return min(shapes, key=lambda h: (abs(h.ffn_dim / h.dim - _FEED_FORWARD), h.dim))
    least = parameters(llama(2, _WIDTHS[0], 2, 1, STEP))
    if wanted > least:
        most = parameters(llama(*_depth(_WIDTHS[-1]), _WIDEST * _WIDTHS[-1]))
        raise InputError(
            f"[scratch] parameters = {wanted:,} are more than a shape is chosen for, some "
            f"{most / 1e6:.0f} million; give fewer, or layers and hidden"
        )
    raise InputError(
        f"[scratch] parameters = {wanted:,} are too few for a vocabulary of {vocabulary:,} tokens, which "
        f"takes {least:,}; give more, or a smaller vocabulary"
    )


def parameters(hyper: LlamaHyper) -> int:
    return sum(name.rows * name.inputs for name in family.by_name("llama").tensors(hyper))


def _depth(hidden: int) -> tuple[int, int, int, int]:
    """Layers, the width itself, query heads and key heads."""
    heads = hidden // 32
    return max(2, round(hidden / _WIDTH_BY_LAYERS)), hidden, heads, heads // 2 if heads % 2 == 0 else heads
