"""The facts of the data stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tinsmith.pipeline.prepared import Base, New


@dataclass(frozen=True)
class Augmentation:
    """rows: examples made; variants: of each example, at most; slots: values found that can be substituted, by
    argument; sources: values filled in, by where they are from; shared: of each split, how many inputs were
    made too; met: how many have a word that no training input has and a made one does; images: changes of
    images, by kind."""

    rows: int
    variants: int
    slots: dict[str, int]
    sources: dict[str, int]
    shared: dict[str, int]
    met: dict[str, int]
    images: dict[str, int]


@dataclass(frozen=True)
class Divided:
    """Splits that were made. made: their names, and the training split's; kept: examples whose split an earlier
    run in this folder had chosen; groups: of examples that stay together; near: of the examples, those in a
    group with others."""

    made: list[str]
    kept: int
    groups: int
    near: int


@dataclass(frozen=True)
class Data:
    """constraint: what a tin's manifest says of it; counts: of examples by split; the other numbers are of test
    examples whose output the constraint forbids, or whose input is a training input too; new: how many of the
    examples an adapter is to learn on top of the others; divided: of splits that were made."""

    base: Base
    constraint: dict[str, Any] | None
    test_outputs_forbidden: int
    counts: dict[str, int]
    test_inputs_in_train: int
    augmentation: Augmentation | None = None
    new: New | None = None
    divided: Divided | None = None
