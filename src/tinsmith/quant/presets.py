"""Presets: the names people know, as a choice of format by tensor.

A tensor is identified by its name in GGUF, which is the same in every family. The mixes of the K presets are
llama.cpp's, but for its exceptions for 8 experts: what a preset's name promises about size and quality there,
it promises here. Q4_0 is finer than there in attention; IQ3_NL is ours.
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
    """A tensor of a GGUF file: `rows` of all its matrices together; a vector has 1."""

    name: str
    rows: int
    inputs: int


@dataclass(frozen=True)
class Place:
    """Where a tensor stands: its index among the `count` tensors of its part, queries that share a key, and
    whether the importance of its inputs is known."""

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


class Rule(NamedTuple):
    """A finer format for some tensors of a part, such as attn_v."""

    part: str
    format: str
    where: Callable[[Place], bool] = _always


class Preset(NamedTuple):
    """file_type: GGUF's number for it. matrices: the format of all that no other field covers; head: of the
    output head, also where the embedding serves as the head; embedding: of one that does not."""

    file_type: int
    matrices: str
    head: str
    embedding: str
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True)
class Mix:
    """A choice of format tensor by tensor, as a search makes it. name: what users call it; formats: by name in
    GGUF; vision: of a vision model's tensors, by role, where they were measured."""

    name: str
    formats: Mapping[str, str]
    vision: Mapping[str, str] = field(default_factory=dict)

    @property
    def file_type(self) -> int:
        """Of the preset named after the format that most tensors have."""
        common = max(sorted(set(self.formats.values())), key=list(self.formats.values()).count)
        return file_type(common)


def _around_two_bits(finer: str, *, output: bool = False) -> tuple[Rule, ...]:
    """Of the presets of IQ2; output: whether attention's outputs are finer too."""
    return (
        Rule("attn_v", "Q4_K", lambda place: place.group >= 4),
        Rule("attn_v", finer),
        Rule("ffn_down", finer, _first_eighth),
        *((Rule("attn_output", finer),) if output else ()),
    )


_AROUND_FOUR_BITS = (  # of the presets of IQ4
    Rule("attn_v", "Q5_K", lambda place: place.group >= 4),
    Rule("ffn_down", "Q5_K", lambda place: _first_eighth(place) and not place.weighed),
)


PRESETS = {
    "F32": Preset(FILE_TYPES["F32"], "F32", "F32", "F32"),
    "F16": Preset(FILE_TYPES["F16"], "F16", "F16", "F16"),
    "BF16": Preset(FILE_TYPES["BF16"], "BF16", "BF16", "BF16"),
    "Q8_0": Preset(FILE_TYPES["Q8_0"], "Q8_0", "Q8_0", "Q8_0"),
    "Q6_K": Preset(FILE_TYPES["Q6_K"], "Q6_K", "Q6_K", "Q6_K"),
    "Q5_K_M": Preset(
        FILE_TYPES["Q5_K_M"],
        "Q5_K",
        "Q6_K",
        "Q5_K",
        (
            Rule("attn_v", "Q6_K", _outer_and_each_third),
            Rule("ffn_down", "Q6_K", _outer_and_each_third),
        ),
    ),
    "Q5_K_S": Preset(FILE_TYPES["Q5_K_S"], "Q5_K", "Q6_K", "Q5_K"),
    "Q5_1": Preset(FILE_TYPES["Q5_1"], "Q5_1", "Q6_K", "Q5_1"),
    "Q5_0": Preset(FILE_TYPES["Q5_0"], "Q5_0", "Q6_K", "Q5_0"),
    "Q4_K_M": Preset(
        FILE_TYPES["Q4_K_M"],
        "Q4_K",
        "Q6_K",
        "Q4_K",
        (
            Rule("attn_v", "Q6_K", _outer_and_each_third),
            Rule("ffn_down", "Q6_K", _outer_and_each_third),
        ),
    ),
    "Q4_K_S": Preset(
        FILE_TYPES["Q4_K_S"],
        "Q4_K",
        "Q6_K",
        "Q4_K",
        (
            Rule("attn_v", "Q5_K", lambda place: place.index < 4),
            Rule("ffn_down", "Q5_K", _first_eighth),
        ),
    ),
    "Q4_1": Preset(FILE_TYPES["Q4_1"], "Q4_1", "Q6_K", "Q4_1"),
    "Q4_0": Preset(
        FILE_TYPES["Q4_0"],
        "Q4_0",
        "Q8_0",
        "Q8_0",
        (
            *(Rule(f"attn_{part}", "Q8_0") for part in ("k", "v", "output")),
            Rule("per_layer_token_embd.weight", "Q4_0"),  # as large as all else, and no sum of many products
        ),
    ),
    "IQ4_NL": Preset(FILE_TYPES["IQ4_NL"], "IQ4_NL", "Q6_K", "IQ4_NL", _AROUND_FOUR_BITS),
    "IQ4_XS": Preset(FILE_TYPES["IQ4_XS"], "IQ4_XS", "Q6_K", "IQ4_XS", _AROUND_FOUR_BITS),
    "Q3_K_L": Preset(
        FILE_TYPES["Q3_K_L"],
        "Q3_K",
        "Q6_K",
        "Q3_K",
        tuple(Rule(part, "Q5_K") for part in ("attn_v", "ffn_down", "attn_output")),
    ),
    "Q3_K_M": Preset(
        FILE_TYPES["Q3_K_M"],
        "Q3_K",
        "Q6_K",
        "Q3_K",
        (
            Rule("attn_v", "Q5_K", lambda place: place.index < 2),
            Rule("attn_v", "Q4_K"),
            Rule("ffn_down", "Q5_K", lambda place: place.index < place.count // 16),
            Rule("ffn_down", "Q4_K"),
            Rule("attn_output", "Q4_K"),
        ),
    ),
    "Q3_K_S": Preset(FILE_TYPES["Q3_K_S"], "Q3_K", "Q6_K", "Q3_K"),
    "IQ3_NL": Preset(
        FILE_TYPES["IQ3_NL"],
        "IQ3_NL",
        "Q4_0",
        "IQ3_NL",
        tuple(Rule(part, "Q4_0") for part in ("attn_k", "attn_v", "attn_output", "ffn_down")),
    ),
    "Q2_K": Preset(
        FILE_TYPES["Q2_K"],
        "Q2_K",
        "Q6_K",
        "Q2_K",
        (
            Rule("attn_v", "Q4_K", lambda place: place.group >= 4),
            Rule("attn_v", "Q3_K"),
            Rule("ffn_down", "Q3_K"),
            Rule("attn_output", "Q3_K"),
        ),
    ),
    "IQ3_M": Preset(
        FILE_TYPES["IQ3_M"],
        "IQ3_S",
        "Q6_K",
        "IQ3_S",
        (
            Rule("attn_v", "Q4_K"),
            Rule("ffn_down", "Q4_K", _first_eighth),
            Rule("attn_output", "Q4_K"),
        ),
    ),
    "IQ3_S": Preset(
        FILE_TYPES["IQ3_S"], "IQ3_S", "Q6_K", "IQ3_S", (Rule("attn_v", "Q4_K", lambda place: place.group >= 4),)
    ),
    "IQ3_XXS": Preset(
        FILE_TYPES["IQ3_XXS"],
        "IQ3_XXS",
        "Q5_K",
        "IQ3_S",
        (
            Rule("attn_v", "Q4_K", lambda place: place.group >= 4),
            Rule("attn_v", "IQ3_S", lambda place: not place.weighed),
            Rule("attn_k", "IQ2_S"),
            Rule("attn_q", "IQ2_S"),
            Rule("ffn_down", "Q4_K", lambda place: _first_eighth(place) and not place.weighed),
            Rule("ffn_down", "Q3_K", lambda place: not place.weighed),
            Rule("attn_output", "IQ3_S"),
        ),
    ),
    "IQ2_M": Preset(FILE_TYPES["IQ2_M"], "IQ2_S", "Q5_K", "IQ3_S", _around_two_bits("IQ3_S", output=True)),
    "IQ2_S": Preset(FILE_TYPES["IQ2_S"], "IQ2_XS", "Q5_K", "IQ3_S", _around_two_bits("IQ3_S", output=True)),
    "IQ2_XS": Preset(FILE_TYPES["IQ2_XS"], "IQ2_XS", "Q5_K", "Q2_K", _around_two_bits("Q2_K")),
    "IQ2_XXS": Preset(FILE_TYPES["IQ2_XXS"], "IQ2_XXS", "Q5_K", "Q2_K", _around_two_bits("Q2_K")),
    "TQ2_0": Preset(FILE_TYPES["TQ2_0"], "TQ2_0", "Q6_K", "Q4_K"),
    "TQ1_0": Preset(FILE_TYPES["TQ1_0"], "TQ1_0", "Q6_K", "Q4_K"),
}

# Small, and costly where they are wrong: the weights of short convolutions and those that choose experts.
_EXACT = re.compile(
    r".*\.(ssm_conv1d|shortconv\.conv|ffn_gate_inp|ffn_gate_inp_shexp)\.weight|per_layer_model_proj\.weight"
)
# What has a row a token.
_TABLES = ("token_embd.weight", "per_layer_token_embd.weight")
_LAYER = re.compile(r"blk\.\d+\.(\w+)\.weight")
# Parts that are counted and treated as one: matrices of queries, keys and values together are as delicate as
# those of values; all experts of a layer are one matrix, and those that every token goes to another.
_SAME = {"attn_qkv": "attn_v"}
_EXPERTS = re.compile(r"_(exps|shexp)$")
# What takes a format's place in rows that are no multiple of its 256 inputs: the next finer one with blocks of
# 32.
_NARROW = {
    "Q2_K": "Q4_0", "Q3_K": "Q4_0", "Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0",
    **dict.fromkeys(("IQ4_XS", "IQ3_S", "IQ3_XXS", "IQ2_S", "IQ2_XS", "IQ2_XXS"), "IQ4_NL"),
    **dict.fromkeys(("TQ2_0", "TQ1_0"), "Q4_0"),
}  # fmt: skip
_NARROWEST = "F16"  # for rows that are no multiple of 32 either


def find(name: str | Mix) -> Preset | Mix:
    """Raises UnsupportedError for an unknown one, listing those there are."""
    if isinstance(name, Mix):
        return name
    if name not in PRESETS:
        raise UnsupportedError(f"preset {name!r} is not known; known: {', '.join(PRESETS)}")
    return PRESETS[name]


def check_gguf(name: str) -> None:
    """Raises UnsupportedError for a preset of a format that GGUF has not."""
    matrices = PRESETS[name].matrices if name in PRESETS else ""
    if matrices and in_gguf(matrices) != matrices:
        raise UnsupportedError(
            f"{name} is a format of tins, and GGUF holds its weights as {in_gguf(matrices)}; for a tin, and "
            f"that GGUF: tinsmith build MODEL --format {name.lower()}"
        )


def formats(
    name: str | Mix, shapes: Sequence[Shape], *, group: int = 1, weighed: bool = False
) -> tuple[list[str], tuple[str, ...]]:
    """The format of each tensor of a file under preset `name`, and a line for every fallback; a mix has none.

    group: query heads a key head; weighed: an importance matrix is at hand. Vectors are F32, and so are the
    weights of short convolutions and of routers. Raises UnsupportedError for an unknown preset.
    """
    preset = find(name)
    if isinstance(preset, Mix):
        return ["F32" if is_exact(shape) else preset.formats[shape.name] for shape in shapes], ()
    tied = all(shape.name != "output.weight" for shape in shapes)
    parts = [_part(shape.name) for shape in shapes]
    counts, seen = Counter(parts), Counter[str]()
    chosen: list[str] = []
    fallbacks: Counter[tuple[str, str, int]] = Counter()
    for shape, part in zip(shapes, parts, strict=True):
        wanted = _wanted(preset, shape, part, Place(seen[part], counts[part], group, weighed), tied)
        seen[part] += 1
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
    """A line for every format of a model's tensors that GGUF has not."""
    return tuple(
        f"GGUF has no {name}: {in_gguf(name)} there, the same weights, in {count} of {len(formats)} tensors"
        for name, count in sorted(Counter(formats).items())
        if in_gguf(name) != name
    )


def _part(name: str) -> str:
    """ffn_down_exps of blk.3.ffn_down_exps.weight; the name itself outside of the layers."""
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
