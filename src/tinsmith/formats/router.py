"""router.bin: which of a tin's adapters a prompt is for, as kernels/core/session/router.h lays it out."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tinsmith.errors import FormatError, UnsupportedError

Buffer = bytes | bytearray | memoryview

ENTRY = "router.bin"  # of a tin
MOST_TASKS, MOST_ROWS = 64, 128

_HEADER = struct.Struct("<8s6I32s")
_MAGIC = b"TINROUT\0"
_VERSION = 1


@dataclass(frozen=True)
class Router:
    """A linear map of a prompt's hidden state: a row for each task, then those for none of them, one at least.

    tasks: names of adapters. weights: [rows][dim], bias: [rows]. least: of each task, the probability from
    which on a prompt is taken for it. source: the digest of the checkpoint whose states it was made from, zeros
    where that is not known.
    """

    tasks: tuple[str, ...]
    dim: int
    weights: Sequence[float]
    bias: Sequence[float]
    least: Sequence[float]
    source: bytes = bytes(32)

    def pack(self) -> bytes:
        """router.bin. Raises FormatError for numbers that are not as many as due, UnsupportedError for more
        tasks or rows than a router has."""
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
        """Of one that is fitted to these tasks, with a row for none of them."""
        rows = len(tasks) + 1
        floats = cls(tuple(tasks), dim, [0.0] * (rows * dim), [0.0] * rows, [0.0] * len(tasks))
        return len(floats.pack())

    def renamed(self, old: str, new: str) -> Router:
        return replace(self, tasks=tuple(new if name == old else name for name in self.tasks))

    def without(self, task: str) -> Router | None:
        """One that takes that task's prompts for none's; None where no task is left."""
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
    """What `pack` wrote. Raises FormatError for bytes that are no router, or of another size; the core, which
    opens a router to use it, checks the rest."""
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
