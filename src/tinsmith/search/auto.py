"""`auto`: the formats that lose least within a budget."""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from tinsmith import models
from tinsmith.errors import InputError
from tinsmith.format_names import AUTO
from tinsmith.formats.weights import in_gguf, weight_format
from tinsmith.quant.assign import Choice, Tight, assign
from tinsmith.quant.model import Feedback
from tinsmith.quant.presets import Mix
from tinsmith.quant.shipping import Weights
from tinsmith.search import grams, sensitivity, text
from tinsmith.search.budget import Budget
from tinsmith.search.floats import Reference
from tinsmith.spec import Spec
from tinsmith.system.progress import Display
from tinsmith.targets import Target

_ALIGNMENT = 32  # of tensors in the file
_POINTS = 12  # of the front


@dataclass(frozen=True)
class Options:
    """tokens: of the text that losses are measured on; gram_tokens: of the text that the Gram matrices are
    computed on; thorough: measure every format of every tensor; gguf: use only GGUF's formats, as a budget of
    max_size needs."""

    tokens: int = 1024
    gram_tokens: int = grams.TOKENS
    thorough: bool = False
    gguf: bool = False


@dataclass(frozen=True)
class Point:
    """One assignment: formats by role; size: bytes of the file (a format of tins alone counts as it does
    there); bits: a weight of its matrices; loss: the sum of its tensors' losses; kl: what it loses when all are
    changed together, measured on the same text, or None."""

    formats: dict[str, str]
    size: int
    bits: float
    loss: float
    kl: float | None = None

    def row(self) -> dict[str, Any]:
        return {
            "bytes": self.size,
            "bits": round(self.bits, 4),
            "sum_of_losses": self.loss,
            "kl": self.kl,
            "formats": dict(sorted(Counter(self.formats.values()).items())),
        }


# What a choice is worth beside the float model, from 0 to 1 or a little above.
Accuracy = Callable[[Point], float]


class Search:
    """Losses measured once, for as many budgets as are asked for.

    folder: keeps sensitivity.json. overhead: bytes of the file beside its tensors, where that is not the file
    that models.save_gguf writes.
    """

    def __init__(
        self,
        spec: Spec,
        calibration: Sequence[int],
        folder: Path,
        display: Display,
        options: Options = Options(),
        *,
        overhead: int | None = None,
    ) -> None:
        self.spec, self.display = spec, display
        matrices = sensitivity.matrices(spec)
        self.candidates = {
            role: [name for name in names if not options.gguf or in_gguf(name) == name]
            for role, names in matrices.items()
        }
        judged = text.windows(spec, calibration, options.tokens)
        self.model, self.grams = grams.of_text(spec, calibration, display, options.gram_tokens)
        unknown = sorted(set(self.candidates) - set(self.model.names))
        if unknown:
            raise InputError(f"{spec.family}: {unknown[0]} can't be measured; take a preset")
        self.encode = sensitivity.Encoder(spec, self.grams, self.grams.feedback)
        settings = {"feedback": True, "calibration": list(calibration), "seen": options.gram_tokens}
        digest = sensitivity.digest(spec, judged, settings)
        self.losses = sensitivity.Sensitivity(folder / "sensitivity.json", digest)
        with display.bar("float model", len(judged)) as bar:
            self.reference = Reference(self.model, judged, bar.update)
        divergence = self.reference.divergence
        sensitivity.measure(
            self.losses, matrices, divergence, self.encode, display, "sensitivity", thorough=options.thorough
        )
        # What does not depend on the choice: bytes beside the matrices, in a session and in the file; how many
        # weights the matrices have; the roles of which a token reads one row.
        others = [tensor for role, tensor in spec.tensors.items() if role not in self.candidates]
        self.session = sum(_padded(4 * tensor.rows * tensor.inputs) for tensor in others)
        self.overhead = self.session + (models.gguf_overhead(spec) if overhead is None else overhead)
        self.weights = sum(map(self._weights, self.candidates))
        unread = {"layer_embed", "embed"} if "head" in self.candidates else {"layer_embed"}
        self.unread = sorted(unread & set(self.candidates))

    def _weights(self, role: str) -> int:
        return self.spec.tensors[role].rows * self.spec.tensors[role].inputs

    def bytes_of(self, role: str, format: str) -> int:
        """In the file."""
        return _padded(weight_format(format).size(self._weights(role)))

    def choose(self, budget: Budget, accuracy: Accuracy | None = None) -> Point:
        """The best within a budget; with a least accuracy, the smallest on the front that has it.

        accuracy: how that is measured (default: how often the likeliest next token of the calibration text is
        the float model's). Raises InputError where nothing is, with the nearest that is possible.
        """
        if budget.min_accuracy is None:
            return self._best(budget)
        points = self.front()
        if budget.limited:
            most = self._best(budget)
            points = [*(point for point in points if point.size < most.size), most]
        return self._smallest(points, budget.min_accuracy, accuracy or self.agreement)

    def _smallest(self, points: Sequence[Point], least: float, accuracy: Accuracy) -> Point:
        """By bisection, which assumes that accuracy grows with size."""
        largest = points[-1]
        reached = accuracy(largest)
        if reached < least:
            raise InputError(
                f"no choice of formats keeps {least:g} of the float model's accuracy; the best within the "
                f"budget, {largest.size:,} bytes, keeps {reached:.4f}"
            )
        return points[bisect_left(points[:-1], True, key=lambda point: accuracy(point) >= least)]

    def agreement(self, point: Point) -> float:
        """The share of the calibration text's tokens after which the likeliest one is the float model's."""
        return self.reference.agreement({role: self.encode(role, name) for role, name in point.formats.items()})

    def _limits(self, budget: Budget) -> tuple[int, int | None]:
        """Bytes that the matrices may take in the file, together, and that a token may read of them."""
        limits = [1 << 62]
        if budget.max_size is not None:
            limits.append(budget.max_size - self.overhead)
        if budget.bits is not None:
            limits.append(int(budget.bits * self.weights / 8))
        if budget.memory is not None:
            limits.append(budget.memory - self.session)
        if budget.speed is None:
            return min(limits), None
        if not budget.bandwidth:
            raise InputError("a budget of tokens a second needs the device's memory bandwidth; give a target")
        return min(limits), int(budget.bandwidth / budget.speed)

    def _best(self, budget: Budget) -> Point:
        limit, read = self._limits(budget)
        fixed: list[dict[str, str]] = [{}]
        if read is not None and self.unread:
            # What is not read counts for the file alone: each of its formats is tried with the best of the
            # rest.
            fixed = [
                dict(zip(self.unread, names, strict=True))
                for names in product(*(self.candidates[role] for role in self.unread))
            ]
        points, least = [], []
        for given in fixed:
            try:
                points.append(self._solve(limit, read, given))
            except Tight as tight:
                least.append(tight.least)
        if not points:
            size, bits = self.overhead + min(least), 8 * min(least) / self.weights
            raise InputError(
                f"no choice of formats keeps {budget.describe()}; the smallest file has {size:,} bytes, "
                f"{bits:.3f} bits a weight; give more room, or a smaller base"
            )
        return min(points, key=lambda point: (point.loss, point.size))

    def _solve(self, limit: int, read: int | None, fixed: Mapping[str, str]) -> Point:
        roles = [role for role in self.candidates if role not in fixed]
        own = sum(self.bytes_of(role, name) for role, name in fixed.items())
        left = min(limit - own, limit if read is None else read)
        losses = {role: self.losses.losses(role) for role in self.candidates}
        items = [
            [Choice(self.bytes_of(role, name), losses[role][name]) for name in self.candidates[role]]
            for role in roles
        ]
        try:
            chosen = assign(items, left)
        except Tight as tight:
            raise Tight(tight.least + own, limit) from None
        formats = {**{role: self.candidates[role][k] for role, k in zip(roles, chosen, strict=True)}, **fixed}
        return self.point({role: formats[role] for role in self.candidates})

    def point(self, formats: dict[str, str]) -> Point:
        size = sum(self.bytes_of(role, name) for role, name in formats.items())
        loss = sum(self.losses.losses(role)[name] for role, name in formats.items())
        return Point(formats, self.overhead + size, 8 * size / self.weights, loss)

    def measured(self, point: Point) -> Point:
        """With its KL divergence when all its tensors are changed together."""
        key = hashlib.sha256(json.dumps(sorted(point.formats.items())).encode()).hexdigest()[:16]
        if key not in self.losses.wholes:
            made = {role: self.encode(role, name) for role, name in point.formats.items()}
            self.losses.wholes[key] = self.reference.divergence(made)
            self.losses.save()
        return replace(point, kl=self.losses.wholes[key])

    def front(self, points: int = _POINTS) -> list[Point]:
        """The best for sizes from the smallest file to the largest that loses anything, evenly spread."""
        least = sum(min(self.bytes_of(role, name) for name in names) for role, names in self.candidates.items())
        losses = {role: self.losses.losses(role) for role in self.candidates}
        most = sum(
            min(self.bytes_of(role, name) for name in names if losses[role][name] == min(losses[role].values()))
            for role, names in self.candidates.items()
        )
        sizes = sorted({least + (most - least) * k // (points - 1) for k in range(points)})
        return [self._solve(size, None, {}) for size in sizes]

    def mix(self, point: Point) -> Mix:
        names = self.model.names
        parts = ((part, name) for role, name in point.formats.items() for part in names[role].gguf_parts)
        return Mix(AUTO, {part.gguf: name for part, name in parts})


@dataclass(frozen=True)
class Chosen:
    """bits: of a weight, on average; front: rows of the report, by size; the one that was taken has
    `chosen`."""

    mix: Mix
    feedback: Feedback
    bits: float
    front: list[dict[str, Any]]

    def weights(self) -> Weights:
        """Error feedback replaces an importance matrix."""
        return Weights(AUTO, self.mix, feedback=self.feedback)


def of_search(
    search: Search, budget: Budget, display: Display, accuracy: Callable[[Point], float] | None = None
) -> Chosen:
    """The choice within a budget, and the front around it, also shown. accuracy: as Search.choose takes it."""
    point = search.measured(search.choose(budget, accuracy))
    front = [other for other in search.front() if other.formats != point.formats]
    for line in table(front, point):
        display.line(line)
    rows = [{**other.row(), "chosen": False} for other in front] + [{**point.row(), "chosen": True}]
    rows.sort(key=lambda row: row["bytes"])
    return Chosen(search.mix(point), search.grams.feedback, point.bits, rows)


def least(stated: int | None, room: int | None) -> int | None:
    """Of two limits, either of which may be none."""
    return min((one for one in (stated, room) if one is not None), default=None)


def bandwidth(devices: Sequence[Target]) -> int | None:
    """Bytes a second that the slowest device reads of a model."""
    return min((device.memory.flash_bandwidth or device.memory.bandwidth for device in devices), default=None)


def table(points: Sequence[Point], chosen: Point | None = None) -> list[str]:
    """The front for people, a line each; the chosen point is marked."""
    lines = ["     bytes  bits   KL, summed  measured  formats"]
    others = [point for point in points if chosen is None or point.formats != chosen.formats]
    for point in sorted([*others, *([chosen] if chosen else [])], key=lambda point: point.size):
        counts = Counter(point.formats.values()).most_common()
        kl = "" if point.kl is None else f"{point.kl:.5f}"
        mark = "*" if point is chosen else " "
        lines.append(
            f"{mark}{point.size:>9} {point.bits:>5.2f}  {point.loss:>11.5f}  {kl:>8}  "
            + ", ".join(f"{count} {name}" for name, count in counts)
        )
    return lines


def _padded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
