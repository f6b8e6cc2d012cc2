"""RoPE that differs by layer. With a window, a separate base rotates the whole head. Without one, only the
first pairs rotate, by the whole head's frequencies ("proportional" in transformers); GGUF states them by the
divisors `rope_freqs.weight`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from tinsmith.errors import FormatError
from tinsmith.graph import GraphBuilder, Value
from tinsmith.models import decoder
from tinsmith.models.family import Family, Fields, TensorName
from tinsmith.spec import Hyper, Tensor

FACTORS = "rope_freqs.weight"
STILL = 1e30  # divisor of the frequency of a pair that does not rotate
TYPES = FULL, SLIDING = "full_attention", "sliding_attention"


class TwoRotations(Family):
    """share: fraction of pairs that rotate in layers without a window, if a config has no settings."""

    share: ClassVar[float]
    only_gguf = {"rope.scaling.type": ("none",)}

    def rope_from_hf(self, config: Mapping[str, Any]) -> Fields:
        """Settings of layers without a window, and the base of the others as `local_theta`."""
        given = config.get("rope_parameters")
        if given is None:
            given = {FULL: {"rope_type": "proportional", "partial_rotary_factor": self.share}, SLIDING: {}}
        tables = [given.get(kind) if isinstance(given, Mapping) else None for kind in TYPES]
        if not all(isinstance(table, Mapping) for table in tables):
            raise FormatError(f"{decoder.CONFIG}: rope_parameters must have the tables {' and '.join(TYPES)}")
        wide, local = (
            decoder.rope_settings({"rope_parameters": table}, kind)
            for table, kind in zip(tables, ("proportional", "default"), strict=True)
        )
        # Family must not apply it: the other settings count the whole head.
        turning = {"turning_share": wide.pop("partial_rotary_factor")}
        theta = {"rope_theta": wide["rope_theta"] or 1e6, "local_theta": local["rope_theta"]}
        fields = Fields({**wide, **turning, **theta}, decoder.CONFIG)
        fields.refuse("factor", 1, 1.0)
        return fields

    def hyper_to_hf(self, h: Hyper) -> dict[str, Any]:
        config = super().hyper_to_hf(h)
        return {key: given for key, given in config.items() if key not in ("rope_scaling", "rope_theta")}

    def turning(self, h: Any) -> tuple[int, int]:
        """In layers without a window, the number of values of a head that rotate, and the head's width."""
        raise NotImplementedError

    def tensors(self, h: Any) -> list[TensorName]:
        _, head_dim = self.turning(h)
        return [TensorName("rope_freqs", "", FACTORS, 1, head_dim // 2), *super().tensors(h)]

    def derive(self, h: Any) -> dict[str, Tensor]:
        pairs, half = (count // 2 for count in self.turning(h))
        return {"rope_freqs": decoder.vector([1.0] * pairs + [STILL] * (half - pairs))}

    def rope_table(self, h: Any, g: GraphBuilder) -> dict[bool, Value]:
        """The tables of layers with a window (True), and of those without one."""
        near = g.rope_table(decoder.frequencies(h.local_base, h.head_dim))
        turning, head_dim = self.turning(h)
        pairs = decoder.frequencies(h.rope_base, head_dim)[: turning // 2]
        return {True: near, False: g.rope_table(pairs + [0.0] * (head_dim // 2 - len(pairs)))}


def to_hf(base: float, local_base: float, turning: int, head_dim: int) -> dict[str, Any]:
    share = turning / head_dim
    return {
        FULL: {"rope_type": "proportional", "partial_rotary_factor": share, "rope_theta": base},
        SLIDING: {"rope_type": "default", "rope_theta": local_base},
    }


def turning_from_hf(rope: Fields, head_dim: int) -> int:
    """Number of values of a head that rotate in layers without a window."""
    share = rope.real("turning_share", 1.0)
    if share > 1:
        raise FormatError(f"{rope.where}: partial_rotary_factor is {share}; it must be at most 1")
    return 2 * int(share * head_dim // 2)


def turning_from_gguf(fields: Fields, head_dim: int) -> int:
    given = fields.values.get(FACTORS)
    turning = sum(one == 1 for one in given) if given else 0
    if not given or given[:turning] != [1.0] * turning or any(one < 1e29 for one in given[turning:]):
        raise FormatError(f"{FACTORS} must be {head_dim // 2} numbers: 1 for pairs that rotate, then {STILL:g}")
    return 2 * turning
