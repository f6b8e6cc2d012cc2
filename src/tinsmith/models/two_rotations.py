"""Rotations that differ by layer: with a window all of a head turns, by a base of its own; without one the
first pairs alone do, by the frequencies of the whole head, which transformers calls proportional. GGUF keeps
that as the tensor `rope_freqs.weight`, which divides the frequencies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tinsmith.errors import FormatError
from tinsmith.models import decoder
from tinsmith.models.family import Fields, TensorName
from tinsmith.spec import Tensor

FACTORS = "rope_freqs.weight"
STILL = 1e30  # what divides the frequency of a pair that does not turn
TYPES = FULL, SLIDING = "full_attention", "sliding_attention"


def from_hf(config: Mapping[str, Any], share: float) -> Fields:
    """The settings of layers without a window, and the base of the others as `local_theta`; share: of a head's
    pairs those that turn, where the config has no settings."""
    given = config.get("rope_parameters")
    if given is None:
        given = {FULL: {"rope_type": "proportional", "partial_rotary_factor": share}, SLIDING: {}}
    tables = [given.get(kind) if isinstance(given, Mapping) else None for kind in TYPES]
    if not all(isinstance(table, Mapping) for table in tables):
        raise FormatError(f"{decoder.CONFIG}: rope_parameters must have the tables {' and '.join(TYPES)}")
    wide, local = (
        decoder.rope_settings({"rope_parameters": table}, kind)
        for table, kind in zip(tables, ("proportional", "default"), strict=True)
    )
    # All of a head counts for the other settings.
    turning = {"turning_share": wide.pop("partial_rotary_factor")}
    theta = {"rope_theta": wide["rope_theta"] or 1e6, "local_theta": local["rope_theta"]}
    fields = Fields({**wide, **turning, **theta}, decoder.CONFIG)
    fields.refuse("factor", 1, 1.0)
    return fields


def to_hf(base: float, local_base: float, turning: int, head_dim: int) -> dict[str, Any]:
    return {
        FULL: {
            "rope_type": "proportional",
            "partial_rotary_factor": turning / head_dim,
            "rope_theta": base,
        },
        SLIDING: {"rope_type": "default", "rope_theta": local_base},
    }


def turning_from_hf(rope: Fields, head_dim: int) -> int:
    """How many of a head's values turn where it has no window."""
    share = rope.real("turning_share", 1.0)
    if share > 1:
        raise FormatError(f"{rope.where}: partial_rotary_factor is {share}; it must be at most 1")
    return 2 * int(share * head_dim // 2)


def turning_from_gguf(fields: Fields, head_dim: int) -> int:
    given = fields.values.get(FACTORS)
    turning = sum(one == 1 for one in given) if given else 0
    if not given or given[:turning] != [1.0] * turning or any(one < 1e29 for one in given[turning:]):
        raise FormatError(
            f"{FACTORS} must be {head_dim // 2} numbers, first 1 for pairs that turn, then {STILL:g}"
        )
    return 2 * turning


def factors_name(head_dim: int) -> TensorName:
    return TensorName("rope_freqs", "", FACTORS, 1, head_dim // 2)


def factors(turning: int, head_dim: int) -> Tensor:
    pairs = turning // 2
    return decoder.vector([1.0] * pairs + [STILL] * (head_dim // 2 - pairs))


def frequencies(base: float, turning: int, head_dim: int) -> list[float]:
    """Radians a position of each pair of a head without a window."""
    pairs = decoder.frequencies(base, head_dim)[: turning // 2]
    return pairs + [0.0] * (head_dim // 2 - len(pairs))
