"""router.bin chooses a tin's adapter for a prompt; kernels/core/session/router.h has its layout."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tinsmith.errors import FormatError, UnsupportedError
from tinsmith.spec import Buffer

ENTRY = "router.bin"  # of a tin
MOST_TASKS, MOST_ROWS = 64, 128

_HEADER = struct.Struct("<8s6I32s")
_MAGIC = b"TINROUT\0"
_VERSION = 1


@dataclass(frozen=True)
class Router:
    """A linear map of a prompt's hidden state: a row per task, then at least one row for no task.

    tasks: names of adapters. weights: [rows][dim]. bias: [rows]. least: by task, the least probability that
    chooses it. source: digest of the checkpoint whose states trained the router; zeros if unknown.
    """

    tasks: tuple[str, ...]
    dim: int
    weights: Sequence[float]
    bias: Sequence[float]
    least: Sequence[float]
    source: bytes = bytes(32)

    def pack(self) -> bytes:
        """router.bin. Raises FormatError for lists of wrong lengths, UnsupportedError for too many tasks or
        rows."""
        tasks, rows = len(self.tasks), len(self.bias)
        if not 1 <= tasks <= MOST_TASKS or rows > MOST_ROWS:
            raise UnsupportedError(
                f"a router of {tasks} tasks and {rows} rows; it has at most {MOST_TASKS} and {MOST_ROWS}"
            )
        if rows <= tasks or len(self.weights) != rows * self.dim or len(self.least) != tasks:
            raise FormatError(f"a router's rows and probabilities are not those of its {tasks} tasks")
        names = b"".join(name.encode("ascii") + b"\0" for name in self.tasks)
        header = _HEADER.pack(_MAGIC, _VERSION, tasks, rows, self.dim, len(names), 0, self.source)
        floats = [*self.weights, *self.bias, *self.least]
        return header + struct.pack(f"<{len(floats)}f", *floats) + names

    @classmethod
    def bytes_of(cls, tasks: Sequence[str], dim: int) -> int:
        """The size of a router for these tasks, with one row for no task."""
        rows = len(tasks) + 1
        return len(cls(tuple(tasks), dim, [0.0] * (rows * dim), [0.0] * rows, [0.0] * len(tasks)).pack())

    def renamed(self, old: str, new: str) -> Router:
        return replace(self, tasks=tuple(new if name == old else name for name in self.tasks))

    def without(self, task: str) -> Router | None:
        """The router whose row for that task means no task; None without other tasks."""
        if task not in self.tasks:
            return self
        if len(self.tasks) == 1:
            return None
        number, rows, dim = self.tasks.index(task), len(self.bias), self.dim
        order = [*(k for k in range(rows) if k != number), number]
        return replace(
            self,
            tasks=tuple(name for name in self.tasks if name != task),
            weights=[one for k in order for one in self.weights[k * dim : (k + 1) * dim]],
            bias=[self.bias[k] for k in order],
            least=[one for k, one in enumerate(self.least) if k != number],
        )


def read(data: Buffer) -> Router:
    """Reads the result of `pack`. Raises FormatError for other bytes or another size; the core checks the rest
    when it opens a router."""
    if len(data) < _HEADER.size:
        raise FormatError(f"{ENTRY} is cut short")
    magic, version, tasks, rows, dim, name_bytes, _, source = _HEADER.unpack_from(data)
    floats = rows * dim + rows + tasks
    if magic != _MAGIC or version != _VERSION or _HEADER.size + 4 * floats + name_bytes != len(data):
        raise FormatError(f"{ENTRY} is not a router of version {_VERSION}, or is damaged")
    numbers = struct.unpack_from(f"<{floats}f", data, _HEADER.size)
    names = bytes(data[len(data) - name_bytes :]).decode("ascii", "replace").split("\0")[:-1]
    if len(names) != tasks:
        raise FormatError(f"{ENTRY} has {len(names)} names of {tasks} tasks; it is damaged")
    weights, bias, least = numbers[: rows * dim], numbers[rows * dim : rows * dim + rows], numbers[-tasks:]
    return Router(tuple(names), dim, weights, bias, least, source)
