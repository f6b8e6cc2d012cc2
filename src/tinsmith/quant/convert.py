"""Converts tensors between formats in blocks of rows, on all cores, for writers that take a file in pieces.

Source tensors are maps of their file; only the rows in progress are in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from tinsmith import _core
from tinsmith.errors import FormatError
from tinsmith.layouts import reordered
from tinsmith.spec import Buffer, Tensor
from tinsmith.system.files import forget
from tinsmith.system.parallel import in_order

_BLOCK = 1 << 20  # weights that one task converts
_FORGET = 64 << 20  # bytes of a mapped file after which its pages are released

Advance = Callable[[int], None]


@dataclass(frozen=True)
class Job:
    """A tensor and its target format.

    importance: float32 [matrices, inputs], a weight for the squared error of each input column. matrices: the
    number of matrices in the tensor. order: row i of each run of len(order) rows in the file is the tensor's
    row order[i] of that run. feedback: returns float32 [inputs, inputs], the factor of
    _core.quantize_feedback; for a single matrix. Raises FormatError for importance of another shape."""

    name: str
    tensor: Tensor
    format: str
    importance: Buffer | None = None
    matrices: int = 1
    order: Sequence[int] = (0,)
    feedback: Callable[[], Buffer] | None = None

    def __post_init__(self) -> None:
        wanted = self.matrices * self.tensor.inputs
        if self.importance is not None and (given := memoryview(self.importance).nbytes // 4) != wanted:
            raise FormatError(f"{self.name}: importance of {given} inputs for {wanted}; give its own matrix")

    def spans(self) -> list[tuple[int, int]]:
        """(begin, end) of the rows of each task. None crosses matrices or divides a run."""
        run, rows = len(self.order), self.tensor.rows // self.matrices
        step = max(1, _BLOCK // self.tensor.inputs // run) * run
        return [
            (first + at, first + min(at + step, rows))
            for first in range(0, self.tensor.rows, rows)
            for at in range(0, rows, step)
        ]

    def convert(self, begin: int, end: int) -> Buffer:
        """Rows begin to end in the target format."""
        tensor, shape = self.tensor, (end - begin, self.tensor.inputs)
        width = memoryview(tensor.data).nbytes // tensor.rows
        data = reordered(memoryview(tensor.data).cast("B")[begin * width : end * width], width, self.order)
        if tensor.format == self.format:
            return data
        if tensor.format != "F32":
            data = _core.dequantize(tensor.format, data, *shape)
        if self.format == "F32":
            return data
        try:
            if self.feedback is not None:
                return _core.quantize_feedback(self.format, data, *shape, self.feedback())
            return _core.quantize(self.format, data, *shape, importance=self._importance(begin))
        except ValueError as error:
            raise FormatError(f"{self.name} can't be quantized to {self.format}: {error}") from error

    def _importance(self, row: int) -> Buffer | None:
        if self.importance is None:
            return None
        size = 4 * self.tensor.inputs
        matrix = row * self.matrices // self.tensor.rows
        return memoryview(self.importance).cast("B")[matrix * size : (matrix + 1) * size]


def stream(jobs: Sequence[Job], threads: int = 0, advance: Advance | None = None) -> list[Iterator[Buffer]]:
    """Each job's tensor in pieces; consume the iterators in order, each to its end.

    threads: 0 for one a core; the bytes don't depend on it. advance: called with the source bytes of each piece
    consumed. Raises FormatError for a weight that is not finite or too large for its format.
    """
    spans = [job.spans() for job in jobs]

    def task(job: Job, begin: int, end: int) -> Callable[[], Buffer]:
        return lambda: job.convert(begin, end)

    results = in_order(
        (task(job, *span) for job, own in zip(jobs, spans, strict=True) for span in own), threads
    )
    return [_pieces(job, own, islice(results, len(own)), advance) for job, own in zip(jobs, spans, strict=True)]


def _pieces(
    job: Job, spans: Sequence[tuple[int, int]], results: Iterator[Buffer], advance: Advance | None
) -> Iterator[Buffer]:
    mapped, width = 0, memoryview(job.tensor.data).nbytes // job.tensor.rows
    for (begin, end), piece in zip(spans, results, strict=True):
        yield piece
        mapped += (end - begin) * width
        if mapped >= _FORGET or end == job.tensor.rows:
            forget(job.tensor.data)
            mapped = 0
        if advance is not None:
            advance((end - begin) * width)


def converted(jobs: Sequence[Job]) -> list[Tensor]:
    """The tensors in memory; one that has its format already is returned as it is."""
    pieces = stream([job for job in jobs if job.tensor.format != job.format])
    made = iter([b"".join(parts) for parts in pieces])
    return [
        job.tensor
        if job.tensor.format == job.format
        else Tensor(job.format, job.tensor.rows, job.tensor.inputs, next(made))
        for job in jobs
    ]
