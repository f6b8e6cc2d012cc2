"""This machine as a target: programs of a few ops measure its reads and multiply-adds a second."""

from __future__ import annotations

import platform
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from tinsmith import _core
from tinsmith.compiler.passes import lower
from tinsmith.compiler.program import Listing, read_program, write_program
from tinsmith.errors import InputError
from tinsmith.formats import tin
from tinsmith.formats.weights import weight_format
from tinsmith.graph import GraphBuilder, Value
from tinsmith.plan.speed import Rates
from tinsmith.spec import Tensor, Tokenizer
from tinsmith.system.cores import usable_cores
from tinsmith.system.files import map_file
from tinsmith.system.machine import Machine, cpu
from tinsmith.system.memory import total
from tinsmith.targets import ARCHS, BuildFor, Cpu, Defaults, Memory, RunOn, Target
from tinsmith.tokenizer import packed as tokenizer_file
from tinsmith.tokenizer.packed import ALPHABET

NAME = "host"
# Of what is timed: the width of a matmul, that of a small one, matmuls and norms in a row, tokens at once, the
# depth of attention, bytes of weights at most, and how often: the best time counts.
_WIDTH, _SMALL, _CALLS, _NORMS, _ROWS = 1024, 256, 16, 64, 64
_DEPTH, _STREAM, _REPEAT = 512, 352 << 20, 10
_PIECE = 1 << 22


def target(threads: int | None = None) -> Target:
    """This machine, all its memory and the free room of the disk here."""
    if threads is not None and not 1 <= threads <= 64:
        raise InputError(f"threads is {threads}; give 1 to 64")
    machine = platform.machine().lower()
    arch = {"amd64": "x86_64", "arm64": "aarch64"}.get(machine, machine)
    if arch not in ARCHS:
        raise InputError(f"the host's {machine} is no architecture of a target; they are {', '.join(ARCHS)}")
    ram = total()
    if ram is None:
        raise InputError("this system does not report its memory; plan for a target instead")
    return Target(
        name=NAME,
        title=cpu(),
        aliases=(),
        source={},
        path=Path(),
        cpu=Cpu(arch, threads or usable_cores(), 1, tuple(_core.isa_names())),
        memory=Memory(ram=ram, storage=shutil.disk_usage(".").free, bandwidth=1),
        build=BuildFor(),
        run=RunOn("native"),
        firmware=None,
        defaults=Defaults(),
    )


def rates(program: Listing, threads: int) -> Rates:
    """Measured now, in some seconds: reading, and the kernels of the program's formats."""
    bench = _Bench(threads, program)
    sizes = Counter[str]()
    for tensor in program.tensors.values():
        if tensor.rows > 1:
            sizes[tensor.format] += tensor.bytes
    stream, one, many = {}, {}, {}
    total = min(sizes.total(), _STREAM)
    for name, size in sizes.items():
        one[name], many[name] = bench.matmul(name, 1), bench.matmul(name, _ROWS)
        # A format of few weights is read among the others: as they are.
        if size * 10 >= sizes.total():
            stream[name] = bench.stream(name, total)
    stream[""] = min(stream.values())
    listed = "; ".join(
        f"{name} {one[name] / 1e9:,.0f} and {many[name] / 1e9:,.0f}"
        + (f", read at {stream[name] / 1e9:.1f} GB/s" if name in stream else "")
        for name in sizes
    )
    for table in (one, many):
        table[""] = table["f32"] = min(table.values())
    floats, floats_many = bench.attention(1), bench.attention(_ROWS)
    notes = (
        f"measured here with {threads} threads: 1e9 multiply-adds a second with one row and {_ROWS}: {listed}",
        f"memory gives {bench.read / 1e9:.1f} GB/s; attention does {floats / 1e9:,.1f} and "
        f"{floats_many / 1e9:,.1f}; an op takes {bench.op * 1e6:.2f} µs besides, one that threads share "
        f"{(bench.op + bench.sync) * 1e6:.2f}",
    )
    return Rates(
        stream, bench.read, many, one, floats, floats_many, bench.elements, bench.op, bench.sync, notes
    )


class _Bench:
    """Programs of a few ops, timed."""

    def __init__(self, threads: int, program: Listing) -> None:
        self.threads = threads
        # One thread's own time leaves out the turns that others had on a busy machine.
        self.clock = time.thread_time if threads == 1 else time.perf_counter
        self.cache = program.caches[0] if program.caches else None
        self.queries = next((op.u[0] for op in program.ops if op.kind == "ATTENTION"), 1)
        self.read = Machine().measure(threads)["read_gb_s"] * 1e9
        self.sync = 0.0
        self.op = self._norms(32)
        self.elements = 4 * _WIDTH / max(self._norms(_WIDTH) - self.op, 1e-9)
        small, large = self._call("Q8_0", 1, _SMALL), self._call("Q8_0", 1, _WIDTH)
        self.sync = max(0.0, small - (large - small) * _SMALL**2 / (_WIDTH**2 - _SMALL**2))

    def matmul(self, name: str, rows: int) -> float:
        """Multiply-adds a second by weights that stay in the processor's caches."""
        return rows * _WIDTH**2 / max(self._call(name, rows, _WIDTH) - self.sync, 1e-9)

    def stream(self, name: str, size: int) -> float:
        """Bytes a second of matmuls with one row whose weights, `size` bytes, are read anew for every token."""
        each = _tensor(name, _WIDTH, _WIDTH)
        count = max(1, size // memoryview(each.data).nbytes)
        g = _base(_WIDTH, **{f"w{k}": each for k in range(count)})
        x = g.embed("embed")
        for k in range(count):
            x = g.matmul(x, f"w{k}", residual=x)
        g.logits(x, "embed")
        took = self._seconds(g, 1) - count * (2 * self.op + self.sync)
        return count * memoryview(each.data).nbytes / max(took, 1e-9)

    def attention(self, rows: int) -> float:
        """Multiply-adds a second over keys and values that stay in caches; for want of a cache, one of 64."""
        heads, dim = (self.cache.heads, self.cache.head_dim) if self.cache else (1, 64)

        def attend(g: GraphBuilder, x: Value) -> Value:
            if not g.graph.caches:
                key = g.slice(x, 0, dim * heads)
                g.kv_append(g.cache(heads, dim), key, key)
            return g.add(x, g.attention(0, x, self.queries, 0.1))

        took = self._each(attend, _CALLS, _base(dim * self.queries), rows, _DEPTH) - 2 * self.op - self.sync
        return 2 * self.queries * dim * (_DEPTH + (rows + 1) / 2) * rows / max(took, 1e-9)

    def _call(self, name: str, rows: int, width: int) -> float:
        """Seconds of one matmul [width, width] with weights in caches, without what every op takes."""
        base = _base(width, w=_tensor(name, width, width))
        took = self._each(lambda g, x: g.matmul(x, "w", residual=x), _CALLS, base, rows)
        return took - self.op - (self.op + 3 * width * rows / self.elements)

    def _norms(self, width: int) -> float:
        return self._each(
            lambda g, x: g.norm(x, "w", 1e-5), _NORMS, _base(width, w=_tensor("F32", 1, width)), 1
        )

    def _each(
        self,
        step: Callable[[GraphBuilder, Value], Value],
        count: int,
        base: GraphBuilder,
        rows: int,
        depth: int = 0,
    ) -> float:
        """Seconds of one step, by the difference of two programs."""

        def seconds(steps: int) -> float:
            g = GraphBuilder(base.graph.tensors)
            x = g.embed("embed")
            for _ in range(steps):
                x = step(g, x)
            last = g.slice(
                x, 0, min(x.width, 64)
            )  # into a cache, so that all rows are computed, not only the last
            g.kv_append(g.cache(1, last.width), last, last)
            g.logits(x, "embed")
            return self._seconds(g, rows, depth)

        return (seconds(count + 1) - seconds(1)) / count

    def _seconds(self, builder: GraphBuilder, rows: int, depth: int = 0) -> float:
        """The best time of one pass of `rows` tokens after `depth` others."""
        session = _session(builder, self.threads, max(depth + rows, 1))
        best = float("inf")
        if depth:
            _run(session, [1] * depth, self.clock)
        for _ in range(_REPEAT):
            session.rewind(depth)
            best = min(best, _run(session, [1] * rows, self.clock))
        return best


def _run(session: _core.Session, tokens: Sequence[int], clock: Callable[[], float]) -> float:
    session.append(tokens)
    began = clock()
    computed = session.step()
    assert computed == _core.STEP_LOGITS
    return clock() - began


def _session(builder: GraphBuilder, threads: int, context: int) -> _core.Session:
    types = ["normal"] * len(ALPHABET)
    vocabulary = Tokenizer(list(ALPHABET), types, [], "smollm", None, None, None, None, add_bos=False)
    lower(builder.graph)
    program = write_program(builder.graph, vocab=len(ALPHABET), context=context, chunk=_ROWS)
    entries: list[tuple[str, tin.Data]] = [
        ("program.bin", program),
        ("weights.bin", _drawn(read_program(program).weight_bytes)),
        ("tokenizer.bin", tokenizer_file.encode(vocabulary)),
    ]
    # Mapped from a file, as a model is: memory of a process's own is read at another rate.
    with tempfile.TemporaryDirectory(prefix="tinsmith-plan-", ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "timed.tin"
        tin.write(path, entries, {})
        model = _core.Model(map_file(path))
    return _core.Session(model, context=context, threads=threads)


def _drawn(size: int) -> tin.Pieces:
    """Weights of any format that are neither denormal nor huge. Zeros would be read faster."""
    draw, plain = random.Random(1), bytes(0x20 | byte & 0x1F for byte in range(256))
    lengths = [*[_PIECE] * (size // _PIECE), size % _PIECE]
    return tin.Pieces(size, (draw.randbytes(length).translate(plain) for length in lengths))


def _tensor(name: str, rows: int, inputs: int) -> Tensor:
    return Tensor(name, rows, inputs, bytes(weight_format(name).size(rows * inputs)))


def _base(width: int, **tensors: Tensor) -> GraphBuilder:
    return GraphBuilder({"embed": _tensor("F32", len(ALPHABET), width), **tensors})
