"""The facts of the adapters stage."""

from __future__ import annotations

from dataclasses import dataclass

FOLDER = "adapted"  # of a run: the tins, before they are measured


@dataclass(frozen=True)
class Fit:
    """How a router did on prompts that it was judged by: `right` of the tasks', `rejected` of those off topic;
    held_out: how many there were of both."""

    method: str
    right: float
    rejected: float | None
    held_out: list[int]


@dataclass(frozen=True)
class Adapted:
    """By the preset of the files' weights. tins: their names, in FOLDER; routers: how each was fitted."""

    tins: dict[str, str]
    routers: dict[str, Fit]
