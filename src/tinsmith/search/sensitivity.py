"""What each format costs each tensor: measured mean KL divergence, one tensor at a time.

Of each tensor one format is measured (of the tied embedding, which is two tensors' work, all), and the others
follow by the mean square of the error that they leave in the matrix's outputs: both grow with the square of the
change. With `thorough` every format is measured. Each result is written to sensitivity.json at
once, from which a stopped search resumes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinsmith.errors import FormatError
from tinsmith.formats.weights import WEIGHT_FORMATS, weight_format
from tinsmith.quant import presets
from tinsmith.quant.convert import Job, converted
from tinsmith.quant.model import Feedback
from tinsmith.search.grams import Grams
from tinsmith.spec import Spec, Tensor, Vision
from tinsmith.system import files, reading
from tinsmith.system.progress import Display
from tinsmith.train.tensors import from_float32, to_float32

_VERSION = 1  # of the way losses are measured; raised, every search measures anew
_ANCHORS = ("Q4_K", "Q4_0")  # measured: coarse enough to rise above rounding, fine enough to be quadratic
_ROWS = 192  # of a tensor, evenly spread, on which its formats' errors are compared
_FLOATS = ("F32", "F16", "BF16")


def candidates(tensor: Tensor) -> list[str]:
    """The formats that a tensor may get: those that its rows fill, no larger than its own; 16 bits at most."""
    own = weight_format(tensor.format)
    width = min(own.bytes / own.block, 2.0)
    names = [
        name
        for name, kind in WEIGHT_FORMATS.items()
        if name not in _FLOATS and tensor.inputs % kind.block == 0 and kind.bytes / kind.block <= width
    ]
    if tensor.format in _FLOATS:
        names.append("BF16" if tensor.format == "BF16" else "F16")
    elif tensor.format not in names:
        names.append(tensor.format)
    return names


def matrices(spec: Spec) -> dict[str, list[str]]:
    """By role, the candidates of each tensor that a preset would quantize."""
    from tinsmith.models.family import names_of

    names = [name for name in names_of(spec) if name.role in spec.tensors]
    plain, _ = presets.formats("Q8_0", [presets.Shape(n.gguf, n.all_rows, n.inputs) for n in names])
    return {
        name.role: candidates(spec.tensors[name.role])
        for name, format in zip(names, plain, strict=True)
        if format != "F32"
    }


class Encoder:
    """A tensor in a format as the built file will have it. weighed: its blocks are fitted to what matters."""

    def __init__(
        self, held: Spec | Vision, grams: Grams, feedback: Feedback | None, *, weighed: bool = True
    ) -> None:
        self.tensors, self.grams, self.feedback = held.tensors, grams, feedback
        self.weights = grams.importance() if weighed else {}

    def __call__(self, role: str, format: str) -> Tensor:
        return self._encoded(role, self.tensors[role], format)

    def _encoded(self, role: str, tensor: Tensor, format: str) -> Tensor:
        factor = self.feedback(role) if self.feedback else None
        return converted([Job(role, tensor, format, self.weights.get(role), feedback=factor)])[0]

    def errors(self, role: str, formats: Sequence[str]) -> dict[str, float]:
        """By format, the mean square of what the outputs change by (of the weights, where the inputs are not
        known), on some rows."""
        own = self.tensors[role]
        step = -(-own.rows // _ROWS)
        plain = np.ascontiguousarray(to_float32(own)[::step])
        some = from_float32(plain)
        errors = {}
        for name in formats:
            if name == own.format:
                errors[name] = 0.0
                continue
            change = to_float32(self._encoded(role, some, name)) - plain
            known = role in self.grams
            errors[name] = step * (self.grams.error(role, change) if known else float(np.square(change).sum()))
        return errors


class Sensitivity:
    """losses: by role and format, KL in nats a token."""

    def __init__(self, path: Path, digest: str) -> None:
        self.path, self.digest = path, digest
        self.measured: dict[str, dict[str, float]] = {}
        self.errors: dict[str, dict[str, float]] = {}
        self.wholes: dict[str, float] = {}
        if path.exists():
            self._read()

    def _read(self) -> None:
        advice = "it is damaged, delete it to measure anew"
        held = reading.read_table(self.path, FormatError, advice=advice)
        if held.get("digest") != self.digest:
            return
        kept: list[Any] = [held.get(key) for key in ("measured", "errors", "wholes")]
        if not all(isinstance(losses, dict) for losses in kept):
            raise FormatError(f"{self.path}: holds no losses; {advice}")
        self.measured, self.errors, self.wholes = kept

    def save(self) -> None:
        held = {"digest": self.digest, "measured": self.measured, "errors": self.errors, "wholes": self.wholes}
        files.write_text(self.path, json.dumps(held, indent=1, sort_keys=True) + "\n")

    def losses(self, role: str) -> dict[str, float]:
        """Of every format, measured or derived."""
        measured, errors = self.measured[role], self.errors[role]
        share = next((loss / errors[name] for name, loss in measured.items()), 0.0)
        return {name: measured.get(name, share * error) for name, error in errors.items()}


def digest(spec: Spec, windows: Sequence[Sequence[int]], settings: Mapping[str, Any]) -> str:
    """Of all that the losses depend on."""
    hashed = hashlib.sha256(json.dumps([_VERSION, windows, settings], sort_keys=True).encode())
    for role, tensor in sorted(spec.tensors.items()):
        hashed.update(f"{role} {tensor.format} {tensor.rows} {tensor.inputs}".encode())
        hashed.update(tensor.data)
    return hashed.hexdigest()


def measure(
    sensitivity: Sensitivity,
    roles: Mapping[str, Sequence[str]],
    divergence: Callable[[dict[str, Tensor]], float],
    encode: Encoder,
    display: Display,
    label: str,
    *,
    thorough: bool = False,
) -> None:
    """Measures what `sensitivity` lacks, and adds it. roles: the formats of each tensor. divergence: of a model
    with replaced tensors."""
    with display.bar(label, len(roles)) as bar:
        for done, (role, names) in enumerate(roles.items()):
            bar.update(done, role)
            errors = sensitivity.errors.setdefault(role, {})
            measured = sensitivity.measured.setdefault(role, {})
            missing = [name for name in names if name not in errors]
            if missing:
                errors.update(encode.errors(role, missing))
                sensitivity.save()
            inexact = [name for name in (*_ANCHORS, *names) if errors.get(name, 0) > 0]
            every = thorough or role == "embed" or role not in encode.grams
            for name in dict.fromkeys(inexact if every else inexact[:1]):
                if name not in measured:
                    measured[name] = divergence({role: encode(role, name)})
                    sensitivity.save()
        bar.update(len(roles))
