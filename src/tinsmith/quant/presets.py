"""Presets: the well-known names, as a choice of format by tensor.

Tensors go by their names in GGUF, which all families share. The mixes of the K presets are llama.cpp's, without
its exceptions for 8 experts, so that a preset's name means the same size and quality. Q4_0 is finer than
llama.cpp's in attention; IQ3_NL is our own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tinsmith.errors import UnsupportedError
from tinsmith.format_names import FILE_TYPES, file_type
from tinsmith.formats.weights import in_gguf, weight_format


class Shape(NamedTuple):
    """A tensor of a GGUF file. rows: of all its matrices together; 1 for a vector."""

    name: str
    rows: int
    inputs: int


@dataclass(frozen=True)
class Place:
    """A tensor's position: its index among the `count` tensors of its part. group: queries that share a key.
    weighed: the importance of its inputs is known."""

    index: int
    count: int
    group: int
    weighed: bool


def _always(place: Place) -> bool:
    return True


def _outer_and_each_third(place: Place) -> bool:
    first = place.count // 8
    return place.index < first or place.index >= 7 * place.count // 8 or (place.index - first) % 3 == 2


def _first_eighth(place: Place) -> bool:
    return place.index < place.count // 8


def _unweighed_first_eighth(place: Place) -> bool:
    return _first_eighth(place) and not place.weighed


class Rule(NamedTuple):
    """The format of some tensors of a part, such as attn_v. The first rule that applies counts."""

    part: str
    format: str
    where: Callable[[Place], bool] = _always


class Preset(NamedTuple):
    """matrices: the format of all tensors that no other field covers. head: of the output head, and of an
    embedding that serves as the head. embedding: of any other embedding."""

    name: str
    matrices: str
    head: str
    embedding: str
    rules: tuple[Rule, ...] = ()

    @property
    def file_type(self) -> int:
        """GGUF's number of the preset."""
        return FILE_TYPES[self.name]


@dataclass(frozen=True)
class Mix:
    """A format for each tensor, chosen by a search. name: shown to users. formats: by GGUF name. vision: by
    role of a vision model's tensors, where they were measured."""

    name: str
    formats: Mapping[str, str]
    vision: Mapping[str, str] = field(default_factory=dict)

    @property
    def file_type(self) -> int:
        """The number of the preset named after the most common format."""
        common = max(sorted(set(self.formats.values())), key=list(self.formats.values()).count)
        return file_type(common)


def _all_of(format: str, *parts: str) -> tuple[Rule, ...]:
    return tuple(Rule(part, format) for part in parts)


_FINER = ("attn_v", "ffn_down", "attn_output")
_SHARED_VALUES = Rule("attn_v", "Q4_K", lambda place: place.group >= 4)
_MEDIUM = tuple(Rule(part, "Q6_K", _outer_and_each_third) for part in ("attn_v", "ffn_down"))
_FOUR_BITS = (
    Rule("attn_v", "Q5_K", lambda place: place.group >= 4),
    Rule("ffn_down", "Q5_K", _unweighed_first_eighth),
)
_Q4_K_S = (Rule("attn_v", "Q5_K", lambda place: place.index < 4), Rule("ffn_down", "Q5_K", _first_eighth))
_Q4_0 = (
    *_all_of("Q8_0", "attn_k", "attn_v", "attn_output"),
    Rule("per_layer_token_embd.weight", "Q4_0"),  # as large as the rest, and looked up, not multiplied
)
_Q3_K_M = (
    Rule("attn_v", "Q5_K", lambda place: place.index < 2),
    Rule("ffn_down", "Q5_K", lambda place: place.index < place.count // 16),
    *_all_of("Q4_K", *_FINER),
)
_IQ3_M = (*_all_of("Q4_K", "attn_v", "attn_output"), Rule("ffn_down", "Q4_K", _first_eighth))
_IQ3_XXS = (
    _SHARED_VALUES,
    Rule("attn_v", "IQ3_S", lambda place: not place.weighed),
    *_all_of("IQ2_S", "attn_k", "attn_q"),
    Rule("ffn_down", "Q4_K", _unweighed_first_eighth),
    Rule("ffn_down", "Q3_K", lambda place: not place.weighed),
    Rule("attn_output", "IQ3_S"),
)
_TWO_BITS = (_SHARED_VALUES, Rule("attn_v", "Q2_K"), Rule("ffn_down", "Q2_K", _first_eighth))
_IQ2_M = (_SHARED_VALUES, *_all_of("IQ3_S", "attn_v", "attn_output"), Rule("ffn_down", "IQ3_S", _first_eighth))
_ALL = (
    *(Preset(name, name, name, name) for name in ("F32", "F16", "BF16", "Q8_0", "Q6_K")),
    Preset("Q5_K_M", "Q5_K", "Q6_K", "Q5_K", _MEDIUM),
    Preset("Q5_K_S", "Q5_K", "Q6_K", "Q5_K"),
    Preset("Q5_1", "Q5_1", "Q6_K", "Q5_1"),
    Preset("Q5_0", "Q5_0", "Q6_K", "Q5_0"),
    Preset("Q4_K_M", "Q4_K", "Q6_K", "Q4_K", _MEDIUM),
    Preset("Q4_K_S", "Q4_K", "Q6_K", "Q4_K", _Q4_K_S),
    Preset("Q4_1", "Q4_1", "Q6_K", "Q4_1"),
    Preset("Q4_0", "Q4_0", "Q8_0", "Q8_0", _Q4_0),
    Preset("IQ4_NL", "IQ4_NL", "Q6_K", "IQ4_NL", _FOUR_BITS),
    Preset("IQ4_XS", "IQ4_XS", "Q6_K", "IQ4_XS", _FOUR_BITS),
    Preset("Q3_K_L", "Q3_K", "Q6_K", "Q3_K", _all_of("Q5_K", *_FINER)),
    Preset("Q3_K_M", "Q3_K", "Q6_K", "Q3_K", _Q3_K_M),
    Preset("Q3_K_S", "Q3_K", "Q6_K", "Q3_K"),
    Preset("IQ3_NL", "IQ3_NL", "Q4_0", "IQ3_NL", _all_of("Q4_0", "attn_k", *_FINER)),
    Preset("Q2_K", "Q2_K", "Q6_K", "Q2_K", (_SHARED_VALUES, *_all_of("Q3_K", *_FINER))),
    Preset("IQ3_M", "IQ3_S", "Q6_K", "IQ3_S", _IQ3_M),
    Preset("IQ3_S", "IQ3_S", "Q6_K", "IQ3_S", (_SHARED_VALUES,)),
    Preset("IQ3_XXS", "IQ3_XXS", "Q5_K", "IQ3_S", _IQ3_XXS),
    Preset("IQ2_M", "IQ2_S", "Q5_K", "IQ3_S", _IQ2_M),
    Preset("IQ2_S", "IQ2_XS", "Q5_K", "IQ3_S", _IQ2_M),
    Preset("IQ2_XS", "IQ2_XS", "Q5_K", "Q2_K", _TWO_BITS),
    Preset("IQ2_XXS", "IQ2_XXS", "Q5_K", "Q2_K", _TWO_BITS),
    Preset("TQ2_0", "TQ2_0", "Q6_K", "Q4_K"),
    Preset("TQ1_0", "TQ1_0", "Q6_K", "Q4_K"),
)
PRESETS = {preset.name: preset for preset in _ALL}

# Small and sensitive tensors: the weights of short convolutions and of routers.
_EXACT = re.compile(
    r".*\.(ssm_conv1d|shortconv\.conv|ffn_gate_inp|ffn_gate_inp_shexp)\.weight|per_layer_model_proj\.weight"
)
# Tensors with a row a token.
_TABLES = ("token_embd.weight", "per_layer_token_embd.weight")
_LAYER = re.compile(r"blk\.\d+\.(\w+)\.weight")
_SAME = {"attn_qkv": "attn_v"}  # a joint matrix of queries, keys and values is as sensitive as values
_EXPERTS = re.compile(r"_(exps|shexp)$")  # rules treat experts like the part without them
# For rows that are no multiple of a format's 256 inputs: the next finer format with blocks of 32.
_NARROW = {
    "Q2_K": "Q4_0", "Q3_K": "Q4_0", "Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0",
    **dict.fromkeys(("IQ4_XS", "IQ3_S", "IQ3_XXS", "IQ2_S", "IQ2_XS", "IQ2_XXS"), "IQ4_NL"),
    **dict.fromkeys(("TQ2_0", "TQ1_0"), "Q4_0"),
}  # fmt: skip
_NARROWEST = "F16"  # for rows that are no multiple of 32 either


def find(name: str | Mix) -> Preset | Mix:
    """Raises UnsupportedError for an unknown name, and lists the known ones."""
    if isinstance(name, Mix):
        return name
    if name not in PRESETS:
        raise UnsupportedError(f"preset {name!r} is not known; known: {', '.join(PRESETS)}")
    return PRESETS[name]


def check_gguf(name: str) -> None:
    """Raises UnsupportedError for a preset whose format GGUF lacks."""
    matrices = PRESETS[name].matrices if name in PRESETS else ""
    if matrices and in_gguf(matrices) != matrices:
        raise UnsupportedError(
            f"{name} is a format of tins; GGUF stores its weights as {in_gguf(matrices)}. To make a tin and "
            f"that GGUF, run: tinsmith build MODEL --format {name.lower()}"
        )


def formats(
    name: str | Mix, shapes: Sequence[Shape], *, group: int = 1, weighed: bool = False
) -> tuple[list[str], tuple[str, ...]]:
    """The format of each tensor of a file under a preset, and a line for every fallback; a mix has none.

    group: query heads a key head. weighed: an importance matrix is given. Vectors and the weights of short
    convolutions and routers are F32. Raises UnsupportedError for an unknown preset.
    """
    preset = find(name)
    if isinstance(preset, Mix):
        return ["F32" if is_exact(shape) else preset.formats[shape.name] for shape in shapes], ()
    tied = all(shape.name != "output.weight" for shape in shapes)
    parts = [_part(shape.name) for shape in shapes]
    counts, earlier = Counter(parts), Counter[str]()
    chosen: list[str] = []
    fallbacks: Counter[tuple[str, str, int]] = Counter()
    for shape, part in zip(shapes, parts, strict=True):
        wanted = _wanted(preset, shape, part, Place(earlier[part], counts[part], group, weighed), tied)
        earlier[part] += 1
        given = _fitting(wanted, shape.inputs, _is_head(shape, tied))
        if given != wanted:
            fallbacks[wanted, given, shape.inputs] += 1
        chosen.append(given)
    notes = tuple(
        f"rows of {inputs} inputs don't fill {wanted}'s blocks of {weight_format(wanted).block}: {given} "
        f"instead, in {count} of {len(shapes)} tensors"
        for (wanted, given, inputs), count in sorted(fallbacks.items())
    )
    return chosen, notes


def notes_of_gguf(formats: Sequence[str]) -> tuple[str, ...]:
    """A line for every format of a model's tensors that GGUF lacks."""
    return tuple(
        f"GGUF has no {name}: {in_gguf(name)} there, the same weights, in {count} of {len(formats)} tensors"
        for name, count in sorted(Counter(formats).items())
        if in_gguf(name) != name
    )


def _part(name: str) -> str:
    """Such as ffn_down_exps of blk.3.ffn_down_exps.weight; outside the layers, the name itself."""
    match = _LAYER.fullmatch(name)
    return _SAME.get(match[1], match[1]) if match else name


def is_exact(shape: Shape) -> bool:
    """Whether a tensor stays float32 under every preset."""
    return shape.rows == 1 or bool(_EXACT.fullmatch(shape.name)) or not shape.name.endswith(".weight")


def _wanted(preset: Preset, shape: Shape, part: str, place: Place, tied: bool) -> str:
    if is_exact(shape):
        return "F32"
    part = _EXPERTS.sub("", part)
    rule = next((rule for rule in preset.rules if rule.part == part and rule.where(place)), None)
    if rule:
        return rule.format
    if _is_head(shape, tied):
        return preset.head
    return preset.embedding if shape.name in _TABLES else preset.matrices


def _is_head(shape: Shape, tied: bool) -> bool:
    return shape.name == "output.weight" or (shape.name in _TABLES and tied)


def _fitting(wanted: str, inputs: int, head: bool) -> str:
    for given in (wanted, "Q8_0" if head else _NARROW.get(wanted)):
        if given and inputs % weight_format(given).block == 0:
            return given
    return _NARROWEST
